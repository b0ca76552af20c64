//! What waits to be written, and what goes next: all wishes that may go together, or one deletion, in turn. No I/O.

use std::collections::{BTreeSet, VecDeque};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::{EntryWish, WriteError};
use super::{Applied, Deleted, Released};

/// Deletions that are written down together before the first of them is made; well below what a journal keeps.
const WRITTEN_AHEAD: usize = 100;

/// One agent's wish and who waits for it.
#[derive(Debug)]
pub(super) struct WishJob {
    pub(super) wish: EntryWish,
    pub(super) queued: Instant,
    /// A patch with this wish was sent: the entry may be there because of us.
    pub(super) may_be_ours: bool,
    pub(super) reply: oneshot::Sender<Result<Applied, WriteError>>,
}

impl WishJob {
    /// Answers. Who no longer waits does not mind.
    pub(super) fn answer(self, outcome: Result<Applied, WriteError>) {
        self.reply.send(outcome).ok();
    }
}

/// One deletion and who waits for it.
#[derive(Debug)]
pub(super) struct DeleteJob {
    pub(super) agent_id: String,
    pub(super) delete_files: bool,
    pub(super) reply: oneshot::Sender<Result<Deleted, WriteError>>,
}

/// Heartbeats of others that need no keeping any more, and who waits for it.
#[derive(Debug)]
pub(super) struct ReleaseJob {
    pub(super) ids: BTreeSet<String>,
    pub(super) reply: oneshot::Sender<Result<Released, WriteError>>,
}

/// What can be handed in.
#[derive(Debug)]
pub(super) enum Job {
    Wish(WishJob),
    Delete(DeleteJob),
    Release(ReleaseJob),
}

impl Job {
    fn agent_id(&self) -> Option<&str> {
        match self {
            Self::Wish(job) => Some(&job.wish.agent_id),
            Self::Delete(job) => Some(&job.agent_id),
            Self::Release(_) => None,
        }
    }
}

/// What goes next.
#[derive(Debug)]
pub(super) enum Turn {
    /// One patch for all of these; no agent twice.
    Patch(Vec<WishJob>),
    Delete(DeleteJob),
    Release(ReleaseJob),
}

/// Jobs in the order in which they came. Those about one agent are never reordered.
#[derive(Debug, Default)]
pub(super) struct Queue {
    jobs: VecDeque<Job>,
    /// A patch went last: when both kinds wait it is the other's turn.
    patched_last: bool,
}

impl Queue {
    pub(super) fn push(&mut self, job: Job) {
        self.jobs.push_back(job);
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// When the oldest wish was handed in; `None` when no wish waits.
    pub(super) fn oldest_wish(&self) -> Option<Instant> {
        self.jobs
            .iter()
            .filter_map(|job| match job {
                Job::Wish(job) => Some(job.queued),
                _ => None,
            })
            .min()
    }

    /// Agents whose deletions wait, the first [`WRITTEN_AHEAD`] of them.
    pub(super) fn deletions(&self) -> BTreeSet<String> {
        self.jobs
            .iter()
            .filter_map(|job| match job {
                Job::Delete(job) => Some(job.agent_id.clone()),
                _ => None,
            })
            .take(WRITTEN_AHEAD)
            .collect()
    }

    /// Takes out what goes next. Wishes and single jobs alternate when both wait, so that neither starves.
    pub(super) fn next(&mut self) -> Option<Turn> {
        let turn = if self.patched_last {
            self.take_single().or_else(|| self.take_wishes())
        } else {
            self.take_wishes().or_else(|| self.take_single())
        };
        self.patched_last = matches!(turn, Some(Turn::Patch(_)));
        turn
    }

    fn take_wishes(&mut self) -> Option<Turn> {
        let mut earlier: BTreeSet<String> = BTreeSet::new();
        let mut taken = Vec::new();
        let mut left = VecDeque::with_capacity(self.jobs.len());
        for job in self.jobs.drain(..) {
            let free = job
                .agent_id()
                .is_none_or(|agent_id| earlier.insert(agent_id.to_owned()));
            match job {
                Job::Wish(job) if free => taken.push(job),
                job => left.push_back(job),
            }
        }
        self.jobs = left;
        (!taken.is_empty()).then_some(Turn::Patch(taken))
    }

    fn take_single(&mut self) -> Option<Turn> {
        let mut earlier: BTreeSet<&str> = BTreeSet::new();
        let position = self.jobs.iter().position(|job| {
            let free = job
                .agent_id()
                .is_none_or(|agent_id| earlier.insert(agent_id));
            free && !matches!(job, Job::Wish(_))
        })?;
        match self.jobs.remove(position)? {
            Job::Delete(job) => Some(Turn::Delete(job)),
            Job::Release(job) => Some(Turn::Release(job)),
            Job::Wish(job) => Some(Turn::Patch(vec![job])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(agent_id: &str) -> Job {
        Job::Wish(WishJob {
            wish: EntryWish::of(agent_id),
            queued: Instant::now(),
            may_be_ours: false,
            reply: oneshot::channel().0,
        })
    }

    fn delete(agent_id: &str) -> Job {
        Job::Delete(DeleteJob {
            agent_id: agent_id.to_owned(),
            delete_files: true,
            reply: oneshot::channel().0,
        })
    }

    /// The turns that a queue takes: `+a,b` one patch for a and b, `-a` a deletion.
    fn turns(jobs: impl IntoIterator<Item = Job>) -> String {
        let mut queue = Queue::default();
        jobs.into_iter().for_each(|job| queue.push(job));
        let mut told = Vec::new();
        while let Some(turn) = queue.next() {
            told.push(match turn {
                Turn::Patch(jobs) => {
                    let ids: Vec<_> = jobs.iter().map(|job| job.wish.agent_id.as_str()).collect();
                    format!("+{}", ids.join(","))
                }
                Turn::Delete(job) => format!("-{}", job.agent_id),
                Turn::Release(_) => "release".to_owned(),
            });
        }
        assert!(queue.is_empty());
        told.join(" ")
    }

    #[tokio::test]
    async fn wishes_go_together_and_deletions_one_by_one_in_turn() {
        assert_eq!(turns([wish("a"), wish("b"), wish("c")]), "+a,b,c");
        assert_eq!(
            turns([delete("x"), delete("y"), wish("a"), delete("z"), wish("b")]),
            "+a,b -x -y -z"
        );
    }

    #[tokio::test]
    async fn jobs_about_one_agent_keep_their_order() {
        assert_eq!(turns([delete("a"), wish("a"), wish("b")]), "+b -a +a");
        assert_eq!(turns([wish("a"), delete("a"), wish("a")]), "+a -a +a");
        assert_eq!(turns([wish("a"), wish("a"), wish("b")]), "+a,b +a");
        assert_eq!(
            turns([delete("a"), wish("a"), delete("b"), wish("c")]),
            "+c -a +a -b"
        );
    }
}
