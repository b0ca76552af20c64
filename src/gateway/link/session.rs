//! The requests of one connection that wait for an answer: ids, deadlines, outcomes. No I/O and no clock: times are handed in.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::super::CallError;
use super::super::frame::{self, ErrorBody};
use super::super::refusal;

/// What a caller gets: the raw payload, or why there is none.
pub(crate) type Outcome = Result<Box<RawValue>, CallError>;

/// One call on its way to the wire.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) params: Box<RawValue>,
    pub(crate) started: Instant,
    pub(crate) allowed: Duration,
    /// Held until the answer or the deadline, also when the caller has gone: that is what bounds the gateway's work.
    pub(crate) permit: OwnedSemaphorePermit,
    pub(crate) reply: oneshot::Sender<Outcome>,
}

impl Request {
    /// Answers without asking the gateway. A caller that has gone does not mind.
    pub(crate) fn fail(self, error: CallError) {
        self.reply.send(Err(error)).ok();
    }
}

#[derive(Debug)]
struct Waiting {
    method: &'static str,
    deadline: Instant,
    started: Instant,
    allowed: Duration,
    reply: oneshot::Sender<Outcome>,
    /// Whether the frame has been handed to the socket.
    sent: bool,
    _permit: OwnedSemaphorePermit,
}

/// The in-flight table of one connection.
#[derive(Debug, Default)]
pub(super) struct Session {
    last_id: u64,
    waiting: HashMap<u64, Waiting>,
    deadlines: BTreeSet<(Instant, u64)>,
}

/// A frame to send and the id it waits under.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) id: u64,
    pub(super) text: String,
}

impl Session {
    /// Enters a request; `None` when it could not be written as a frame (its caller is answered).
    pub(super) fn start(&mut self, request: Request) -> Option<Outgoing> {
        self.last_id += 1;
        let id = self.last_id;
        let text = match frame::request(&id.to_string(), request.method, &request.params) {
            Ok(text) => text,
            Err(source) => {
                let method = request.method;
                request.fail(CallError::Unreadable {
                    method,
                    source: source.into(),
                });
                return None;
            }
        };
        let deadline = request.started + request.allowed;
        self.deadlines.insert((deadline, id));
        self.waiting.insert(
            id,
            Waiting {
                method: request.method,
                deadline,
                started: request.started,
                allowed: request.allowed,
                reply: request.reply,
                sent: false,
                _permit: request.permit,
            },
        );
        Some(Outgoing { id, text })
    }

    /// The frame of this request has been handed to the socket: from now on nobody knows whether it was executed.
    pub(super) fn mark_sent(&mut self, id: u64) {
        if let Some(waiting) = self.waiting.get_mut(&id) {
            waiting.sent = true;
        }
    }

    /// Answers whoever waits under this id. Answers to nobody (late ones, second ones) are dropped.
    pub(super) fn answer(
        &mut self,
        id: &str,
        outcome: Result<Option<&RawValue>, ErrorBody>,
        now: Instant,
    ) {
        let Some((id, waiting)) = id
            .parse()
            .ok()
            .and_then(|id| Some((id, self.waiting.remove(&id)?)))
        else {
            return;
        };
        self.deadlines.remove(&(waiting.deadline, id));
        let took = now.duration_since(waiting.started);
        let outcome = match outcome {
            Ok(payload) => Ok(payload.map_or_else(|| RawValue::NULL.to_owned(), ToOwned::to_owned)),
            Err(body) => Err(refusal::call_error(waiting.method, body)),
        };
        tracing::debug!(
            method = waiting.method,
            id,
            ms = took.as_millis(),
            ok = outcome.is_ok(),
            "answered"
        );
        waiting.reply.send(outcome).ok();
    }

    /// When the next request runs out of time.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Answers all requests whose time is over. What was never sent is said to be so. Returns their ids.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<u64> {
        let mut expired = Vec::new();
        while let Some((deadline, id)) = self.deadlines.first().copied() {
            if deadline > now {
                break;
            }
            self.deadlines.pop_first();
            if let Some(waiting) = self.waiting.remove(&id) {
                tracing::debug!(method = waiting.method, id, "no answer in time");
                let error = if waiting.sent {
                    CallError::Deadline {
                        method: waiting.method,
                        after: waiting.allowed,
                    }
                } else {
                    CallError::Disconnected { sent: false }
                };
                waiting.reply.send(Err(error)).ok();
                expired.push(id);
            }
        }
        expired
    }

    /// The connection is gone: everybody who waits is told, and whether the gateway may have seen the request.
    pub(super) fn lose_all(&mut self) {
        self.deadlines.clear();
        for (_, waiting) in self.waiting.drain() {
            waiting
                .reply
                .send(Err(CallError::Disconnected { sent: waiting.sent }))
                .ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    fn request(now: Instant, seconds: u64) -> (Request, oneshot::Receiver<Outcome>) {
        let (reply, receiver) = oneshot::channel();
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let request = Request {
            method: "config.get",
            params: RawValue::from_string("{}".to_owned()).unwrap(),
            started: now,
            allowed: Duration::from_secs(seconds),
            permit,
            reply,
        };
        (request, receiver)
    }

    fn payload(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[tokio::test]
    async fn answers_in_any_order_reach_who_asked() {
        let now = Instant::now();
        let mut session = Session::default();
        let (first, first_reply) = request(now, 15);
        let (second, second_reply) = request(now, 15);
        let first = session.start(first).unwrap();
        let second = session.start(second).unwrap();
        assert_ne!(first.id, second.id);
        session.answer(&second.id.to_string(), Ok(Some(&payload("2"))), now);
        session.answer(&first.id.to_string(), Ok(Some(&payload("1"))), now);
        session.answer(&first.id.to_string(), Ok(Some(&payload("3"))), now);
        assert_eq!(first_reply.await.unwrap().unwrap().get(), "1");
        assert_eq!(second_reply.await.unwrap().unwrap().get(), "2");
        assert_eq!(session.next_deadline(), None);
    }

    #[tokio::test]
    async fn only_requests_whose_time_is_over_expire_and_free_their_place() {
        let now = Instant::now();
        let mut session = Session::default();
        let (short, short_reply) = request(now, 1);
        let (long, mut long_reply) = request(now, 60);
        let short = session.start(short).unwrap();
        session.mark_sent(short.id);
        session.start(long).unwrap();
        assert_eq!(session.next_deadline(), Some(now + Duration::from_secs(1)));
        assert_eq!(session.expire(now + Duration::from_secs(2)), vec![short.id]);
        assert!(matches!(
            short_reply.await.unwrap(),
            Err(CallError::Deadline { .. })
        ));
        assert!(long_reply.try_recv().is_err());
        assert_eq!(session.next_deadline(), Some(now + Duration::from_mins(1)));
    }

    #[tokio::test]
    async fn a_lost_connection_tells_what_may_have_been_executed() {
        let now = Instant::now();
        let mut session = Session::default();
        let (sent, sent_reply) = request(now, 15);
        let (unsent, unsent_reply) = request(now, 15);
        let sent = session.start(sent).unwrap();
        session.mark_sent(sent.id);
        session.start(unsent).unwrap();
        session.lose_all();
        assert!(matches!(
            sent_reply.await.unwrap(),
            Err(CallError::Disconnected { sent: true })
        ));
        assert!(matches!(
            unsent_reply.await.unwrap(),
            Err(CallError::Disconnected { sent: false })
        ));
        assert_eq!(session.next_deadline(), None);
    }
}
