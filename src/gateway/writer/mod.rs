//! The one writer of a gateway process's config document. Every change of the document costs the gateway seconds, invalidates every
//! other change's base, and two unsynchronised deletes make the gateway restart itself; so all of them pass through one task.
//!
//! `queue` orders what waits, `budget` keeps the rate, `blame` finds whose wish was refused, `patch` and `single` are the
//! turns, and `send` is one write of them.

mod actor;
mod blame;
mod budget;
mod patch;
mod queue;
mod send;
mod single;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::queue::{DeleteJob, Job, ReleaseJob, WishJob};
use super::members::Members;
use super::{CallError, EntryWish, WriteError};

/// Changes that wait before those who hand in more have to wait themselves.
const WAITING: usize = 1024;

/// Handle on the writer of one gateway process. Clones share it.
#[derive(Clone, Debug)]
pub struct Writer {
    jobs: mpsc::Sender<Job>,
    gone: CancellationToken,
}

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

/// What became of heartbeats of others that were kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// None of their entries holds our `heartbeat: {}` any more, and no journal names them.
    Done,
    /// Another agent on the gateway has a heartbeat block, without theirs they would fall silent: nothing was written.
    StillNeeded,
}

impl Writer {
    /// Starts the writer of the process that `members` reach, as a task of the current tokio runtime.
    pub(super) fn start(members: Members, writes_per_minute: usize) -> Self {
        let (jobs, inbox) = mpsc::channel(WAITING);
        let gone = CancellationToken::new();
        tokio::spawn(actor::run(inbox, members, writes_per_minute, gone.clone()));
        Self { jobs, gone }
    }

    /// The process is gone: all that wait are told to come again.
    pub(super) fn stop(&self) {
        self.gone.cancel();
    }

    /// Its task is over: it was stopped, or has panicked.
    pub(super) fn has_ended(&self) -> bool {
        self.jobs.is_closed()
    }

    /// Makes one agent's entry what it should be, together with all other wishes that wait. Returns after the gateway has applied it.
    ///
    /// A transient error says that it may or may not have been written: hand the wish in again, without `must_be_absent` if the entry
    /// has been claimed meanwhile.
    pub async fn apply(&self, wish: EntryWish) -> Result<Applied, WriteError> {
        let (reply, answer) = oneshot::channel();
        let queued = Instant::now();
        self.hand_in(
            Job::Wish(WishJob {
                wish,
                queued,
                may_be_ours: false,
                reply,
            }),
            answer,
        )
        .await
    }

    /// Deletes one agent, one at a time for the whole gateway. Returns after the gateway has applied it.
    pub async fn delete(&self, agent_id: &str, delete_files: bool) -> Result<Deleted, WriteError> {
        let (reply, answer) = oneshot::channel();
        let agent_id = agent_id.to_owned();
        self.hand_in(
            Job::Delete(DeleteJob {
                agent_id,
                delete_files,
                reply,
            }),
            answer,
        )
        .await
    }

    /// Takes `heartbeat: {}` out of the entries of these agents again, where it is still exactly that, and then out of the journals,
    /// unless another agent's heartbeat block still makes it necessary.
    pub async fn release_kept(&self, ids: &BTreeSet<String>) -> Result<Released, WriteError> {
        let (reply, answer) = oneshot::channel();
        let ids = ids.clone();
        self.hand_in(Job::Release(ReleaseJob { ids, reply }), answer)
            .await
    }

    async fn hand_in<T>(
        &self,
        job: Job,
        answer: oneshot::Receiver<Result<T, WriteError>>,
    ) -> Result<T, WriteError> {
        if self.jobs.send(job).await.is_err() {
            return Err(CallError::Disconnected { sent: false }.into());
        }
        // The task ends without an answer only when the gateway process is gone.
        answer
            .await
            .unwrap_or_else(|_| Err(CallError::Disconnected { sent: true }.into()))
    }
}
