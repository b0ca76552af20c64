//! Waiting for parts and objects.
//!
//! Objects are watched. A server that has not opened its port yet sends nothing to wait for: its readiness is asked for
//! again and again, and only here.

use std::{collections::BTreeMap, fmt, path::Path, pin::pin, time::Duration};

use anyhow::{Result, bail};
use futures_util::StreamExt as _;
use kube::{
    Api, Resource, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        wait::Condition,
        watcher::{self, Event, watch_object, watcher},
    },
};
use serde::de::DeserializeOwned;

use super::{port, process::Process};

/// Time between two questions whether a server is ready.
const INTERVAL: Duration = Duration::from_millis(50);

/// What became of a server that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Started {
    /// It is ready.
    Ready,
    /// It ended because another process had taken its port: start it again on another one.
    PortTaken,
}

/// Waits until `is_ready` is true; fails with the end of its log when `process` ends before, or after `limit`.
pub(crate) async fn until_ready<F>(
    process: &Process,
    limit: Duration,
    is_ready: impl Fn() -> F,
) -> Result<Started>
where
    F: Future<Output = bool>,
{
    let ready = async {
        while !is_ready().await {
            tokio::time::sleep(INTERVAL).await;
        }
    };
    let name = &process.record().name;
    tokio::select! {
        waited = tokio::time::timeout(limit, ready) => match waited {
            Ok(()) => Ok(Started::Ready),
            Err(_) => bail!(
                "{name} was not ready after {} s; its last words:\n{}",
                limit.as_secs(),
                process.last_words(30)
            ),
        },
        status = process.exited() => {
            let words = process.last_words(30);
            if port::was_taken(&words) {
                return Ok(Started::PortTaken);
            }
            bail!("{name} ended with {} before it was ready; its last words:\n{words}", status?)
        }
    }
}

/// Whether an HTTP GET of `url` is answered with a success.
pub(crate) async fn answers(http: &reqwest::Client, url: &str) -> bool {
    http.get(url)
        .timeout(Duration::from_secs(5))
        .send()
        .await
        .is_ok_and(|response| response.status().is_success())
}

/// Watches the object `name` until `condition` holds; the error tells its last state.
///
/// The condition sees `None` while the object does not exist. An API server that is away meanwhile is waited for.
pub(crate) async fn wait_for<K>(
    api: Api<K>,
    name: &str,
    what: &str,
    limit: Duration,
    condition: impl Condition<K>,
) -> Result<Option<K>>
where
    K: Clone + fmt::Debug + Send + DeserializeOwned + serde::Serialize + Resource + 'static,
{
    let mut states = pin!(watch_object(api.clone(), name).default_backoff());
    let holds = async {
        while let Some(state) = states.next().await {
            if let Ok(object) = state
                && condition.matches_object(object.as_ref())
            {
                return Some(object);
            }
        }
        None
    };
    if let Ok(Some(object)) = tokio::time::timeout(limit, holds).await {
        return Ok(object);
    }
    let last = match api.get_opt(name).await {
        Ok(Some(object)) => serde_json::to_string_pretty(&object)?,
        Ok(None) => "it does not exist".to_owned(),
        Err(error) => format!("it cannot be read: {error}"),
    };
    bail!(
        "{name}: waited {} s for: {what}; last seen: {last}",
        limit.as_secs()
    )
}

/// Watches all objects of `api` until `fits` holds for all of them together; the error tells what it was last.
///
/// They are ordered by namespace and name.
pub(crate) async fn wait_for_all<K>(
    api: Api<K>,
    what: &str,
    limit: Duration,
    mut fits: impl FnMut(&[&K]) -> bool,
) -> Result<Vec<K>>
where
    K: Clone + fmt::Debug + Send + DeserializeOwned + Resource<DynamicType = ()> + 'static,
{
    let mut known: BTreeMap<(Option<String>, String), K> = BTreeMap::new();
    let key = |object: &K| (object.namespace(), object.name_any());
    let watched = async {
        let mut events = pin!(watcher(api, watcher::Config::default()).default_backoff());
        let mut listing = BTreeMap::new();
        loop {
            match events.next().await {
                // Nothing is known of all of them before the list is complete.
                Some(Ok(Event::Init)) => {
                    listing.clear();
                    continue;
                }
                Some(Ok(Event::InitApply(object))) => {
                    listing.insert(key(&object), object);
                    continue;
                }
                Some(Ok(Event::InitDone)) => known = std::mem::take(&mut listing),
                Some(Ok(Event::Apply(object))) => {
                    known.insert(key(&object), object);
                }
                Some(Ok(Event::Delete(object))) => {
                    known.remove(&key(&object));
                }
                // The server may be away for a while; the watch resumes by itself.
                Some(Err(_)) => continue,
                None => bail!("the watch ended"),
            }
            if fits(&known.values().collect::<Vec<_>>()) {
                return Ok(());
            }
        }
    };
    match tokio::time::timeout(limit, watched).await {
        Ok(watched) => watched.map(|()| known.into_values().collect()),
        Err(_) => bail!("waited {} s for: {what}", limit.as_secs()),
    }
}

/// Waits until the file at `path` is as `is_as_wanted` says. Another process writes it, which sends nothing to wait for.
pub(crate) async fn until_file(
    path: &Path,
    limit: Duration,
    is_as_wanted: impl Fn(&str) -> bool,
) -> Result<()> {
    let wanted = async {
        while !std::fs::read_to_string(path).is_ok_and(|text| is_as_wanted(&text)) {
            tokio::time::sleep(INTERVAL).await;
        }
    };
    if tokio::time::timeout(limit, wanted).await.is_err() {
        bail!(
            "{} is not as wanted after {} s; it holds: {}",
            path.display(),
            limit.as_secs(),
            std::fs::read_to_string(path).unwrap_or_else(|error| error.to_string())
        );
    }
    Ok(())
}

/// Asks again and again whether something holds that tells nobody when it does.
pub(crate) async fn until_true(
    limit: Duration,
    what: &str,
    holds: impl AsyncFn() -> bool,
) -> Result<()> {
    let held = async {
        while !holds().await {
            tokio::time::sleep(INTERVAL).await;
        }
    };
    if tokio::time::timeout(limit, held).await.is_err() {
        bail!("waited {} s for: {what}", limit.as_secs());
    }
    Ok(())
}
