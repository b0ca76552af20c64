//! The links of the pool by key, and those of them that reach one gateway process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::models::ModelCache;
use super::observed::Snapshot;
use super::{Endpoint, Journal, Link};

/// One key of the pool.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) key: Arc<str>,
    pub(super) endpoint: Endpoint,
    pub(super) link: Link,
    pub(super) journal: Mutex<Arc<dyn Journal>>,
    pub(super) snapshot: Snapshot,
    pub(super) models: ModelCache,
    /// The process that the link reached last; kept while the link is down.
    pub(super) last_boot: Mutex<Option<String>>,
    pub(super) watcher: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Slot {
    /// The process that the link reaches now.
    pub(super) fn boot(&self) -> Option<String> {
        self.link.hello().map(|hello| hello.boot_id.clone())
    }
}

/// All keys of the pool.
#[derive(Debug, Default)]
pub(super) struct Slots {
    by_key: Mutex<HashMap<Arc<str>, Arc<Slot>>>,
    came_up: Notify,
}

impl Slots {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Slot>>> {
        lock(&self.by_key)
    }

    pub(super) fn get(&self, key: &str) -> Option<Arc<Slot>> {
        self.lock().get(key).cloned()
    }

    /// A link came up: whoever waits for one looks again.
    pub(super) fn announce(&self) {
        self.came_up.notify_waiters();
    }

    /// All slots for which `predicate` holds, by key.
    pub(super) fn filter(&self, predicate: impl Fn(&Slot) -> bool) -> Vec<Arc<Slot>> {
        let mut slots: Vec<_> = self
            .lock()
            .values()
            .filter(|slot| predicate(slot))
            .cloned()
            .collect();
        slots.sort_by(|a, b| a.key.cmp(&b.key));
        slots
    }
}

/// The links that reach one gateway process.
#[derive(Clone, Debug)]
pub(super) struct Members {
    pub(super) slots: Arc<Slots>,
    pub(super) boot: Arc<str>,
}

impl Members {
    fn up(&self) -> Vec<Arc<Slot>> {
        self.slots
            .filter(|slot| slot.boot().as_deref() == Some(&*self.boot))
    }

    /// Any link to this process, waiting for one to come up again if need be.
    pub(super) async fn link(&self, within: Duration) -> Option<Link> {
        let until = Instant::now() + within;
        loop {
            // Listening begins before looking, so that no link comes up in between.
            let mut came_up = std::pin::pin!(self.slots.came_up.notified());
            came_up.as_mut().enable();
            if let Some(slot) = self.up().into_iter().next() {
                return Some(slot.link.clone());
            }
            timeout_at(until, came_up).await.ok()?;
        }
    }

    /// The journals of all keys that reach this process, or did when they were last up.
    pub(super) fn journals(&self) -> Vec<Arc<dyn Journal>> {
        self.slots
            .filter(|slot| lock(&slot.last_boot).as_deref() == Some(&*self.boot))
            .iter()
            .map(|slot| Arc::clone(&lock(&slot.journal)))
            .collect()
    }

    /// The config was written: what was observed before is no longer true.
    pub(super) fn forget_observed(&self) {
        for slot in self.up() {
            slot.snapshot.forget();
        }
    }
}

/// Locks; a panic while it was held left nothing half-done in these one-step critical sections.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
