//! The newest version of each object that we wrote ourselves, until the watch shows it.
//!
//! A reconcile that starts from a cache older than its own last status write would not see the claim it made.

use std::{collections::HashMap, sync::Arc};

use kube::{Resource, ResourceExt};
use std::sync::Mutex;

/// Own writes that the cache may not show yet, by uid.
#[derive(Debug)]
pub struct Latest<K>(Mutex<HashMap<String, Arc<K>>>);

impl<K> Default for Latest<K> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<K: Resource> Latest<K> {
    /// Remembers the answer to a write.
    pub fn remember(&self, written: &Arc<K>) {
        if let Some(uid) = written.uid() {
            self.lock().insert(uid, Arc::clone(written));
        }
    }

    /// The newer of what the cache shows and what was written last; forgets the latter once the cache has caught up.
    pub fn or_newer(&self, cached: Arc<K>) -> Arc<K> {
        let Some(uid) = cached.uid() else {
            return cached;
        };
        let mut written = self.lock();
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

    use super::*;

    fn object(version: &str) -> Arc<ConfigMap> {
        let mut object = ConfigMap::default();
        object.metadata.uid = Some("uid".into());
        object.metadata.resource_version = Some(version.into());
        Arc::new(object)
    }

    #[test]
    fn an_own_write_counts_until_the_cache_shows_it() {
        let latest = Latest::default();
        latest.remember(&object("10"));
        assert_eq!(
            latest.or_newer(object("9")).resource_version().as_deref(),
            Some("10")
        );
        assert_eq!(
            latest.or_newer(object("11")).resource_version().as_deref(),
            Some("11")
        );
        assert!(latest.lock().is_empty());
        assert_eq!(
            latest.or_newer(object("9")).resource_version().as_deref(),
            Some("9")
        );
    }

    #[test]
    fn an_own_write_that_the_watch_has_brought_is_not_kept_twice() {
        let latest = Latest::default();
        latest.remember(&object("10"));
        latest.shown(&object("9"));
        assert_eq!(latest.lock().len(), 1);
        latest.shown(&object("10"));
        assert!(latest.lock().is_empty());
    }
}
