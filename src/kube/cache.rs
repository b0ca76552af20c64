//! One watch a kind, pruned before it is stored, with every change told to a callback.
//!
//! We drive the stores ourselves: shared streams lose events in kube 5, and a relist tells nobody what vanished meanwhile.

use std::{fmt::Debug, sync::Arc};

use futures_util::{Stream, StreamExt};
use kube::{
    Resource, ResourceExt,
    core::error_boundary::InvalidObject,
    runtime::{
        reflector::{ObjectRef, Store, store::Writer},
        watcher,
    },
};

/// What a watch brought about one object.
#[derive(Debug)]
pub enum Change<K> {
    /// The object is new (`before` is `None`) or changed.
    Seen {
        /// As it was known, if it was.
        before: Option<Arc<K>>,
        /// As it is.
        after: Arc<K>,
        /// Whether it came with a list of all, at the start or after an interruption, and not when it changed.
        listed: bool,
    },
    /// The object is gone.
    Gone(Arc<K>),
    /// The stored object does not parse as its kind; a version known before is kept nowhere.
    Invalid(Box<InvalidObject>),
}

/// Follows a watch for ever: fills `writer`'s store and tells `on_change` of each difference, after the store holds it.
///
/// Watch errors are logged; the stream itself backs off and resumes.
pub async fn follow<K, S>(stream: S, mut writer: Writer<K>, mut on_change: impl FnMut(Change<K>))
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    S: Stream<Item = watcher::Result<watcher::Event<Result<K, Box<InvalidObject>>>>>,
{
    let store = writer.as_reader();
    let mut stream = std::pin::pin!(stream);
    while let Some(event) = stream.next().await {
        match event {
            Ok(watcher::Event::Apply(Ok(mut object))) => {
                prune(&mut object);
                let reference = ObjectRef::from_obj(&object);
                let before = store.get(&reference);
                writer.apply_watcher_event(&watcher::Event::Apply(object));
                if let Some(after) = store.get(&reference) {
                    on_change(Change::Seen {
                        before,
                        after,
                        listed: false,
                    });
                }
            }
            Ok(watcher::Event::Delete(Ok(object))) => {
                writer.apply_watcher_event(&watcher::Event::Delete(object.clone()));
                on_change(Change::Gone(Arc::new(object)));
            }
            Ok(watcher::Event::Init) => {
                writer.apply_watcher_event(&watcher::Event::Init);
            }
            Ok(watcher::Event::InitApply(Ok(mut object))) => {
                prune(&mut object);
                writer.apply_watcher_event(&watcher::Event::InitApply(object));
            }
            Ok(watcher::Event::InitDone) => {
                let known = store.state();
                writer.apply_watcher_event(&watcher::Event::InitDone);
                relisted(known, store.state(), &mut on_change);
            }
            Ok(watcher::Event::Apply(Err(invalid))) => {
                forget(&store, &mut writer, &invalid, &mut on_change);
                on_change(Change::Invalid(invalid));
            }
            Ok(watcher::Event::InitApply(Err(invalid))) => {
                on_change(Change::Invalid(invalid));
            }
            Ok(watcher::Event::Delete(Err(invalid))) => {
                forget(&store, &mut writer, &invalid, &mut on_change);
            }
            Err(error) => {
                tracing::warn!(kind = %K::kind(&()), %error, "watch interrupted; it resumes by itself");
            }
        }
    }
}

/// Tells the differences between what was known and a complete list: an interrupted watch may have missed deletions. In the order of their
/// names, so that those of one namespace come together.
fn relisted<K>(known: Vec<Arc<K>>, mut listed: Vec<Arc<K>>, on_change: &mut impl FnMut(Change<K>))
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let mut known: std::collections::HashMap<_, _> = known
        .into_iter()
        .map(|object| (ObjectRef::from_obj(&*object), object))
        .collect();
    listed.sort_by(|a, b| {
        let (a, b) = (a.meta(), b.meta());
        (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name))
    });
    for after in listed {
        let before = known.remove(&ObjectRef::from_obj(&*after));
        on_change(Change::Seen {
            before,
            after,
            listed: true,
        });
    }
    for object in known.into_values() {
        on_change(Change::Gone(object));
    }
}

/// Drops the last good version of an object that no longer parses: acting on it would be acting on a guess.
fn forget<K>(
    store: &Store<K>,
    writer: &mut Writer<K>,
    invalid: &InvalidObject,
    on_change: &mut impl FnMut(Change<K>),
) where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let mut reference = ObjectRef::<K>::new(invalid.metadata.name.as_deref().unwrap_or_default());
    reference.namespace.clone_from(&invalid.metadata.namespace);
    if let Some(object) = store.get(&reference) {
        writer.apply_watcher_event(&watcher::Event::Delete((*object).clone()));
        on_change(Change::Gone(object));
    }
}

/// Drops what no reconcile reads: measured at two thirds of an Agent's memory.
pub(super) fn prune<K: Resource>(object: &mut K) {
    object.managed_fields_mut().clear();
    object
        .annotations_mut()
        .remove("kubectl.kubernetes.io/last-applied-configuration");
}
