//! A gateway of a few lines for unit tests: it speaks the protocol over a pipe and keeps one config document. What it is for: losing
//! answers, lagging, refusing and dying at a chosen moment. How a real gateway behaves otherwise is tested on real ones.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};

use super::dial::{ByteStream, Dial};
use super::{Credential, Endpoint};

/// What happens to one request instead of the ordinary answer.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// It is refused with this error and not executed.
    Refuse(Value),
    /// It is executed, and refused with this error all the same.
    RefuseAfterwards(Value),
    /// It is executed, and the connection ends before the answer.
    LoseAnswer,
    /// The connection ends before it is executed.
    LoseRequest,
    /// It is never answered.
    Ignore,
    /// It is answered after this long.
    Delay(Duration),
}

/// An act of somebody else.
struct Meanwhile(Box<dyn FnOnce(&mut State) + Send>);

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Meanwhile")
    }
}

/// The process behind all connections.
#[derive(Debug)]
pub(super) struct State {
    pub(super) boot: String,
    pub(super) document: Value,
    pub(super) revision: u64,
    /// How long the running gateway lags behind a change, and until when it does.
    pub(super) lag: Duration,
    pub(super) applied_at: Option<Instant>,
    /// Agents with a heartbeat block beat; where there is none, these do.
    pub(super) beating: Vec<String>,
    /// Faults by method, used up one by one.
    pub(super) faults: BTreeMap<&'static str, VecDeque<Fault>>,
    /// What somebody else does just before the next request of a method is executed.
    meanwhile: BTreeMap<&'static str, Meanwhile>,
    /// Paths that make a patch be refused without saying why.
    pub(super) unnamed_poison: Option<String>,
    /// What the gateway spells in its own way: as it is sent, and as it is kept.
    pub(super) spelling: Option<(&'static str, &'static str)>,
    /// Agents that were deleted and not created again since: a patch must not bring them back.
    deleted: BTreeSet<String>,
    /// Requests so far: method and when.
    pub(super) requests: Vec<(String, Instant)>,
    pub(super) connections: usize,
    /// Ends of connections that tests can use: close code and reason.
    closers: Vec<mpsc::UnboundedSender<Message>>,
}

/// Handle on the fake; the dialer of links.
#[derive(Clone, Debug)]
pub(super) struct Fake {
    state: Arc<Mutex<State>>,
    pipe: usize,
}

impl Fake {
    pub(super) fn new() -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                boot: "boot-1".to_owned(),
                document: json!({"agents": {"ownership": "explicit", "entries": {"main": {}}}}),
                revision: 1,
                lag: Duration::ZERO,
                applied_at: None,
                beating: vec!["main".to_owned()],
                faults: BTreeMap::new(),
                meanwhile: BTreeMap::new(),
                unnamed_poison: None,
                spelling: None,
                deleted: BTreeSet::new(),
                requests: Vec::new(),
                connections: 0,
                closers: Vec::new(),
            })),
            pipe: 64 << 10,
        }
    }

    /// The capacity of the pipes, in bytes each way.
    pub(super) fn pipe(mut self, bytes: usize) -> Self {
        self.pipe = bytes;
        self
    }

    pub(super) fn endpoint() -> Endpoint {
        Endpoint::new("ws://fake:18789", Credential::Token("secret".into()))
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap())
    }

    pub(super) fn fault(&self, method: &'static str, fault: Fault) {
        self.with(|state| state.faults.entry(method).or_default().push_back(fault));
    }

    /// Lets somebody else act on the process just before it executes the next request of a method.
    pub(super) fn meanwhile(
        &self,
        method: &'static str,
        act: impl FnOnce(&mut State) + Send + 'static,
    ) {
        self.with(|state| state.meanwhile.insert(method, Meanwhile(Box::new(act))));
    }

    pub(super) fn count(&self, method: &str) -> usize {
        self.with(|state| {
            state
                .requests
                .iter()
                .filter(|(name, _)| name == method)
                .count()
        })
    }

    pub(super) fn entries(&self) -> Value {
        self.with(|state| state.document["agents"]["entries"].clone())
    }

    /// Sends an event on all connections.
    pub(super) fn tell(&self, event: &str, payload: &Value) {
        let text = json!({"type": "event", "event": event, "payload": payload}).to_string();
        self.with(|state| {
            state
                .closers
                .retain(|closer| closer.send(Message::text(text.clone())).is_ok());
        });
    }

    /// Closes all connections; those that come later reach another process.
    pub(super) fn restart(&self, code: u16) {
        self.with(|state| {
            state.boot = format!("boot-{}", state.connections + 1);
            for closer in state.closers.drain(..) {
                let close = CloseFrame {
                    code: CloseCode::from(code),
                    reason: "service restart".into(),
                };
                closer.send(Message::Close(Some(close))).ok();
            }
        });
    }
}

impl Dial for Fake {
    fn dial<'a>(
        &'a self,
        _host: &'a str,
        _port: u16,
    ) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>> {
        let (ours, theirs) = tokio::io::duplex(self.pipe);
        tokio::spawn(serve(theirs, self.clone()));
        Box::pin(async move { Ok(Box::new(ours) as Box<dyn ByteStream>) })
    }
}

async fn serve(stream: DuplexStream, fake: Fake) {
    let Ok(socket) = tokio_tungstenite::accept_async(stream).await else {
        return;
    };
    let (mut sink, mut stream) = socket.split();
    let (out, mut outgoing) = mpsc::unbounded_channel::<Message>();
    let connection = fake.with(|state| {
        state.connections += 1;
        state.connections
    });
    let challenge =
        json!({"type": "event", "event": "connect.challenge", "payload": {"nonce": "n", "ts": 1}});
    out.send(Message::text(challenge.to_string())).ok();
    loop {
        tokio::select! {
            Some(message) = outgoing.recv() => {
                let closing = message.is_close();
                if sink.send(message).await.is_err() || closing {
                    return;
                }
            }
            message = stream.next() => {
                let Some(Ok(message)) = message else { return };
                let Message::Text(text) = message else { continue };
                let request: Value = serde_json::from_str(text.as_str()).unwrap();
                if !take(&fake, connection, &request, &out) {
                    return;
                }
            }
        }
    }
}

/// Handles one request; false ends the connection.
fn take(
    fake: &Fake,
    connection: usize,
    request: &Value,
    out: &mpsc::UnboundedSender<Message>,
) -> bool {
    let method = request["method"].as_str().unwrap().to_owned();
    let fault = fake.with(|state| {
        state.requests.push((method.clone(), Instant::now()));
        state.faults.get_mut(method.as_str())?.pop_front()
    });
    let mut delay = Duration::ZERO;
    let answer = match &fault {
        Some(Fault::Refuse(error)) => Err(error.clone()),
        Some(Fault::RefuseAfterwards(error)) => {
            fake.with(|state| state.execute(&method, &request["params"], connection))
                .ok();
            Err(error.clone())
        }
        Some(Fault::LoseRequest) => return false,
        Some(Fault::Ignore) => return true,
        Some(Fault::LoseAnswer) => {
            fake.with(|state| state.execute(&method, &request["params"], connection))
                .ok();
            return false;
        }
        Some(Fault::Delay(after)) => {
            delay = *after;
            fake.with(|state| state.execute(&method, &request["params"], connection))
        }
        None => fake.with(|state| state.execute(&method, &request["params"], connection)),
    };
    if method == "connect" && answer.is_ok() {
        fake.with(|state| state.closers.push(out.clone()));
    }
    let answer = match answer {
        Ok(payload) => json!({"type": "res", "id": request["id"], "ok": true, "payload": payload}),
        Err(error) => json!({"type": "res", "id": request["id"], "ok": false, "error": error}),
    };
    let out = out.clone();
    tokio::spawn(async move {
        sleep(delay).await;
        out.send(Message::text(answer.to_string())).ok();
    });
    true
}

impl State {
    fn hash(&self) -> String {
        format!("hash-{}", self.revision)
    }

    fn changed(&mut self) {
        self.revision += 1;
        self.applied_at = Some(Instant::now() + self.lag);
    }

    fn config(&self) -> Value {
        let applied = self.applied_at.is_none_or(|at| at <= Instant::now());
        json!({
            "hash": self.hash(), "configRevisionHash": self.hash(),
            "appliedConfigHash": if applied { self.hash() } else { "hash-before".to_owned() },
            "parsed": self.document, "exists": true, "valid": true, "issues": [],
        })
    }

    fn heartbeats(&self) -> Vec<String> {
        let entries = self.document["agents"]["entries"].as_object().unwrap();
        let with_block: Vec<String> = entries
            .iter()
            .filter(|(_, entry)| entry.get("heartbeat").is_some())
            .map(|(id, _)| id.clone())
            .collect();
        if with_block.is_empty() {
            self.beating.clone()
        } else {
            with_block
        }
    }

    pub(super) fn execute(
        &mut self,
        method: &str,
        params: &Value,
        connection: usize,
    ) -> Result<Value, Value> {
        let refused = |message: &str| json!({"code": "INVALID_REQUEST", "message": message});
        if let Some(Meanwhile(act)) = self.meanwhile.remove(method) {
            act(self);
        }
        match method {
            "connect" => Ok(json!({
                "type": "hello-ok", "protocol": 4,
                "server": {"version": "2026.9.6", "bootId": self.boot, "connId": format!("conn-{connection}")},
                "features": {"methods": ["config.schema.lookup", "config.get", "config.patch"]},
                "auth": {"scopes": ["operator.admin"]},
                "policy": {"tickIntervalMs": 30000},
            })),
            "config.schema.lookup" => Ok(json!({})),
            "config.get" => Ok(self.config()),
            "config.patch" => {
                if params["baseHash"] != self.hash() {
                    return Err(refused(
                        "config changed since last load; re-run config.get and retry",
                    ));
                }
                let raw = params["raw"].as_str().unwrap();
                if self
                    .unnamed_poison
                    .as_ref()
                    .is_some_and(|poison| raw.contains(poison))
                {
                    return Err(refused("something in there is wrong"));
                }
                let raw = match self.spelling {
                    Some((sent, kept)) => raw.replace(sent, kept),
                    None => raw.to_owned(),
                };
                let before = self.document.clone();
                json_patch::merge(&mut self.document, &serde_json::from_str(&raw).unwrap());
                if self.document == before {
                    return Ok(json!({"ok": true, "noop": true}));
                }
                let entries = &self.document["agents"]["entries"];
                for id in &self.deleted {
                    assert!(
                        entries.get(id).is_none(),
                        "restarts itself: {id} was deleted"
                    );
                }
                self.changed();
                Ok(json!({"ok": true, "hash": self.hash()}))
            }
            "config.set" => {
                if params["baseHash"] != self.hash() {
                    return Err(refused(
                        "config changed since last load; re-run config.get and retry",
                    ));
                }
                self.document = serde_json::from_str(params["raw"].as_str().unwrap()).unwrap();
                self.changed();
                Ok(json!({"ok": true, "hash": self.hash()}))
            }
            "agents.delete" => {
                let id = params["agentId"].as_str().unwrap();
                let entries = self.document["agents"]["entries"].as_object_mut().unwrap();
                if entries.remove(id).is_none() {
                    return Err(refused(&format!("agent \"{id}\" not found")));
                }
                self.deleted.insert(id.to_owned());
                self.changed();
                Ok(json!({"ok": true, "agentId": id}))
            }
            "agents.create" => {
                let id = params["name"].as_str().unwrap();
                self.deleted.remove(id);
                let entries = self.document["agents"]["entries"].as_object_mut().unwrap();
                if entries.contains_key(id) {
                    return Err(refused(&format!("agent \"{id}\" already exists")));
                }
                let workspace = params["workspace"].as_str().unwrap_or("/default");
                entries.insert(
                    id.to_owned(),
                    json!({"name": id, "workspace": workspace, "agentDir": "/agents", "identity": {"name": id}}),
                );
                self.changed();
                Ok(json!({"ok": true, "agentId": id, "name": id, "workspace": workspace}))
            }
            "cron.list" => {
                let jobs: Vec<Value> = self.heartbeats().iter().map(|id| {
                    json!({"id": format!("job-{id}"), "declarationKey": format!("heartbeat:{id}"), "agentId": id, "enabled": true})
                }).collect();
                Ok(json!({"jobs": jobs}))
            }
            "health" => Ok(json!({"agents": []})),
            "models.list" => Ok(
                json!({"models": [{"provider": "p", "id": "x".repeat(params["agentId"].as_str().unwrap().len())}]}),
            ),
            other => Err(refused(&format!("unknown method: {other}"))),
        }
    }
}
