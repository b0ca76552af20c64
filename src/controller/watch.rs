//! The watches: what the caches are filled from, and the report on stored objects that do not parse.

use std::{fmt::Debug, sync::Arc};

use futures_util::{FutureExt, Stream, StreamExt, future::BoxFuture};
use k8s_openapi::{
    api::core::v1::{ConfigMap, Namespace},
    jiff::Timestamp,
};
use kube::{
    Api, Client, Resource,
    api::{DynamicObject, ListParams, Patch, PatchParams},
    core::{
        ApiResource, DeserializeGuard, NamespaceResourceScope, PartialObjectMeta,
        error_boundary::InvalidObject,
    },
    runtime::{WatchStreamExt, reflector::store::Writer, watcher},
};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    api::{
        condition::{self, Judgement, READY, STALLED},
        reason::Reason,
    },
    controller::world::{World, Writers},
    kube::{
        cache::{Change, follow},
        events::Events,
    },
};

/// Starts all watches as tasks.
pub(super) fn start(
    client: &Client,
    writers: Writers,
    world: &Arc<World>,
    reporter: &Reporter,
    stop: &CancellationToken,
) {
    let spawn = |watch: BoxFuture<'static, ()>| {
        drop(tokio::spawn(stop.clone().run_until_cancelled_owned(watch)));
    };
    let Writers {
        gateways,
        boards,
        agents,
        namespaces,
    } = writers;
    let (known, report) = (Arc::clone(world), reporter.clone());
    spawn(
        follow(guarded(client), gateways, move |change| {
            report.report(&change);
            known.gateway_changed(&change);
        })
        .boxed(),
    );
    let (known, report) = (Arc::clone(world), reporter.clone());
    spawn(
        follow(guarded(client), boards, move |change| {
            report.report(&change);
            known.board_changed(&change);
        })
        .boxed(),
    );
    let (known, report) = (Arc::clone(world), reporter.clone());
    spawn(
        follow(guarded(client), agents, move |change| {
            report.report(&change);
            known.agent_changed(&change);
        })
        .boxed(),
    );
    let known = Arc::clone(world);
    spawn(
        follow(metadata::<Namespace>(client), namespaces, move |change| {
            known.namespace_changed(&change);
        })
        .boxed(),
    );
    let known = Arc::clone(world);
    let config_maps = Writer::<PartialObjectMeta<ConfigMap>>::default();
    spawn(
        follow(metadata::<ConfigMap>(client), config_maps, move |change| {
            known.config_map_changed(&change);
        })
        .boxed(),
    );
}

type Seen<K> = watcher::Result<watcher::Event<Result<K, Box<InvalidObject>>>>;

/// A watch of one of our kinds in which an object that does not parse never hides the others.
fn guarded<K>(client: &Client) -> impl Stream<Item = Seen<K>> + Send + use<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let api = Api::<DeserializeGuard<K>>::all(client.clone());
    watcher(api, watcher::Config::default().any_semantic())
        .default_backoff()
        .map(|event| event.map(|event| map(event, |guard| guard.0.map_err(Box::new))))
}

/// A watch of metadata only.
fn metadata<K>(client: &Client) -> impl Stream<Item = Seen<PartialObjectMeta<K>>> + Send + use<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let api = Api::<PartialObjectMeta<K>>::all(client.clone());
    watcher(api, watcher::Config::default().any_semantic())
        .default_backoff()
        .map(|event| event.map(|event| map(event, Ok)))
}

fn map<K, T>(event: watcher::Event<K>, with: impl FnOnce(K) -> T) -> watcher::Event<T> {
    match event {
        watcher::Event::Apply(object) => watcher::Event::Apply(with(object)),
        watcher::Event::Delete(object) => watcher::Event::Delete(with(object)),
        watcher::Event::InitApply(object) => watcher::Event::InitApply(with(object)),
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitDone => watcher::Event::InitDone,
    }
}

/// Handle on the task that reports objects which do not parse; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Reporter(mpsc::UnboundedSender<(ApiResource, InvalidObject)>);

impl Reporter {
    /// Starts the task.
    #[must_use]
    pub(super) fn start(client: Client, events: Events) -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some((kind, invalid)) = receiver.recv().await {
                if let Err(error) = say_invalid(&client, &events, &kind, &invalid).await {
                    let name = invalid.metadata.name.as_deref().unwrap_or_default();
                    tracing::warn!(kind = kind.kind, name, %error, "could not report an object that does not parse");
                }
            }
        });
        Self(sender)
    }

    fn report<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(
        &self,
        change: &Change<K>,
    ) {
        if let Change::Invalid(invalid) = change {
            // A closed channel means that the program ends.
            drop(
                self.0
                    .send((ApiResource::erase::<K>(&()), (**invalid).clone())),
            );
        }
    }
}

/// Says on the object itself that it does not parse. Once per text: the object's status is read first.
async fn say_invalid(
    client: &Client,
    events: &Events,
    kind: &ApiResource,
    invalid: &InvalidObject,
) -> Result<(), kube::Error> {
    let name = invalid.metadata.name.clone().unwrap_or_default();
    let namespace = invalid.metadata.namespace.clone().unwrap_or_default();
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), &namespace, kind);
    // Listed by name: the rights to list and watch are there anyway, one to get would serve nothing else.
    let selected = ListParams::default().fields(&format!("metadata.name={name}"));
    let Some(object) = api.list(&selected).await?.items.into_iter().next() else {
        return Ok(());
    };
    let deletion = if object.metadata.deletion_timestamp.is_some() {
        let resource = &kind.plural;
        format!(
            " Its deletion waits for that. To let go of it and leave what is on the gateway: kubectl patch {resource} {name} --type=merge -p '{{\"metadata\":{{\"finalizers\":null}}}}'"
        )
    } else {
        String::new()
    };
    let message = format!(
        "The stored object does not fit its schema ({}), probably because an older or newer version wrote it. Nothing is done with it. Edit it so that `kubectl apply` accepts it.{deletion}",
        invalid.error
    );
    let written = object
        .data
        .pointer("/status/conditions")
        .cloned()
        .unwrap_or_default();
    let mut conditions: Vec<_> = serde_json::from_value(written).unwrap_or_default();
    let before = conditions.clone();
    for type_ in [READY, STALLED] {
        let judgement = if type_ == READY {
            Judgement::fails
        } else {
            Judgement::holds
        };
        condition::set(
            &mut conditions,
            judgement(type_, Reason::InvalidObject, &message),
            object.metadata.generation,
            Timestamp::now(),
        );
    }
    if conditions == before {
        return Ok(());
    }
    let patch = json!({ "status": { "conditions": conditions } });
    api.patch_status(&name, &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    events.warning(
        &object.object_ref(kind),
        Reason::InvalidObject.as_str(),
        message,
    );
    Ok(())
}
