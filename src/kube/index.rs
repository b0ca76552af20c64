//! Look-up from a key (a Gateway, a Board, a ConfigMap, an agent id) to the objects that mention it.
//!
//! Kept beside the caches because a search through a whole store, once per object, grows with the square of the fleet.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

/// Many keys to many objects. Each object's keys are replaced as a whole when it changes.
#[derive(Debug)]
pub struct Index<K, V> {
    forward: HashMap<K, HashSet<V>>,
    keys: HashMap<V, HashSet<K>>,
}

impl<K, V> Default for Index<K, V> {
    fn default() -> Self {
        Self {
            forward: HashMap::new(),
            keys: HashMap::new(),
        }
    }
}

impl<K: Hash + Eq + Clone, V: Hash + Eq + Clone> Index<K, V> {
    /// Says that `object` mentions exactly `keys` from now on.
    pub fn set(&mut self, object: &V, keys: impl IntoIterator<Item = K>) {
        self.remove(object);
        let keys: HashSet<K> = keys.into_iter().collect();
        for key in &keys {
            self.forward
                .entry(key.clone())
                .or_default()
                .insert(object.clone());
        }
        if !keys.is_empty() {
            self.keys.insert(object.clone(), keys);
        }
    }

    /// Forgets `object`.
    pub fn remove(&mut self, object: &V) {
        for key in self.keys.remove(object).unwrap_or_default() {
            if let Some(objects) = self.forward.get_mut(&key) {
                objects.remove(object);
                if objects.is_empty() {
                    self.forward.remove(&key);
                }
            }
        }
    }

    /// Whether any object mentions `key`.
    pub fn has(&self, key: &K) -> bool {
        self.forward.contains_key(key)
    }

    /// The objects that mention `key`, in no order.
    pub fn get(&self, key: &K) -> Vec<V> {
        self.forward
            .get(key)
            .map(|objects| objects.iter().cloned().collect())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_found_under_its_present_keys_only() {
        let mut index = Index::default();
        index.set(&"a", ["x", "y"]);
        index.set(&"b", ["y"]);
        index.set(&"a", ["z"]);
        assert!(index.get(&"x").is_empty() && !index.has(&"x"));
        assert!(index.has(&"y"));
        assert_eq!(index.get(&"y"), ["b"]);
        assert_eq!(index.get(&"z"), ["a"]);
        index.remove(&"a");
        index.remove(&"b");
        assert!(
            index.forward.is_empty() && index.keys.is_empty(),
            "nothing is kept of what is gone"
        );
    }
}
