//! The one writer of a gateway process's config document.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{EntryWish, WriteError};

/// Handle on the writer of one gateway process. Clones share it.
#[derive(Clone, Debug)]
pub struct Writer {}

/// A fulfilled wish.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The agent's whole entry, as read back.
    pub entry: Value,
    /// Whether anything had to be written for this agent.
    pub wrote: bool,
    /// The agent's heartbeat job, where it has one.
    pub heartbeat_job: Option<String>,
}

/// A fulfilled deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// The agent was there and is gone.
    Deleted,
    /// It was not there.
    Missing,
}

impl Writer {
    /// Makes one agent's entry what it should be, together with all other wishes that wait. Returns after the gateway has applied it.
    pub async fn apply(&self, wish: EntryWish) -> Result<Applied, WriteError> {
        let _ = wish;
        todo!()
    }

    /// Deletes one agent, one at a time for the whole gateway. Returns after the gateway has applied it.
    pub async fn delete(&self, agent_id: &str, delete_files: bool) -> Result<Deleted, WriteError> {
        let _ = (agent_id, delete_files);
        todo!()
    }

    /// Takes `heartbeat: {}` out of the entries of these agents again, where it is still exactly that. Returns the ids whose entries
    /// no longer hold it, or that are gone: all that were asked for.
    pub async fn release_kept(&self, ids: &BTreeSet<String>) -> Result<(), WriteError> {
        let _ = ids;
        todo!()
    }
}
