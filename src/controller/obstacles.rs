//! What keeps objects from going on, and since when this process has seen it. A deletion's deadline counts this time, not the deletion's
//! age: who was away itself has not tried yet.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use kube::{Resource, core::NamespaceResourceScope};
use tokio::time::Instant;

/// What keeps an object from going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Obstacle {
    /// Deletion of a Gateway: it is not connected.
    Away,
    /// Deletion, move: it is, and what is asked of it fails.
    Failing,
    /// Deletion, move: the agent is not off the gateway yet, whatever keeps it there.
    NotLeft,
    /// Move: people were told what it waits for.
    Told,
    /// Deletion: the agent's tokens were read, so that they are taken while it lasts.
    TokensRead,
    /// Agent: the gateway has not made the heartbeat's monitor.
    NoMonitor,
    /// Agent: the workspace that it would get on a gateway carries the mark of another.
    MarkedWorkspace,
}

/// Stands between the uid of an object and what of it is meant. No uid holds one.
const PART: char = '/';

/// What stands for the part of an object that concerns one Gateway: an agent can be on several, and each can be away by itself.
pub(super) fn within(uid: &str, gateway_uid: &str) -> String {
    format!("{uid}{PART}{gateway_uid}")
}

/// The obstacles of all objects, by uid.
#[derive(Debug, Default)]
pub(super) struct Obstacles(Mutex<HashMap<(String, Obstacle), Instant>>);

impl Obstacles {
    /// The obstacle is there now: for how long it has been.
    pub(super) fn met(&self, uid: &str, obstacle: Obstacle) -> Duration {
        let now = Instant::now();
        let since = *self.lock().entry((uid.to_owned(), obstacle)).or_insert(now);
        now.saturating_duration_since(since)
    }

    /// The obstacle is there now: whether it was not before.
    pub(super) fn is_first(&self, uid: &str, obstacle: Obstacle) -> bool {
        let now = Instant::now();
        self.lock()
            .insert((uid.to_owned(), obstacle), now)
            .is_none()
    }

    /// Whether the obstacle was met and not overcome.
    pub(super) fn is_met(&self, uid: &str, obstacle: Obstacle) -> bool {
        self.lock().contains_key(&(uid.to_owned(), obstacle))
    }

    /// The obstacle is not there any more.
    pub(super) fn overcome(&self, uid: &str, obstacle: Obstacle) {
        self.lock().remove(&(uid.to_owned(), obstacle));
    }

    /// Forgets an object that is gone, with all parts of it.
    pub(super) fn forget(&self, uid: &str) {
        let is_of = |of: &str| {
            let part = of.strip_prefix(uid);
            part.is_some_and(|part| part.is_empty() || part.starts_with(PART))
        };
        self.lock().retain(|(of, _), _| !is_of(of));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, Obstacle), Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long ago the deletion of an object was asked for.
pub(super) fn age_of_deletion<K: Resource<Scope = NamespaceResourceScope>>(object: &K) -> Duration {
    let asked = object.meta().deletion_timestamp.as_ref().map(|time| time.0);
    asked
        .and_then(|asked| Duration::try_from(Timestamp::now().duration_since(asked)).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_obstacle_counts_from_when_it_was_first_met_and_anew_once_it_was_overcome() {
        let obstacles = Obstacles::default();
        let second = Duration::from_secs(1);
        assert_eq!(obstacles.met("a", Obstacle::Away), Duration::ZERO);
        advance(second).await;
        assert_eq!(obstacles.met("a", Obstacle::Away), second);
        assert_eq!(obstacles.met("a", Obstacle::Failing), Duration::ZERO);
        assert_eq!(obstacles.met("b", Obstacle::Away), Duration::ZERO);
        advance(second).await;
        assert!(obstacles.is_met("a", Obstacle::Away));
        obstacles.overcome("a", Obstacle::Away);
        assert!(!obstacles.is_met("a", Obstacle::Away));
        assert_eq!(obstacles.met("a", Obstacle::Away), Duration::ZERO);
        assert_eq!(obstacles.met("a", Obstacle::Failing), second);
        obstacles.forget("a");
        assert_eq!(obstacles.met("a", Obstacle::Failing), Duration::ZERO);
        assert_eq!(obstacles.met("b", Obstacle::Away), second);
        let part = within("b", "gateway");
        assert_eq!(obstacles.met(&part, Obstacle::Away), Duration::ZERO);
        advance(second).await;
        obstacles.forget("b");
        assert_eq!(obstacles.met(&part, Obstacle::Away), Duration::ZERO);
    }
}
