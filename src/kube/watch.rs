//! The watch of one kind that goes on whatever the server does: it backs off, resumes, and lists anew where the server's history is gone.

use std::{fmt::Debug, pin::Pin};

use futures_util::{Stream, StreamExt, stream};
use kube::{
    Api, Resource,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;

/// Watches for ever; an error is told, and what comes next waits 0.8 to 30 s for it.
pub fn watch<K>(
    api: Api<K>,
) -> impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + use<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    anew_when_gone(move || watcher(api.clone(), watcher::Config::default().any_semantic()))
        .default_backoff()
}

/// Begins the stream anew when the server answers a request for a watch with 410.
///
/// The watcher itself lists anew after an *event* of code 410, which is how API servers of our time say it; after an answer of that code
/// it would ask for the same resource version for ever.
fn anew_when_gone<S, T>(
    start: impl Fn() -> S + Send,
) -> impl Stream<Item = watcher::Result<T>> + Send
where
    S: Stream<Item = watcher::Result<T>> + Send,
    T: Send,
{
    let running: Pin<Box<S>> = Box::pin(start());
    stream::unfold((running, start), async |(mut running, start)| {
        let item = running.next().await?;
        if item.as_ref().is_err_and(is_gone) {
            running = Box::pin(start());
        }
        Some((item, (running, start)))
    })
}

fn is_gone(error: &watcher::Error) -> bool {
    matches!(
        error,
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use kube::core::Status;

    use super::*;

    fn refused(code: u16) -> watcher::Error {
        let status = Status::failure("no", "Reason").with_code(code);
        watcher::Error::WatchStartFailed(kube::Error::Api(status.boxed()))
    }

    #[tokio::test]
    async fn a_watch_begins_anew_where_the_history_is_gone_and_goes_on_after_other_errors() {
        let starts = AtomicUsize::new(0);
        let start = || {
            let start = starts.fetch_add(1, Ordering::Relaxed);
            stream::iter(match start {
                0 => vec![
                    Ok((0, 0)),
                    Err(refused(500)),
                    Ok((0, 1)),
                    Err(refused(410)),
                    Ok((0, 2)),
                ],
                _ => vec![Ok((start, 0))],
            })
        };
        let told: Vec<_> = anew_when_gone(start).map(Result::ok).collect().await;
        assert_eq!(told, [Some((0, 0)), None, Some((0, 1)), None, Some((1, 0))]);
    }
}
