//! What is done to requests instead of forwarding them, and the answers of an API server in trouble, word for word.

use std::fmt;

use hyper::StatusCode;
use serde_json::{Value, json};

use super::call::Call;

/// What happens to a request that the API server does not hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 429 with a `Retry-After` of so many seconds, as priority and fairness answers.
    TooManyRequests(u64),
    /// 409: somebody changed the object meanwhile.
    Conflict,
    /// 410 as the answer to a request for a watch.
    Gone,
    /// A watch that begins and ends with an event ERROR of code 410.
    Expired,
    /// The connection ends without an answer.
    Drop,
}

/// To how many of the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// To the next so many.
    Next(usize),
    /// To every so many-th.
    Every(usize),
}

/// Chooses requests.
type Which = Box<dyn Fn(&Call) -> bool + Send>;

struct Rule {
    which: Which,
    share: Share,
    fault: Fault,
    /// Requests so far that it was about.
    met: usize,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("share", &self.share)
            .field("fault", &self.fault)
            .field("met", &self.met)
            .finish_non_exhaustive()
    }
}

/// The faults that wait for their requests.
#[derive(Debug, Default)]
pub(super) struct Rules(Vec<Rule>);

impl Rules {
    pub(super) fn push(&mut self, which: Which, share: Share, fault: Fault) {
        self.0.push(Rule {
            which,
            share,
            fault,
            met: 0,
        });
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault that this request meets: that of the first rule which is about it and whose share it falls into.
    pub(super) fn meet(&mut self, call: &Call) -> Option<Fault> {
        self.0.iter_mut().find_map(|rule| {
            if !(rule.which)(call) {
                return None;
            }
            rule.met += 1;
            let falls = match rule.share {
                Share::Next(count) => rule.met <= count,
                Share::Every(count) => rule.met % count == 0,
            };
            falls.then_some(rule.fault)
        })
    }
}

/// An answer of the proxy's own.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: StatusCode,
    pub(super) retry_after: Option<u64>,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

impl Fault {
    /// None for a connection that ends.
    pub(super) fn answer(self, call: &Call) -> Option<Answer> {
        let json = |code, body: &Value| Answer {
            code,
            retry_after: None,
            content_type: "application/json",
            body: body.to_string(),
        };
        Some(match self {
            Self::TooManyRequests(seconds) => Answer {
                code: StatusCode::TOO_MANY_REQUESTS,
                retry_after: Some(seconds),
                content_type: "text/plain; charset=utf-8",
                body: "Too many requests, please try again later.\n".to_owned(),
            },
            Self::Conflict => {
                let message = format!(
                    "Operation cannot be fulfilled on {} \"{}\": the object has been modified; please apply your changes to the latest version and try again",
                    call.resource, call.name
                );
                json(StatusCode::CONFLICT, &status(409, "Conflict", &message))
            }
            Self::Gone => json(StatusCode::GONE, &too_old()),
            Self::Expired => Answer {
                body: expired_event(),
                ..json(StatusCode::OK, &Value::Null)
            },
            Self::Drop => return None,
        })
    }
}

/// The event that ends a watch whose history is gone, as a line of its stream.
pub(super) fn expired_event() -> String {
    format!("{}\n", json!({"type": "ERROR", "object": too_old()}))
}

fn too_old() -> Value {
    status(410, "Expired", "too old resource version: 1 (2)")
}

fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {},
        "status": "Failure", "message": message, "reason": reason, "code": code,
    })
}
