//! All links by key, the writers by gateway process, and one shared look at each gateway.

use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::time::Instant;

use super::{CallError, Endpoint, Journal, Link, Model, Observed, Writer};

/// How a pool behaves.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// Config writes allowed per 60 s and gateway process. The gateway's own limit is 30.
    pub writes_per_minute: usize,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            writes_per_minute: 30,
        }
    }
}

/// Something happened to the link of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolEvent {
    /// The key given to [`Pool::ensure`].
    pub key: Arc<str>,
    /// What happened.
    pub kind: PoolEventKind,
}

/// What happened to a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolEventKind {
    /// It came up.
    Up,
    /// It came up, and the gateway is another process than before: everything has to be looked at again.
    Restarted,
    /// It went down, or was refused.
    Down,
    /// The gateway's config document changed.
    ConfigChanged,
}

/// All links of this operator.
#[derive(Clone, Debug)]
pub struct Pool {}

impl Pool {
    /// An empty pool. Links and writers run as tasks of the current tokio runtime.
    #[must_use]
    pub fn new(options: PoolOptions) -> Self {
        let _ = options;
        todo!()
    }

    /// The link of `key`: the one there is when the endpoint is the same, else a new one (the old one is closed).
    #[must_use]
    pub fn ensure(&self, key: &str, endpoint: Endpoint, journal: Arc<dyn Journal>) -> Link {
        let _ = (key, endpoint, journal);
        todo!()
    }

    /// The link of `key`, where there is one.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Link> {
        let _ = key;
        todo!()
    }

    /// Closes and forgets the link of `key`.
    pub fn remove(&self, key: &str) {
        let _ = key;
        todo!()
    }

    /// The writer of the gateway process that the link of `key` reaches; `None` until it is up.
    #[must_use]
    pub fn writer(&self, key: &str) -> Option<Writer> {
        let _ = key;
        todo!()
    }

    /// One look at the gateway, shared by all who ask; with `newer_than` one that began after that instant.
    pub async fn observe(
        &self,
        key: &str,
        newer_than: Option<Instant>,
    ) -> Result<Arc<Observed>, CallError> {
        let _ = (key, newer_than);
        todo!()
    }

    /// The models that an agent may use, kept as long as the gateway's process and config are the same.
    pub async fn models(&self, key: &str, agent_id: &str) -> Result<Arc<Vec<Model>>, CallError> {
        let _ = (key, agent_id);
        todo!()
    }

    /// What happens to the links from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<PoolEvent> {
        todo!()
    }

    /// All keys, `key` included, whose links reach the same gateway process.
    #[must_use]
    pub fn siblings(&self, key: &str) -> Vec<String> {
        let _ = key;
        todo!()
    }
}
