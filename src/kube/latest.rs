//! The newest version of each object that we wrote ourselves, until the watch shows it.
//!
//! A reconcile that starts from a cache older than its own last status write would not see the claim it made.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use kube::{
    Resource, ResourceExt,
    runtime::reflector::{ObjectRef, Store},
};

/// Own writes that the cache may not show yet, by uid.
#[derive(Debug)]
pub struct Latest<K>(Mutex<HashMap<String, Arc<K>>>);

impl<K> Default for Latest<K> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Latest<K> {
    /// Remembers the answer to a write.
    pub fn remember(&self, written: &Arc<K>) {
        if let Some(uid) = written.uid() {
            self.lock().insert(uid, Arc::clone(written));
        }
    }

    /// The newest version that is known of an object which was `seen` in the cache some time ago: that one, the cache's by now, or what was
    /// written last. Forgets the latter once the cache has caught up.
    pub fn or_newer(&self, seen: Arc<K>, cache: &Store<K>) -> Arc<K> {
        let Some(uid) = seen.uid() else {
            return seen;
        };
        // With the lock: an own write is forgotten only when the cache has it, so what is read now has it, or it is still here. What was
        // seen before may be older than both.
        let mut written = self.lock();
        let cached = cache
            .get(&ObjectRef::from_obj(&*seen))
            .filter(|cached| cached.uid().as_deref() == Some(&*uid))
            .unwrap_or(seen);
        match written.get(&uid) {
            Some(own) if version(&**own) > version(&*cached) => Arc::clone(own),
            Some(_) => {
                written.remove(&uid);
                cached
            }
            None => cached,
        }
    }

    /// The cache shows `object` now: an own write that is in it needs no second copy.
    pub fn shown(&self, object: &K) {
        let Some(uid) = object.meta().uid.as_deref() else {
            return;
        };
        let mut written = self.lock();
        if written
            .get(uid)
            .is_some_and(|own| version(&**own) <= version(object))
        {
            written.remove(uid);
        }
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<K>>> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Resource versions of one kind are comparable numbers (Kubernetes 1.35 says so; etcd revisions have always been).
fn version<K: Resource>(object: &K) -> u64 {
    object
        .resource_version()
        .and_then(|version| version.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::runtime::{
        reflector::store::{Writer, store},
        watcher::Event,
    };

    use super::*;

    fn object(uid: &str, version: &str) -> Arc<ConfigMap> {
        let mut object = ConfigMap::default();
        object.metadata.name = Some("map".into());
        object.metadata.uid = Some(uid.into());
        object.metadata.resource_version = Some(version.into());
        Arc::new(object)
    }

    fn own(version: &str) -> Arc<ConfigMap> {
        object("uid", version)
    }

    fn show(cache: &mut Writer<ConfigMap>, object: &ConfigMap) {
        cache.apply_watcher_event(&Event::Apply(object.clone()));
    }

    fn is_version(object: &ConfigMap, version: &str) -> bool {
        object.resource_version().as_deref() == Some(version)
    }

    #[test]
    fn an_own_write_counts_until_the_cache_shows_it() {
        let (cache, mut shown) = store();
        let latest = Latest::default();
        show(&mut shown, &own("9"));
        latest.remember(&own("10"));
        assert!(is_version(&latest.or_newer(own("9"), &cache), "10"));
        show(&mut shown, &own("11"));
        assert!(is_version(&latest.or_newer(own("11"), &cache), "11"));
        assert!(latest.lock().is_empty());
    }

    #[test]
    fn an_own_write_that_the_watch_has_brought_is_not_kept_twice() {
        let latest = Latest::default();
        latest.remember(&own("10"));
        latest.shown(&own("9"));
        assert_eq!(latest.lock().len(), 1);
        latest.shown(&own("10"));
        assert!(latest.lock().is_empty());
    }

    #[test]
    fn what_was_seen_before_an_own_write_is_not_gone_back_to_when_the_watch_brings_that_write() {
        let (cache, mut shown) = store();
        let latest = Latest::default();
        let seen = own("9");
        latest.remember(&own("10"));
        show(&mut shown, &own("10"));
        latest.shown(&own("10"));
        assert!(is_version(&latest.or_newer(seen, &cache), "10"));
    }

    #[test]
    fn another_object_of_the_same_name_is_not_taken_for_it() {
        let (cache, mut shown) = store();
        show(&mut shown, &object("another", "12"));
        let latest = Latest::default();
        assert!(is_version(&latest.or_newer(own("9"), &cache), "9"));
        latest.remember(&own("10"));
        assert!(is_version(&latest.or_newer(own("9"), &cache), "10"));
    }
}
