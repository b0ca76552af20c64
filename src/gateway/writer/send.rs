//! One write of the document, the two ways to send it, and what each of its many ends means for the turn.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::difference::{Difference, rewritten};
use super::super::{CallError, Config, Issue, Link, Patched};
use super::actor::{BUSY_PAUSE, Hands, rest};
use super::blame::{Blame, blame};

/// Pause before reading again after somebody else's write, or a lost connection, spread over this.
const CONFLICT_SPREAD: Duration = Duration::from_millis(400);
/// A write that fails so often for passing reasons is handed back.
pub(super) const MOST_TRIES: usize = 10;

/// How a change of the document is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// `config.patch`: only what changes. The gateway answers when it has applied it, and counts these calls.
    Merge,
    /// `config.set`: the whole document. What somebody else writes between our look and its arrival makes either fail, but this
    /// one is judged at once and is not counted, so that it can be tried until it wins. Measured beside somebody who writes as fast
    /// as the gateway takes it: 33 patches for 5 changes, and up to 31 s for one of them.
    Replace,
}

/// How one try to write ended.
#[derive(Debug)]
pub(super) enum Sent {
    /// The gateway took it.
    Written {
        /// Version of the document after it, where that is known.
        hash: Option<String>,
    },
    /// The gateway took it and found nothing to change: it keeps something of ours as another value than was sent.
    Unchanged,
    /// It was not executed; read again and try again.
    Again(CallError),
    /// Nobody knows whether it was executed; read again and judge by what is there.
    Uncertain(CallError),
    /// The gateway refuses it as it stands.
    Refused { message: String, issues: Vec<Issue> },
    /// It failed for good.
    Failed(CallError),
}

impl Hands {
    /// How the next try goes after one that failed so.
    pub(super) fn way_after(&self, way: Way, error: &CallError) -> Way {
        match error {
            CallError::HashConflict if self.takes_whole => Way::Replace,
            CallError::Rejected { .. } => Way::Merge,
            _ => way,
        }
    }

    /// One config write. Pauses as the outcome demands before it returns.
    pub(super) async fn send(&mut self, difference: &Difference, base: &Config, way: Way) -> Sent {
        let link = match self.link().await {
            Ok(link) => link,
            Err(error) => return Sent::Failed(error),
        };
        if way == Way::Merge {
            self.budget.spend().await;
        }
        let started = Instant::now();
        let outcome = write(&link, difference, base, way).await;
        self.members.forget_observed();
        tracing::info!(
            ?way,
            agents = difference.changed.len(),
            kept = difference.kept.len(),
            ms = started.elapsed().as_millis(),
            outcome = outcome
                .as_ref()
                .err()
                .map_or_else(|| "written".to_owned(), ToString::to_string),
            "config write"
        );
        match outcome {
            Ok(answer) if answer.noop => Sent::Unchanged,
            Ok(answer) => {
                // A patch is answered when it has been applied.
                self.unsettled |= way == Way::Replace;
                Sent::Written { hash: answer.hash }
            }
            Err(CallError::NotAppliedYet { .. }) => {
                self.unsettled = true;
                Sent::Written { hash: None }
            }
            Err(CallError::Rejected { message, issues }) => {
                let blamed = blame(&difference.changed, &issues);
                if way == Way::Replace && !matches!(blamed, Blame::Agents(_)) {
                    self.takes_whole = false;
                    return Sent::Again(CallError::Rejected { message, issues });
                }
                Sent::Refused { message, issues }
            }
            Err(error) => self.judge(error).await,
        }
    }

    /// What a failed call means for the turn, after the pause that it demands.
    pub(super) async fn judge(&mut self, error: CallError) -> Sent {
        match &error {
            CallError::HashConflict | CallError::Disconnected { sent: false } => {
                rest(CONFLICT_SPREAD.mul_f64(rand::random())).await;
                Sent::Again(error)
            }
            CallError::RateLimited { retry_after, .. } => {
                self.budget.hold(retry_after.unwrap_or(BUSY_PAUSE));
                Sent::Again(error)
            }
            CallError::Unavailable { retry_after, .. } => {
                rest(retry_after.unwrap_or(BUSY_PAUSE)).await;
                Sent::Again(error)
            }
            error_of_unknown_outcome if error_of_unknown_outcome.outcome_unknown() => {
                rest(CONFLICT_SPREAD.mul_f64(rand::random())).await;
                Sent::Uncertain(error)
            }
            _ => Sent::Failed(error),
        }
    }
}

async fn write(
    link: &Link,
    difference: &Difference,
    base: &Config,
    way: Way,
) -> Result<Patched, CallError> {
    match way {
        Way::Merge => {
            let patch = difference.clone().into_patch();
            link.config_patch(&patch, &difference.replace_paths, &base.hash)
                .await
        }
        Way::Replace => {
            let document = rewritten(base.parsed.text(), &difference.patch).map_err(|source| {
                CallError::Unreadable {
                    method: "config.get",
                    source: Arc::new(source),
                }
            })?;
            let answer = link.config_set(&document, &base.hash).await?;
            Ok(Patched {
                // It does not say so itself.
                noop: answer.hash.as_ref() == Some(&base.hash),
                ..answer
            })
        }
    }
}
