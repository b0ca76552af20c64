//! What the operator has to remember of a gateway because nothing on the gateway tells it, written down before the write that it is about.

use std::collections::BTreeSet;
use std::fmt::Debug;

use futures_util::future::BoxFuture;

/// What a record is about; each holds ids of agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Agents of others to whose entries we add `heartbeat: {}`.
    KeptHeartbeats,
    /// Agents that we deleted. The gateway remembers its deletions, over restarts too, and tells them nowhere; an agent that comes back
    /// under such an id by a patch is refused its scheduled jobs, and the gateway restarts itself.
    DeletedAgents,
}

/// Durable memory of one gateway.
pub trait Journal: Send + Sync + Debug {
    /// What is recorded.
    fn recorded(&self, topic: Topic) -> BTreeSet<String>;

    /// Records these agents. Called before the write that makes it true; an error stops that write. Recording the same ids again is success.
    fn record<'a>(
        &'a self,
        topic: Topic,
        ids: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Result<(), JournalError>>;

    /// Forgets these agents, after the write that ends it. Forgetting what is not recorded is success.
    fn forget<'a>(
        &'a self,
        topic: Topic,
        ids: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Result<(), JournalError>>;
}

/// The record could not be made.
#[derive(Debug, thiserror::Error)]
#[error("could not write down what is about to change: {message}")]
pub struct JournalError {
    /// What went wrong, for people.
    pub message: String,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}
