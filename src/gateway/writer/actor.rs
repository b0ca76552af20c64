//! The task behind a writer: collects what is handed in, takes turns, and holds what all kinds of turn share: a link to the process,
//! and the barrier between two changes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::super::members::Members;
use super::super::{CallError, Config, Link, Topic, WriteError};
use super::budget::Budget;
use super::queue::{Job, Queue, Turn};

/// Wishes are collected until none came for this long ...
const QUIET: Duration = Duration::from_millis(250);
/// ... or the first of them has waited as long as it pays to: a second patch costs the gateway more than the wait for a few more wishes
/// of the first. Measured: 10 to 14 s for one patch with a hundred new agents, 3 s for one with a few on the same roster.
const LONGEST_COLLECTION: Duration = Duration::from_secs(2);
const LONGER_PER_WISH: Duration = Duration::from_millis(100);
const LONGEST_COLLECTION_OF_MANY: Duration = Duration::from_secs(10);
/// A link that went down has this long to come up again before those who wait are told.
const LINK_WAIT: Duration = Duration::from_secs(30);
/// The gateway has this long to apply a change. Measured: 58 s for a hundred heartbeats at once on a roster of 250.
const APPLY_WAIT: Duration = Duration::from_mins(5);
const FIRST_POLL: Duration = Duration::from_millis(50);
const LONGEST_POLL: Duration = Duration::from_secs(1);
/// Pause before asking a gateway again that is busy and does not say for how long.
pub(super) const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// Runs until all handles are gone or the process is.
pub(super) async fn run(
    inbox: mpsc::Receiver<Job>,
    members: Members,
    writes_per_minute: usize,
    gone: CancellationToken,
) {
    let mut writer = WriterTask {
        inbox,
        queue: Queue::default(),
        hands: Hands {
            members,
            budget: Budget::new(writes_per_minute),
            missing: BTreeSet::new(),
            deletion_may_be_under_way: true,
            unsettled: false,
            takes_whole: true,
        },
    };
    // Dropping the task drops every reply: those who wait learn that the outcome is unknown.
    gone.run_until_cancelled(writer.work()).await;
}

struct WriterTask {
    inbox: mpsc::Receiver<Job>,
    queue: Queue,
    hands: Hands,
}

impl WriterTask {
    async fn work(&mut self) {
        while self.collect().await {
            match self.queue.next() {
                Some(Turn::Patch(jobs)) => self.hands.patch(jobs).await,
                Some(Turn::Delete(job)) => {
                    let next = self.queue.deletions();
                    self.hands.delete(job, next).await;
                }
                Some(Turn::Release(job)) => self.hands.release(job).await,
                None => {}
            }
        }
    }

    /// Takes in what is there, and waits a little for more wishes when there is one. False: nobody can hand in anything any more.
    async fn collect(&mut self) -> bool {
        if self.queue.is_empty() {
            match self.inbox.recv().await {
                Some(job) => self.queue.push(job),
                None => return false,
            }
        }
        while let Ok(job) = self.inbox.try_recv() {
            self.queue.push(job);
        }
        while let Some(oldest) = self.queue.oldest_wish() {
            let until = (Instant::now() + QUIET).min(oldest + longest(self.queue.len()));
            match timeout_at(until, self.inbox.recv()).await {
                Ok(Some(job)) => self.queue.push(job),
                Ok(None) | Err(_) => break,
            }
        }
        true
    }
}

/// How long the first of so many may wait for more.
fn longest(waiting: usize) -> Duration {
    let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
    LONGER_PER_WISH
        .saturating_mul(waiting)
        .saturating_add(LONGEST_COLLECTION)
        .min(LONGEST_COLLECTION_OF_MANY)
}

/// What a turn works with.
pub(super) struct Hands {
    pub(super) members: Members,
    pub(super) budget: Budget,
    /// Agents that this writer has deleted, or that were there once and then were not, so that somebody else may have deleted them. Those
    /// that come back are taken out.
    pub(super) missing: BTreeSet<String>,
    /// A deletion that an operator before this one began, or one whose answer was lost, may not have reached the document yet.
    pub(super) deletion_may_be_under_way: bool,
    /// What we wrote has not been applied yet, and the next patch builds on it.
    pub(super) unsettled: bool,
    /// The gateway has not refused a whole document yet for parts that are not ours. One with an `$include` in it does: it reads back
    /// something else than it shows.
    pub(super) takes_whole: bool,
}

impl Hands {
    pub(super) async fn link(&self) -> Result<Link, CallError> {
        self.members
            .link(LINK_WAIT)
            .await
            .ok_or(CallError::Disconnected { sent: false })
    }

    /// What the journals of this process hold, all together.
    pub(super) fn recorded(&self, topic: Topic) -> BTreeSet<String> {
        let journals = self.members.journals();
        journals
            .iter()
            .flat_map(|journal| journal.recorded(topic))
            .collect()
    }

    /// Records these in every journal of this process.
    pub(super) async fn record(
        &self,
        topic: Topic,
        ids: &BTreeSet<String>,
    ) -> Result<(), WriteError> {
        if ids.is_empty() {
            return Ok(());
        }
        for journal in self.members.journals() {
            journal.record(topic, ids).await.map_err(Arc::new)?;
        }
        Ok(())
    }

    /// Takes these out of every journal of this process.
    pub(super) async fn forget(
        &self,
        topic: Topic,
        ids: &BTreeSet<String>,
    ) -> Result<(), WriteError> {
        for journal in self.members.journals() {
            journal.forget(topic, ids).await.map_err(Arc::new)?;
        }
        Ok(())
    }

    /// Reads the config until `fits` holds, and until what we wrote has been applied where that is not known.
    pub(super) async fn read(
        &mut self,
        fits: impl Fn(&Config) -> bool,
    ) -> Result<Config, WriteError> {
        if self.unsettled {
            return self.settled(fits).await;
        }
        self.look(fits, None).await
    }

    /// Reads the config until `fits` holds and what was written before this call, by whomever, has been applied.
    pub(super) async fn settled(
        &mut self,
        fits: impl Fn(&Config) -> bool,
    ) -> Result<Config, WriteError> {
        let config = self.look(fits, Some(Barrier::default())).await?;
        self.unsettled = false;
        Ok(config)
    }

    /// Reads the config until `fits` holds and the barrier is passed. An invalid document is never applied: it is reported at once.
    async fn look(
        &self,
        fits: impl Fn(&Config) -> bool,
        mut barrier: Option<Barrier>,
    ) -> Result<Config, WriteError> {
        let until = Instant::now() + APPLY_WAIT;
        let mut pause = FIRST_POLL;
        loop {
            let link = self.link().await?;
            let mut events = link.events();
            match link.config_get().await {
                Ok(config) if !config.valid => {
                    return Err(WriteError::ConfigInvalid {
                        message: super::blame::words(&config.issues),
                        issues: config.issues,
                    });
                }
                Ok(config) => {
                    let passed = barrier
                        .as_mut()
                        .is_none_or(|barrier| barrier.is_passed(&config));
                    if passed && fits(&config) {
                        return Ok(config);
                    }
                }
                Err(CallError::Disconnected { .. } | CallError::Deadline { .. }) => {}
                Err(CallError::Unavailable { retry_after, .. }) => {
                    rest(retry_after.unwrap_or(BUSY_PAUSE)).await;
                }
                Err(error) => return Err(error.into()),
            }
            if Instant::now() >= until {
                return Err(CallError::NotAppliedYet {
                    message: format!("not within {} s", APPLY_WAIT.as_secs()),
                }
                .into());
            }
            // The event comes when a change has been applied, but several may come as one, or none.
            match timeout(pause, events.recv()).await {
                Ok(Ok(_) | Err(broadcast::error::RecvError::Lagged(_))) | Err(_) => {}
                Ok(Err(broadcast::error::RecvError::Closed)) => rest(pause).await,
            }
            pause = (pause * 2).min(LONGEST_POLL);
        }
    }
}

/// Whether everything that was written before the first look has been applied by the running gateway.
///
/// So it is when it goes by the document as it is. Where others write faster than it applies, that moment may never be seen: then two
/// applications that end while we look will do. The first may have begun before we looked; the second began after the first had ended,
/// and each takes the newest document there is.
#[derive(Debug, Default)]
struct Barrier {
    applied: Option<String>,
    ended: usize,
}

impl Barrier {
    fn is_passed(&mut self, config: &Config) -> bool {
        let before = std::mem::replace(&mut self.applied, config.applied_hash.clone());
        if before.is_some() && before != self.applied {
            self.ended += 1;
        }
        config.is_applied() || self.ended >= 2
    }
}

pub(super) async fn rest(pause: Duration) {
    tokio::time::sleep(pause).await;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_barrier_is_passed_when_all_is_applied_or_two_applications_have_ended() {
        let look = |revision: &str, applied: Option<&str>| -> Config {
            serde_json::from_value(json!({
                "hash": revision, "configRevisionHash": revision, "appliedConfigHash": applied,
                "parsed": {}, "exists": true, "valid": true,
            }))
            .unwrap()
        };
        assert!(Barrier::default().is_passed(&look("a", Some("a"))));
        assert!(!Barrier::default().is_passed(&look("a", None)));

        let mut barrier = Barrier::default();
        assert!(!barrier.is_passed(&look("c", Some("a"))));
        assert!(!barrier.is_passed(&look("d", Some("a"))), "nothing ended");
        assert!(
            !barrier.is_passed(&look("e", Some("b"))),
            "it may have begun before"
        );
        assert!(!barrier.is_passed(&look("f", Some("b"))));
        assert!(barrier.is_passed(&look("g", Some("d"))));

        let mut barrier = Barrier::default();
        assert!(!barrier.is_passed(&look("b", Some("a"))));
        assert!(barrier.is_passed(&look("b", Some("b"))));
    }
}
