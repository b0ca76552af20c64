//! The turns that go alone: one deletion, or taking back what was written to keep heartbeats of others.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::sleep;

use super::super::difference::release;
use super::super::{CallError, Topic, WriteError};
use super::actor::Hands;
use super::queue::{DeleteJob, ReleaseJob};
use super::send::{MOST_TRIES, Sent, Way};
use super::{Deleted, Released};

/// A deletion that nobody waits for has this long to reach the document, where the barrier sees it. Two at once make the gateway restart
/// itself. Measured: up to 1.9 s on a loaded machine of two cores.
const UNDER_WAY: Duration = Duration::from_secs(4);

impl Hands {
    /// Deletes one agent and waits until the running gateway has applied it. `next` are those that wait for their turn: all are written
    /// down at once.
    pub(super) async fn delete(&mut self, job: DeleteJob, mut next: BTreeSet<String>) {
        // Nobody waits any more: whoever asked has been cut off, and asks again.
        if job.reply.is_closed() {
            return;
        }
        next.insert(job.agent_id.clone());
        let outcome = self
            .delete_agent(&job.agent_id, job.delete_files, &next)
            .await;
        self.members.forget_observed();
        job.reply.send(outcome).ok();
    }

    async fn delete_agent(
        &mut self,
        agent_id: &str,
        delete_files: bool,
        written_down: &BTreeSet<String>,
    ) -> Result<Deleted, WriteError> {
        let mut uncertain = false;
        let mut last_error = CallError::Disconnected { sent: false };
        for _ in 0..MOST_TRIES {
            let config = self.settled(|_| true).await?;
            let listed = config
                .entries()
                .is_none_or(|entries| entries.contains_key(agent_id));
            if !listed {
                return Ok(gone(uncertain));
            }
            if std::mem::take(&mut self.deletion_may_be_under_way) {
                sleep(UNDER_WAY).await;
                continue;
            }
            self.record(Topic::DeletedAgents, written_down).await?;
            let link = self.link().await?;
            match link.agents_delete(agent_id, delete_files).await {
                Ok(deletion) => {
                    // A journal forgets the oldest; this process does not.
                    self.missing.insert(agent_id.to_owned());
                    if deletion.purge_failed {
                        tracing::warn!(
                            agent_id,
                            "the gateway could not move all files of a deleted agent away"
                        );
                    }
                    self.settled(|config| config.entry(agent_id).is_none())
                        .await?;
                    return Ok(Deleted::Deleted);
                }
                Err(CallError::AgentNotFound { .. }) => return Ok(gone(uncertain)),
                Err(error) => match self.judge(error).await {
                    Sent::Uncertain(error) => {
                        uncertain = true;
                        self.deletion_may_be_under_way = true;
                        last_error = error;
                    }
                    Sent::Again(error) => last_error = error,
                    Sent::Failed(error) => return Err(error.into()),
                    Sent::Written { .. } | Sent::Unchanged | Sent::Refused { .. } => {}
                },
            }
        }
        Err(last_error.into())
    }

    /// Takes `heartbeat: {}` back.
    pub(super) async fn release(&mut self, job: ReleaseJob) {
        let outcome = self.release_kept(&job).await;
        self.members.forget_observed();
        job.reply.send(outcome).ok();
    }

    async fn release_kept(&mut self, job: &ReleaseJob) -> Result<Released, WriteError> {
        let mut last_error = CallError::HashConflict;
        let mut way = Way::Merge;
        for _ in 0..MOST_TRIES {
            let config = self.settled(|_| true).await?;
            let Some(difference) = release(&config.parsed, &job.ids) else {
                return Ok(Released::StillNeeded);
            };
            if difference.is_empty() {
                // Within this turn: no patch can keep one of them again before the record is gone.
                self.forget(Topic::KeptHeartbeats, &job.ids).await?;
                return Ok(Released::Done);
            }
            match self.send(&difference, &config, way).await {
                // The next round reads it back.
                Sent::Written { .. } => {
                    self.read(|now| now.hash != config.hash).await?;
                }
                Sent::Unchanged => {}
                Sent::Again(error) | Sent::Uncertain(error) => {
                    way = self.way_after(way, &error);
                    last_error = error;
                }
                Sent::Refused { message, issues } => {
                    return Err(WriteError::ConfigInvalid { message, issues });
                }
                Sent::Failed(error) => return Err(error.into()),
            }
        }
        Err(last_error.into())
    }
}

/// An agent that is not there: gone because of a deletion whose answer was lost, or never there.
fn gone(uncertain: bool) -> Deleted {
    if uncertain {
        Deleted::Deleted
    } else {
        Deleted::Missing
    }
}
