//! What this process remembers of objects, by their uid: nothing of it outlives the process, and all of an object is forgotten with it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// One fact about each of many objects.
#[derive(Debug)]
pub(super) struct Remembered<T>(Mutex<HashMap<String, T>>);

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Remembered<T> {
    /// Remembers `fact` in the place of what was known.
    pub(super) fn set(&self, uid: &str, fact: T) {
        self.lock().insert(uid.to_owned(), fact);
    }

    /// Changes what is known, or what is made of nothing at first.
    pub(super) fn update<O>(
        &self,
        uid: &str,
        first: impl FnOnce() -> T,
        change: impl FnOnce(&mut T) -> O,
    ) -> O {
        change(self.lock().entry(uid.to_owned()).or_insert_with(first))
    }

    /// Forgets it.
    pub(super) fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Remembered<T> {
    /// What is known.
    pub(super) fn get(&self, uid: &str) -> Option<T> {
        self.lock().get(uid).cloned()
    }
}

impl<T: PartialEq> Remembered<T> {
    /// Remembers `fact`, and answers whether something else was known, or nothing.
    pub(super) fn is_news(&self, uid: &str, fact: T) -> bool {
        let mut all = self.lock();
        if all.get(uid) == Some(&fact) {
            return false;
        }
        all.insert(uid.to_owned(), fact);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_is_news_once_and_is_forgotten_with_its_object() {
        let asked = Remembered::default();
        assert!(asked.is_news("a", 1));
        assert!(!asked.is_news("a", 1));
        assert!(asked.is_news("b", 1), "of another object");
        assert!(asked.is_news("a", 2));
        assert_eq!(asked.get("a"), Some(2));
        assert_eq!(asked.update("a", || 0, |it| std::mem::replace(it, 3)), 2);
        assert_eq!(asked.get("a"), Some(3));
        asked.forget("a");
        assert_eq!(asked.get("a"), None);
        assert_eq!(asked.update("a", || 7, |it| *it), 7);
        asked.set("b", 5);
        assert_eq!(asked.get("b"), Some(5));
    }
}
