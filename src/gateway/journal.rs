//! Where the operator writes down what it is about to change for others, before it changes it.

use std::collections::BTreeSet;
use std::fmt::Debug;

use futures_util::future::BoxFuture;

/// Durable memory of the agents of others to whose entries we add `heartbeat: {}`.
pub trait Journal: Send + Sync + Debug {
    /// Records that these agents get `heartbeat: {}` from us. Called before the patch that writes it; an error stops that patch.
    /// Recording the same ids again is success.
    fn record_kept<'a>(
        &'a self,
        ids: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Result<(), JournalError>>;

    /// Forgets these agents, after their `heartbeat: {}` was taken back. Forgetting what is not recorded is success.
    fn forget_kept<'a>(
        &'a self,
        ids: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Result<(), JournalError>>;
}

/// The record could not be made.
#[derive(Debug, thiserror::Error)]
#[error("could not record whose heartbeats are being kept: {message}")]
pub struct JournalError {
    /// What went wrong, for people.
    pub message: String,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}
