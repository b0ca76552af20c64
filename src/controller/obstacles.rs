//! What keeps objects from going on, and since when this process has seen it. A deletion's deadline counts this time, not the deletion's
//! age: who was away itself has not tried yet.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// What keeps an object from going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Obstacle {
    /// Deletion: the gateway is not connected.
    Away,
    /// Deletion: it is, and what is asked of it fails.
    Failing,
    /// Agent: the gateway has not made the heartbeat's monitor.
    NoMonitor,
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

    /// The obstacle is not there any more.
    pub(super) fn overcome(&self, uid: &str, obstacle: Obstacle) {
        self.lock().remove(&(uid.to_owned(), obstacle));
    }

    /// Forgets an object that is gone.
    pub(super) fn forget(&self, uid: &str) {
        self.lock().retain(|(of, _), _| of != uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, Obstacle), Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        obstacles.overcome("a", Obstacle::Away);
        assert_eq!(obstacles.met("a", Obstacle::Away), Duration::ZERO);
        assert_eq!(obstacles.met("a", Obstacle::Failing), second);
        obstacles.forget("a");
        assert_eq!(obstacles.met("a", Obstacle::Failing), Duration::ZERO);
        assert_eq!(obstacles.met("b", Obstacle::Away), second);
    }
}
