//! What one fake gateway knows, and how it answers a request. No sockets here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::FakeOptions;
use super::cron::Job;
use super::device::Devices;
use super::document::{Document, entries};
use super::fault::Faults;
use super::files::Workspace;
use super::handshake::Failures;
use super::params::checked;
use super::refusal::{invalid, invalid_with, rate_limited};
use super::sessions::{Session, Turns};

/// Calls of one rate-limited method in a window.
const CALLS: u32 = 30;
const WINDOW: Duration = Duration::from_mins(1);
const LIMITED: [&str; 1] = ["config.patch"];

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) scopes: Vec<String>,
    /// Who shares a rate limit with it.
    pub(super) bucket: String,
}

/// How a request ends.
#[derive(Debug)]
pub(super) enum Outcome {
    /// With this payload, at once.
    Payload(Arc<str>),
    /// With this payload, when the running gateway goes by this revision of the document.
    Applied(Arc<str>, u64),
    /// With this payload, at once; the turn of this key has begun.
    Begun(Arc<str>, String),
    /// With this error.
    Refused(Value),
}

/// A page of jobs: offset, limit, and whether disabled jobs are in it.
type Page = (Option<usize>, Option<usize>, bool);

/// See the module.
#[derive(Debug)]
pub(super) struct State {
    pub(super) options: FakeOptions,
    pub(super) boot_id: String,
    /// Since when its process runs, which it does not leave at a restart.
    pub(super) started: Instant,
    pub(super) is_starting: bool,
    pub(super) home: String,
    pub(super) document: Document,
    /// The document that the running gateway goes by, and its revision.
    pub(super) running: Value,
    pub(super) applied: u64,
    /// Files by workspace.
    pub(super) files: BTreeMap<String, Workspace>,
    /// Heartbeats by agent.
    pub(super) jobs: BTreeMap<String, Job>,
    pub(super) job_pages: BTreeMap<Page, Arc<str>>,
    /// Sessions by key.
    pub(super) sessions: BTreeMap<String, Session>,
    pub(super) turns: Turns,
    /// The keys of the turns, in their order.
    pub(super) said: Vec<String>,
    /// Agents that were deleted and not created since.
    pub(super) deleted: BTreeSet<String>,
    /// The revision that the last deletion made.
    deletion: u64,
    pub(super) devices: Devices,
    pub(super) failures: BTreeMap<String, Failures>,
    limits: BTreeMap<(String, String), (Instant, u32)>,
    pub(super) faults: Faults,
    /// The gateway was driven in a way that makes it restart itself.
    pub(super) must_restart: bool,
}

impl State {
    pub(super) fn new(options: FakeOptions) -> Self {
        let key = random_id();
        let running = options.document.clone();
        let mut state = Self {
            boot_id: random_id(),
            started: Instant::now(),
            is_starting: false,
            home: format!("/fake/{key}"),
            document: Document::new(running.clone(), key),
            running,
            applied: 0,
            files: BTreeMap::new(),
            jobs: BTreeMap::new(),
            job_pages: BTreeMap::new(),
            sessions: BTreeMap::new(),
            turns: Turns::new(),
            said: Vec::new(),
            deleted: BTreeSet::new(),
            deletion: 0,
            devices: Devices::default(),
            failures: BTreeMap::new(),
            limits: BTreeMap::new(),
            faults: Faults::default(),
            must_restart: false,
            options,
        };
        state.schedule();
        state
    }

    /// How long the running gateway lags behind the document now.
    pub(super) fn lag(&self) -> Duration {
        let agents = self.document.entries().map_or(0, serde_json::Map::len);
        let agents = u32::try_from(agents).unwrap_or(u32::MAX);
        self.options.lag + self.options.lag_per_agent * agents
    }

    /// The document has changed: the revision that the running gateway has to catch up with. Without lag it has already.
    pub(super) fn changed(&mut self) -> u64 {
        let revision = self.document.revision();
        if self.lag().is_zero() {
            self.apply(revision);
        }
        revision
    }

    /// The running gateway goes by `revision`, unless that is old by now.
    pub(super) fn apply(&mut self, revision: u64) -> bool {
        if revision != self.document.revision() || revision == self.applied {
            return false;
        }
        self.running = self.document.parsed().clone();
        self.applied = revision;
        if !self.schedule() {
            // It plans jobs for an agent whose deletion it remembers, and recovers by starting anew.
            self.must_restart = true;
        }
        true
    }

    /// Another process on the same files, which remembers deletions all the same.
    pub(super) fn boot(&mut self) {
        self.boot_id = random_id();
        self.limits.clear();
        // What it was sent before it knows no more by its keys.
        self.turns.clear();
        self.said.clear();
        self.apply(self.document.revision());
        self.must_restart = false;
    }

    pub(super) fn execute(&mut self, caller: &Caller, method: &str, params: &Value) -> Outcome {
        match self.judge(caller, method, params) {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Refused(error),
        }
    }

    fn judge(&mut self, caller: &Caller, method: &str, params: &Value) -> Result<Outcome, Value> {
        let Some(scope) = scope_of(method) else {
            return Err(invalid(format!("unknown method: {method}")));
        };
        let may = caller
            .scopes
            .iter()
            .any(|held| held == scope || held == "operator.admin");
        if !may {
            return Err(json!({
                "code": "FORBIDDEN", "message": format!("missing scope: {scope}"),
                "details": {"code": "MISSING_SCOPE", "missingScope": scope, "requiredScopes": [scope]},
            }));
        }
        self.spend(caller, method)?;
        if method == "chat.send" && params["sessionKey"].is_null() {
            return Err(invalid_with(
                "session mutation target is unavailable",
                &json!({"code": "SESSION_MUTATION_TARGET_REQUIRED", "method": method}),
            ));
        }
        let params = checked(method, params)?;
        let payload = match method {
            "config.get" => {
                let path = format!("{}/openclaw.json", self.home);
                return Ok(Outcome::Payload(self.document.show(self.applied, &path)));
            }
            "cron.list" => return Ok(Outcome::Payload(self.cron_list(&params))),
            "config.patch" => return self.patch(&params),
            "config.set" => {
                let home = self.home.clone();
                self.document.set(&params, &home)?;
                self.changed();
                self.written(json!({}))
            }
            "config.schema.lookup" => lookup(&params)?,
            "agents.list" => self.agents_list(),
            "agents.create" => {
                let created = self.agents_create(&params)?;
                self.changed();
                created
            }
            "agents.delete" => {
                let under_way = self.deletion > self.applied;
                let deleted = self.agents_delete(&params)?;
                // The second of two whose first is not applied yet is more than it survives.
                self.must_restart |= under_way;
                self.deletion = self.changed();
                deleted
            }
            "agents.files.list" => self.files_list(&params)?,
            "agents.files.get" => self.files_get(&params)?,
            "agents.files.set" => self.files_set(&params)?,
            "cron.scratch.get" => self.scratch_get(&params)?,
            "cron.scratch.set" => self.scratch_set(&params)?,
            "models.list" => self.models_list(&params)?,
            "sessions.describe" => self.sessions_describe(&params),
            "chat.history" => self.chat_history(&params),
            "sessions.patch" => self.sessions_patch(&params)?,
            "sessions.reset" => self.sessions_reset(&params)?,
            "chat.send" => {
                let (answer, begun) = self.chat_send(&params)?;
                let answer = answer.to_string().into();
                return Ok(begun.map_or_else(
                    || Outcome::Payload(Arc::clone(&answer)),
                    |run| Outcome::Begun(Arc::clone(&answer), run),
                ));
            }
            "device.pair.list" => self.devices.list(),
            "device.pair.approve" => self.devices.approve(&params)?,
            _ => self.health(),
        };
        Ok(Outcome::Payload(payload.to_string().into()))
    }

    fn patch(&mut self, params: &serde_json::Map<String, Value>) -> Result<Outcome, Value> {
        let home = self.home.clone();
        let changed = self.document.patch(params, &home)?;
        if changed.is_empty() {
            let path = format!("{home}/openclaw.json");
            let noop = json!({"ok": true, "noop": true, "changedPaths": [], "path": path});
            return Ok(Outcome::Payload(noop.to_string().into()));
        }
        let revision = self.changed();
        let written = self.written(json!({ "changedPaths": changed }));
        Ok(Outcome::Applied(written.to_string().into(), revision))
    }

    /// Answer of a write.
    fn written(&self, mut answer: Value) -> Value {
        answer["ok"] = json!(true);
        answer["path"] = json!(format!("{}/openclaw.json", self.home));
        answer["hash"] = json!(self.document.hash());
        answer["config"] = self.document.parsed().clone();
        answer
    }

    /// Counts a call against its limit.
    fn spend(&mut self, caller: &Caller, method: &str) -> Result<(), Value> {
        if !LIMITED.contains(&method) {
            return Ok(());
        }
        let now = Instant::now();
        let key = (method.to_owned(), caller.bucket.clone());
        let (since, calls) = self.limits.entry(key).or_insert((now, 0));
        if now.duration_since(*since) >= WINDOW {
            (*since, *calls) = (now, 0);
        }
        if *calls >= CALLS {
            let left = (*since + WINDOW).duration_since(now).as_millis();
            return Err(rate_limited(method, u64::try_from(left).unwrap_or(60_000)));
        }
        *calls += 1;
        Ok(())
    }

    fn models_list(&self, params: &serde_json::Map<String, Value>) -> Result<Value, Value> {
        let roster = entries(&self.running);
        if let Some(id) = params.get("agentId").and_then(Value::as_str)
            && roster.is_none_or(|roster| !roster.contains_key(id))
        {
            return Err(invalid(format!("unknown agent id \"{id}\"")));
        }
        let providers = self.running["models"]["providers"].as_object();
        let models: Vec<Value> = providers
            .into_iter()
            .flatten()
            .flat_map(|(provider, settings)| {
                let models = settings["models"].as_array().into_iter().flatten();
                models.map(move |model| {
                    json!({
                        "id": model["id"], "name": model["name"], "provider": provider, "contextWindow": model["contextWindow"],
                        "reasoning": false, "available": true,
                    })
                })
            })
            .collect();
        Ok(json!({ "models": models }))
    }

    fn health(&self) -> Value {
        let agents: Vec<Value> = entries(&self.running)
            .into_iter()
            .flatten()
            .filter(|(id, _)| *id == "main")
            .map(|(id, _)| {
                json!({
                    "agentId": id, "isDefault": false,
                    "heartbeat": {"enabled": true, "every": "30m", "everyMs": 1_800_000, "target": "owner", "ackMaxChars": 300},
                })
            })
            .collect();
        json!({"ok": true, "ts": now_ms(), "durationMs": 1, "heartbeatSeconds": 1800, "agents": agents})
    }
}

/// The scope that a method needs; none for one that does not exist here.
fn scope_of(method: &str) -> Option<&'static str> {
    Some(match method {
        "health"
        | "config.get"
        | "config.schema.lookup"
        | "agents.list"
        | "agents.files.list"
        | "agents.files.get"
        | "models.list"
        | "sessions.describe"
        | "chat.history"
        | "cron.list" => "operator.read",
        "sessions.patch" | "chat.send" => "operator.write",
        "config.patch" | "config.set" | "agents.create" | "agents.delete" | "agents.files.set"
        | "cron.scratch.get" | "cron.scratch.set" | "sessions.reset" => "operator.admin",
        "device.pair.list" | "device.pair.approve" => "operator.pairing",
        _ => return None,
    })
}

fn lookup(params: &serde_json::Map<String, Value>) -> Result<Value, Value> {
    match params.get("path").and_then(Value::as_str) {
        Some(path @ "agents.entries") => Ok(json!({"path": path, "schema": {"type": "object"}})),
        _ => Err(invalid("config schema path not found")),
    }
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// A random id in the form of a UUID.
pub(super) fn random_id() -> String {
    let random: u128 = rand::random();
    let hex = format!("{random:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ]
    .join("-")
}
