//! One connection: takes frames in, meets faults, has requests carried out, and answers them. What is answered is decided in `state`.

use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;

use super::Shared;
use super::fault::Fault;
use super::refusal::invalid;
use super::seen::{Call, Moment, Verdict};
use super::server::{Order, Out, apply_later, close_frame, end_later, told};
use super::state::{Caller, Outcome, now_ms, random_id};

/// What the gateway reads, and everything else that it does not.
const FRAME: [&str; 5] = ["type", "id", "method", "params", "traceparent"];
/// Frames that nobody can read or has asked for.
const GARBAGE: [&str; 5] = [
    r#"{"type":"res","#,
    "[]",
    "7",
    r#"{"type":"res","id":"none","ok":true}"#,
    r#"{"type":"event","event":"nobody.knows","payload":[1,null]}"#,
];

/// See the module. Clones are the same connection.
#[derive(Clone)]
pub(super) struct Connection {
    shared: Arc<Shared>,
    number: u64,
    out: Out,
    nonce: Arc<str>,
    /// Where the client is; none for the gateway's own loopback.
    address: Option<Arc<str>>,
    /// Once it has said hello.
    caller: Arc<OnceLock<Caller>>,
}

/// A request that is under way.
struct Request {
    id: String,
    call: Call,
    fault: Option<Fault>,
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, number: u64, out: Out, address: Option<String>) -> Self {
        Self {
            shared,
            number,
            out,
            nonce: random_id().into(),
            address: address.map(Arc::from),
            caller: Arc::default(),
        }
    }

    pub(super) fn send(&self, frame: &Value) {
        self.order(Message::text(frame.to_string()));
    }

    pub(super) fn challenge(&self) {
        self.send(&json!({
            "type": "event", "event": "connect.challenge",
            "payload": {"nonce": &*self.nonce, "ts": now_ms(), "capabilities": ["model-catalog-snapshot"]},
        }));
    }

    /// Takes one frame in. What is no request, or has no id, is not answered.
    pub(super) fn take(&self, text: &str) {
        let Ok(mut frame) = serde_json::from_str::<Value>(text) else {
            if self.caller.get().is_none() {
                self.order(close_frame(1000, ""));
            }
            return;
        };
        let (Some(id), Some(method)) = (frame["id"].as_str(), frame["method"].as_str()) else {
            return;
        };
        let (id, method) = (id.to_owned(), method.to_owned());
        let names = frame.as_object().into_iter().flatten();
        let unexpected = names
            .map(|(name, _)| name)
            .find(|name| !FRAME.contains(&name.as_str()));
        if let Some(name) = unexpected {
            let error = invalid(format!(
                "invalid request frame: at root: unexpected property '{name}'"
            ));
            self.refuse(&id, &error);
            return;
        }
        let mut number = 0;
        self.shared.seen.send_modify(|seen| {
            *seen.methods.entry(method.clone()).or_default() += 1;
            number = seen.methods.values().sum();
        });
        let fault = self.shared.state().faults.next(&method);
        let call = Call {
            number,
            method,
            params: frame["params"].take(),
            moment: Moment::Before,
        };
        self.judged(Request { id, call, fault }, Self::meet);
    }

    /// Goes on with `next` as the test has it.
    fn judged(&self, request: Request, next: impl FnOnce(&Self, Request) + Send + 'static) {
        match self.shared.hook.judge(&request.call) {
            Verdict::Go => next(self, request),
            Verdict::Drop => self.drop_it(),
            Verdict::Hold => {
                let (held, mut released) = (self.clone(), self.shared.released.subscribe());
                let times = *released.borrow_and_update();
                self.shared.seen.send_modify(|seen| seen.held += 1);
                tokio::spawn(async move {
                    let freed = released.wait_for(|now| *now != times).await;
                    let goes_on = freed.is_ok_and(|now| now.is_some());
                    held.shared.seen.send_modify(|seen| seen.held -= 1);
                    if goes_on {
                        next(&held, request);
                    }
                });
            }
        }
    }

    /// Has a request meet its fault, and carries it out where that lets it.
    fn meet(&self, request: Request) {
        match &request.fault {
            Some(Fault::Refuse(error)) => {
                self.refuse(&request.id, error);
                // A refused handshake is over.
                if request.call.method == "connect" {
                    self.close_as(error);
                }
                return;
            }
            Some(Fault::LoseRequest) => return self.drop_it(),
            Some(Fault::Ignore) => return,
            Some(Fault::Garbage) => {
                for garbage in GARBAGE {
                    self.order(Message::text(garbage));
                }
            }
            _ => {}
        }
        match (self.caller.get(), request.call.method.as_str()) {
            (None, "connect") => self.connect(request),
            (None, _) => {
                let error = invalid("invalid handshake: first request must be connect");
                self.refuse(&request.id, &error);
                self.close_as(&error);
            }
            (Some(caller), _) => self.execute(caller, request),
        }
    }

    fn connect(&self, request: Request) {
        let params = &request.call.params;
        let answer = self
            .shared
            .state()
            .connect(params, &self.nonce, self.address.as_deref());
        match answer {
            Ok((caller, hello)) => {
                let hello: Arc<str> = hello.to_string().into();
                self.answer_after(request, move |connection, request| {
                    connection.caller.set(caller).ok();
                    connection.shared.connections.introduce(connection.number);
                    connection.answer(&request, &hello);
                });
            }
            Err(refused) => self.answer_after(request, move |connection, request| {
                connection.refuse(&request.id, &refused.error);
                connection.order(close_frame(refused.close, &refused.reason));
            }),
        }
    }

    fn execute(&self, caller: &Caller, request: Request) {
        let (outcome, late) = {
            let mut state = self.shared.state();
            let outcome = state.execute(caller, &request.call.method, &request.call.params);
            let revision = state.document.revision();
            (outcome, (revision != state.applied).then_some(revision))
        };
        told(&self.shared);
        match outcome {
            Outcome::Refused(error) => self.answer_after(request, move |connection, request| {
                connection.refuse(&request.id, &error);
            }),
            Outcome::Payload(payload) => {
                if let Some(revision) = late.filter(|_| is_write(&request.call.method)) {
                    apply_later(&self.shared, revision);
                }
                self.answer_after(request, move |connection, request| {
                    connection.answer(&request, &payload);
                });
            }
            Outcome::Begun(payload, run) => {
                end_later(&self.shared, run);
                self.answer_after(request, move |connection, request| {
                    connection.answer(&request, &payload);
                });
            }
            Outcome::Applied(payload, revision) => {
                if late.is_some() {
                    apply_later(&self.shared, revision);
                }
                self.answer_after(request, move |connection, request| {
                    // What is lost is lost at once: the write has taken effect, and goes on without a client.
                    if late.is_none() || matches!(request.fault, Some(Fault::LoseAnswer)) {
                        connection.answer(&request, &payload);
                        return;
                    }
                    let (connection, mut applied) =
                        (connection.clone(), connection.shared.applied.subscribe());
                    tokio::spawn(async move {
                        let done = applied.wait_for(|applied| *applied >= revision).await;
                        if done.is_ok() {
                            connection.answer(&request, &payload);
                        }
                    });
                });
            }
        }
    }

    /// A request has taken effect: `answer` answers it, unless the test has it otherwise.
    fn answer_after(
        &self,
        mut request: Request,
        answer: impl FnOnce(&Self, Request) + Send + 'static,
    ) {
        request.call.moment = Moment::After;
        self.judged(request, answer);
    }

    /// Sends an answer as its fault has it.
    fn answer(&self, request: &Request, payload: &str) {
        let id = json!(request.id);
        let text = match request.fault {
            Some(Fault::LoseAnswer) => return self.drop_it(),
            Some(Fault::Unreadable) => {
                format!(r#"{{"type":"res","id":{id},"ok":true,"payload":[[1]]}}"#)
            }
            Some(Fault::Oversize(bytes)) => {
                let pad = "x".repeat(bytes.saturating_sub(payload.len()));
                format!(r#"{{"type":"res","id":{id},"ok":true,"payload":{payload},"pad":"{pad}"}}"#)
            }
            _ => format!(r#"{{"type":"res","id":{id},"ok":true,"payload":{payload}}}"#),
        };
        if let Some(Fault::Delay(delay)) = request.fault {
            let connection = self.clone();
            tokio::spawn(async move {
                sleep(delay).await;
                connection.order(Message::text(text));
            });
        } else {
            self.order(Message::text(text));
        }
    }

    fn refuse(&self, id: &str, error: &Value) {
        self.send(&json!({"type": "res", "id": id, "ok": false, "error": error}));
    }

    fn close_as(&self, error: &Value) {
        let code = if error["code"] == "UNAVAILABLE" {
            1013
        } else {
            1008
        };
        let reason = error["message"].as_str().unwrap_or_default();
        self.order(close_frame(code, reason));
    }

    fn order(&self, message: Message) {
        self.out.send(Order::Send(message)).ok();
    }

    fn drop_it(&self) {
        self.out.send(Order::Drop).ok();
    }
}

/// Whether a method changes the document and answers before that is applied.
fn is_write(method: &str) -> bool {
    matches!(method, "config.set" | "agents.create" | "agents.delete")
}
