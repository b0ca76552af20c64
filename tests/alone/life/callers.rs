//! The agents, as far as their tokens go: all the while each token that stands in an AGENTS.md on disk is presented to the API.
//!
//! A file counts while the config document of its gateway has the agent; what a deletion left behind is nobody's.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use reqwest::StatusCode;
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle};

use crate::bed::gateway::Gateway;

/// Time between two rounds of calls. An agent may make one a second.
const BETWEEN: Duration = Duration::from_secs(2);
/// Calls with unknown tokens that an address has at once.
pub(super) const FAILURES: usize = 30;
/// Time that an operator has after its start until it knows all tokens.
const START: Duration = Duration::from_secs(15);

/// Where the API is, and since when somebody serves it.
#[derive(Debug, Clone)]
pub(super) struct Server {
    url: String,
    up: Arc<Mutex<Option<Instant>>>,
}

impl Server {
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            up: Arc::default(),
        }
    }

    /// An operator is ready.
    pub(super) fn is_up(&self) {
        *self.up.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// It is about to be killed.
    pub(super) fn is_down(&self) {
        *self.up.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn up_since(&self) -> Option<Instant> {
        *self.up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client whose calls come from an address of its own, so that those which fail count against no other.
    pub(super) fn client(number: u8) -> reqwest::Client {
        reqwest::Client::builder()
            .local_address(IpAddr::from(Ipv4Addr::new(127, 0, 1, number)))
            .timeout(Duration::from_secs(10))
            .build()
            .unwrap()
    }

    /// What `GET me` answers to a token; nothing where nobody answers.
    pub(super) async fn me(
        &self,
        client: &reqwest::Client,
        token: &str,
    ) -> Option<(StatusCode, Value)> {
        let url = format!("{}/api/v1/agent/me", self.url);
        let asked = client.get(url).header("X-Agent-Token", token);
        let response = asked.send().await.ok()?;
        let status = response.status();
        let body = response.bytes().await.ok()?;
        Some((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}

/// The token that an AGENTS.md holds.
pub(crate) fn token_in(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let (_, rest) = text.split_once("\nMISSION_TOKEN='")?;
    Some(rest.split_once('\'')?.0.to_owned())
}

/// The AGENTS.md of every agent of ours that a gateway's config document has, by id.
fn files(gateway: &Gateway) -> Vec<(String, PathBuf)> {
    // The gateway may be writing it; the next round reads it.
    let config = gateway.config().unwrap_or_default();
    let entries = config["agents"]["entries"].as_object();
    let ids = entries.into_iter().flat_map(serde_json::Map::keys);
    ids.filter(|id| id.starts_with(super::NAMESPACE))
        .map(|id| (id.clone(), gateway.workspace(id).join("AGENTS.md")))
        .collect()
}

/// What was heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    calls: usize,
    /// Calls while an operator had just been started and did not know everybody.
    early: usize,
    /// The longest time after a start that this lasted.
    latest: Duration,
    /// Calls while there was no operator.
    alone: usize,
    /// Tokens that were replaced between the look at the file and the call.
    overtaken: usize,
    tokens: BTreeMap<String, String>,
    faults: Vec<String>,
}

impl Heard {
    /// All tokens that ever stood in a file, and whose.
    pub(super) fn tokens(&self) -> &BTreeMap<String, String> {
        &self.tokens
    }

    pub(super) fn faults(&self) -> &[String] {
        &self.faults
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} calls with {} tokens, {} while no operator ran, {} answered 503 up to {:.1} s after a start, {} overtaken by a rotation, {} faults",
            self.calls,
            self.tokens.len(),
            self.alone,
            self.early,
            self.latest.as_secs_f64(),
            self.overtaken,
            self.faults.len()
        )
    }
}

/// The calls, while they go on.
#[derive(Debug)]
pub(super) struct Calls {
    task: JoinHandle<Heard>,
    end: watch::Sender<bool>,
}

impl Calls {
    pub(super) fn begin(server: Server, gateways: [Arc<Gateway>; 2]) -> Self {
        let (end, ended) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut caller = Caller {
                server,
                client: Server::client(1),
                heard: Heard::default(),
                began: Instant::now(),
            };
            while !*ended.borrow() {
                for gateway in &gateways {
                    for (id, path) in files(gateway) {
                        caller.call(gateway, &id, &path).await;
                    }
                }
                tokio::time::sleep(BETWEEN).await;
            }
            caller.heard
        });
        Self { task, end }
    }

    /// Ends them, and tells what was heard.
    pub(super) async fn end(self) -> Heard {
        self.end.send_replace(true);
        self.task.await.unwrap()
    }
}

struct Caller {
    server: Server,
    client: reqwest::Client,
    heard: Heard,
    began: Instant,
}

impl Caller {
    async fn call(&mut self, gateway: &Gateway, id: &str, path: &Path) {
        // Before the first text was written there.
        let Some(token) = token_in(path) else { return };
        if self.present(id, &token).await != Some(StatusCode::UNAUTHORIZED) {
            return;
        }
        // A rotation may have put another in since it was read, or the agent may have gone from here.
        let is_here = files(gateway).iter().any(|(there, _)| there == id);
        match token_in(path).filter(|_| is_here) {
            Some(now) if now != token => {
                self.heard.overtaken += 1;
                if self.present(id, &now).await == Some(StatusCode::UNAUTHORIZED) {
                    self.fault(id, path, "its token and the next one are not taken");
                }
            }
            Some(_) => self.fault(id, path, "its token is not taken"),
            None => self.heard.overtaken += 1,
        }
    }

    async fn present(&mut self, id: &str, token: &str) -> Option<StatusCode> {
        let known = &mut self.heard.tokens;
        known.insert(token.to_owned(), id.to_owned());
        let before = self.server.up_since();
        let answer = self.server.me(&self.client, token).await;
        let up = before.filter(|_| self.server.up_since() == before);
        self.heard.calls += 1;
        let Some((status, body)) = answer else {
            self.heard.alone += 1;
            if up.is_some() {
                self.fault(id, Path::new(""), "the operator runs and does not answer");
            }
            return None;
        };
        let name = id.split_once('_').map(|(_, name)| name);
        match status {
            StatusCode::OK if body["name"].as_str() == name => {}
            StatusCode::UNAUTHORIZED => {}
            StatusCode::SERVICE_UNAVAILABLE => {
                self.heard.early += 1;
                let after = up.map(|up| up.elapsed()).unwrap_or_default();
                self.heard.latest = self.heard.latest.max(after);
                if after > START {
                    self.fault(id, Path::new(""), "the operator does not know it yet");
                }
            }
            _ => self.fault(id, Path::new(""), &format!("{status}: {body}")),
        }
        Some(status)
    }

    fn fault(&mut self, id: &str, path: &Path, what: &str) {
        let (at, path) = (self.began.elapsed().as_secs_f64(), path.display());
        // Told at once: what stands around it in the logs is found by the time.
        let now = k8s_openapi::jiff::Timestamp::now();
        let fault = format!("{id} {path}: {what} (after {at:.1} s, {now})");
        crate::world::say(&fault);
        self.heard.faults.push(fault);
    }
}
