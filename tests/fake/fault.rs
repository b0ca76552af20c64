//! What a test does to a fake gateway: to the next request of a method, or to all connections.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::Value;

/// What happens to one request instead of the ordinary answer.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// It is refused with this error and not executed.
    Refuse(Value),
    /// It is executed, and the connection ends before the answer.
    LoseAnswer,
    /// The connection ends before it is executed.
    LoseRequest,
    /// It is never answered, and not executed; the connection stays.
    Ignore,
    /// It is executed at once and answered after this long.
    Delay(Duration),
    /// Before the answer come frames that nobody can read or has asked for.
    Garbage,
    /// It is executed, and its answer has a payload of another shape.
    Unreadable,
    /// It is executed, and its answer is padded to this many bytes.
    Oversize(usize),
}

/// How connections are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// As they should be.
    Open,
    /// Closed as soon as they come, and those that are there.
    Cut,
    /// Nobody listens, and those that are there are closed.
    Refuse,
    /// They stay open, nothing is read or written: what a client sees of a peer that vanished without a word.
    HalfOpen,
    /// Answered with this HTTP status instead of the upgrade; those that are there stay.
    Http(u16),
}

/// Faults that wait for their request.
#[derive(Debug, Default)]
pub(super) struct Faults {
    by_method: BTreeMap<String, VecDeque<Fault>>,
}

impl Faults {
    pub(super) fn push(&mut self, method: &str, fault: Fault) {
        self.by_method
            .entry(method.to_owned())
            .or_default()
            .push_back(fault);
    }

    pub(super) fn next(&mut self, method: &str) -> Option<Fault> {
        self.by_method.get_mut(method)?.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_method.values().all(VecDeque::is_empty)
    }
}
