//! What a test sees of a fake gateway: counts, and every single request where it asks to be told.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

/// What a fake has seen so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// WebSocket connections.
    pub(crate) connections: usize,
    /// Requests by method, `connect` included.
    pub(crate) methods: BTreeMap<String, usize>,
    /// Requests that are held now.
    pub(crate) held: usize,
    /// Times that the gateway restarted itself, because it was driven in a way that it does not survive.
    pub(crate) self_restarts: usize,
}

impl Seen {
    /// Requests of one method.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.methods.get(method).copied().unwrap_or_default()
    }
}

/// A request, as the function that was given to `Fake::on_call` is told of it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The how manieth of this gateway it is, from 1 and `connect` included.
    pub(crate) number: usize,
    /// Its method.
    pub(crate) method: String,
    /// Its parameters.
    pub(crate) params: Value,
    /// Where it stands.
    pub(crate) moment: Moment,
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Moment {
    /// It has been read; nothing has been done.
    Before,
    /// What it changes is changed; the answer has not been sent.
    After,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on.
    Go,
    /// It stays as it is until `Fake::release`; other requests go on. One that is never released is never carried out or answered.
    Hold,
    /// Its connection ends, and it goes no further.
    Drop,
}

type Judge = Arc<dyn Fn(&Call) -> Verdict + Send + Sync>;

/// Who is told of every request.
#[derive(Default)]
pub(super) struct Hook(Mutex<Option<Judge>>);

impl Hook {
    pub(super) fn set(&self, judge: Option<Judge>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = judge;
    }

    /// Called without any lock of the fake's: the function may ask its handle.
    pub(super) fn judge(&self, call: &Call) -> Verdict {
        let judge = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        judge.map_or(Verdict::Go, |judge| judge(call))
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}
