//! What stands around every reconcile: a deadline, a net for panics, a count, and per-object backoff.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use thiserror::Error;
use tokio::time::Instant;

use crate::{
    gateway::{self, CallError, WriteError},
    metrics::{Controller, Metrics, Outcome},
    plan::retry,
    unwind::{self, Caught},
};

/// Longest reconcile. A config write on a big roster takes minutes and has a deadline of its own (five minutes); this one is for what hangs.
const DEADLINE: Duration = Duration::from_mins(15);

/// Wait after the API server was too busy for us. What it asked for is not in the error; a second is usual, and the client has tried again
/// three times by then.
const OVERLOAD_WAIT: Duration = Duration::from_secs(5);

/// When to come again after a reconcile that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// When something changes.
    Change,
    /// When something changes, but not later than this.
    Within(Duration),
}

impl Next {
    /// The sooner of two.
    pub(super) fn or_sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::Within(one), Self::Within(other)) => Self::Within(one.min(other)),
            (Self::Change, next) | (next, Self::Change) => next,
        }
    }
}

/// Why a reconcile could not be finished. The object comes again with backoff.
#[derive(Debug, Error)]
pub(super) enum ReconcileError {
    /// The API server.
    #[error("the API server: {0}")]
    Kubernetes(#[from] Box<kube::Error>),
    /// A call on a gateway.
    #[error("the gateway: {0}")]
    Call(#[from] CallError),
    /// A write to a gateway's config.
    #[error("the gateway's config: {0}")]
    Write(#[from] WriteError),
}

impl From<kube::Error> for ReconcileError {
    fn from(error: kube::Error) -> Self {
        Self::Kubernetes(Box::new(error))
    }
}

impl ReconcileError {
    /// What the other side asked us to wait.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Call(error) | Self::Write(WriteError::Call(error)) => error.retry_after(),
            Self::Kubernetes(_) if self.is_overload() => Some(OVERLOAD_WAIT),
            Self::Write(_) | Self::Kubernetes(_) => None,
        }
    }

    /// Whether the API server asked to be left alone for a while, and still did after the client's own retries.
    pub(super) fn is_overload(&self) -> bool {
        matches!(
            self,
            Self::Kubernetes(error)
                if matches!(&**error, kube::Error::Api(status) if matches!(status.code, 429 | 503 | 504))
        )
    }

    /// Whether the gateway understood what was asked and does not want it: the same again brings the same.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Call(error) if error.class() == gateway::Class::Rejected)
    }

    /// Whether the gateway is away, starting or busy: what is said of outages says it all.
    pub(super) fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Call(error) | Self::Write(WriteError::Call(error))
                if matches!(error, CallError::Disconnected { .. } | CallError::Unavailable { .. })
        )
    }

    /// Whether it is worth a warning: what passes by itself is not.
    pub(super) fn is_expected(&self) -> bool {
        match self {
            Self::Call(error) => matches!(
                error.class(),
                gateway::Class::Transient | gateway::Class::Waiting
            ),
            Self::Write(error) => matches!(
                error.class(),
                gateway::Class::Transient | gateway::Class::Waiting
            ),
            // Somebody changed the object meanwhile, or it is gone: the watch brings what it is now.
            Self::Kubernetes(error) => {
                self.is_overload()
                    || matches!(&**error, kube::Error::Api(status) if status.code == 409 || status.code == 404)
            }
        }
    }
}

/// How a reconcile broke off that neither succeeded nor failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Broken {
    /// The code panicked.
    Panicked(Caught),
    /// It did not end in time.
    TimedOut,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(Caught(Some(place))) => {
                write!(f, "The operator panicked over this object, at {place}")
            }
            Self::Panicked(Caught(None)) => f.write_str("The operator panicked over this object"),
            Self::TimedOut => write!(
                f,
                "The operator was not done with this object after {} minutes and stopped",
                DEADLINE.as_secs() / 60
            ),
        }
    }
}

/// Runs the reconciles of one kind.
#[derive(Debug)]
pub(super) struct Runner {
    controller: Controller,
    metrics: Metrics,
    failures: Mutex<HashMap<String, Failures>>,
}

/// The failures of one object since its last success.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
    /// Until then nothing is done, whatever changes: the API server asked for it.
    rest_until: Option<Instant>,
}

impl Runner {
    /// A runner for one kind.
    #[must_use]
    pub(super) fn new(controller: Controller, metrics: Metrics) -> Self {
        Self {
            controller,
            metrics,
            failures: Mutex::default(),
        }
    }

    /// Runs `reconcile` for the object `uid` and says when to come again. One that breaks off is shown on its object by `show`, and
    /// comes again as one that failed.
    pub(super) async fn run<S: Future<Output = ()>>(
        &self,
        uid: &str,
        reconcile: impl Future<Output = Result<Next, ReconcileError>>,
        show: impl FnOnce(Broken) -> S,
    ) -> Next {
        let started = Instant::now();
        if let Some(left) = self.rest_left(uid, started) {
            return Next::Within(left);
        }
        let running = self.metrics.reconcile_started(self.controller);
        let ended = tokio::time::timeout(DEADLINE, unwind::catch(reconcile)).await;
        drop(running);
        let (outcome, next) = match ended {
            Ok(Ok(Ok(Next::Change))) => (Outcome::success, Next::Change),
            Ok(Ok(Ok(Next::Within(after)))) => (Outcome::requeue, Next::Within(after)),
            Ok(Ok(Err(error))) => {
                let wait = self
                    .failed(uid)
                    .max(error.retry_after().unwrap_or_default());
                if error.is_overload() {
                    self.rest(uid, wait);
                }
                if error.is_expected() {
                    tracing::info!(%error, retry_seconds = wait.as_secs_f32(), "comes again");
                } else {
                    tracing::warn!(%error, retry_seconds = wait.as_secs_f32(), "reconcile failed");
                }
                (Outcome::error, Next::Within(wait))
            }
            Ok(Err(caught)) => {
                show(Broken::Panicked(caught)).await;
                (Outcome::panic, Next::Within(self.failed(uid)))
            }
            Err(_) => {
                tracing::error!(
                    seconds = DEADLINE.as_secs(),
                    "reconcile stopped at its deadline"
                );
                show(Broken::TimedOut).await;
                (Outcome::timeout, Next::Within(self.failed(uid)))
            }
        };
        if matches!(outcome, Outcome::success | Outcome::requeue) {
            self.failures().remove(uid);
        }
        self.metrics
            .reconcile_ended(self.controller, outcome, started.elapsed().as_secs_f64());
        next
    }

    /// Counts a failure and answers how long to wait.
    fn failed(&self, uid: &str) -> Duration {
        let mut failures = self.failures();
        let failures = failures.entry(uid.to_owned()).or_default();
        failures.count += 1;
        retry::after(uid, failures.count)
    }

    fn rest(&self, uid: &str, wait: Duration) {
        if let Some(failures) = self.failures().get_mut(uid) {
            failures.rest_until = Some(Instant::now() + wait);
        }
    }

    fn rest_left(&self, uid: &str, now: Instant) -> Option<Duration> {
        let until = self.failures().get(uid)?.rest_until?;
        until
            .checked_duration_since(now)
            .filter(|left| !left.is_zero())
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<String, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::RefCell,
        future::{Ready, ready},
    };

    use super::*;

    fn keep(shown: &RefCell<Option<Broken>>, broken: Broken) -> Ready<()> {
        shown.replace(Some(broken));
        ready(())
    }

    #[tokio::test]
    async fn a_panic_is_caught_counted_and_comes_again() {
        let metrics = Metrics::default();
        let runner = Runner::new(Controller::agent, metrics.clone());
        let shown = RefCell::default();
        let next = runner
            .run("uid", async { panic!("oh") }, |broken| keep(&shown, broken))
            .await;
        assert_ne!(next, Next::Change);
        assert!(matches!(shown.take(), Some(Broken::Panicked(_))));
        assert!(metrics.encode().unwrap().contains(r#"result="panic"} 1"#));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reconcile_that_hangs_is_stopped() {
        let runner = Runner::new(Controller::agent, Metrics::default());
        let shown = RefCell::default();
        let next = runner
            .run("uid", std::future::pending(), |broken| keep(&shown, broken))
            .await;
        assert_ne!(next, Next::Change);
        assert_eq!(shown.take(), Some(Broken::TimedOut));
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_is_too_busy_is_left_alone_whatever_changes_meanwhile() {
        let runner = Runner::new(Controller::agent, Metrics::default());
        let shown = RefCell::default();
        let show = |broken| keep(&shown, broken);
        let busy = kube::core::Status::failure("Too many requests", "TooManyRequests");
        let busy = kube::Error::Api(busy.with_code(429).boxed());
        let next = runner.run("uid", async { Err(busy.into()) }, show).await;
        assert_eq!(next, Next::Within(OVERLOAD_WAIT));

        tokio::time::advance(OVERLOAD_WAIT / 2).await;
        let next = runner.run("uid", async { panic!("it ran") }, show).await;
        assert_eq!(next, Next::Within(OVERLOAD_WAIT / 2));
        let other = runner.run("other", async { Ok(Next::Change) }, show).await;
        assert_eq!(other, Next::Change);

        tokio::time::advance(OVERLOAD_WAIT / 2).await;
        let next = runner.run("uid", async { Ok(Next::Change) }, show).await;
        assert_eq!(next, Next::Change);
        assert_eq!(shown.take(), None);
    }

    #[tokio::test]
    async fn waits_grow_with_failures_and_start_over_after_a_success() {
        let runner = Runner::new(Controller::agent, Metrics::default());
        let shown = RefCell::default();
        let show = |broken| keep(&shown, broken);
        let fail = async || {
            runner
                .run("uid", async { Err(CallError::HashConflict.into()) }, show)
                .await
        };
        for _ in 0..5 {
            fail().await;
        }
        assert_eq!(runner.failed("uid"), retry::after("uid", 6));
        runner.run("uid", async { Ok(Next::Change) }, show).await;
        assert_eq!(runner.failed("uid"), retry::after("uid", 1));
        assert_eq!(shown.take(), None, "an error is no fault of ours");
    }
}
