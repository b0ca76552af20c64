//! Reduces an answer to what the operator or a test reads of it, with ids, hashes, times and paths made comparable.

use serde_json::{Map, Value, json};

/// What is read of the payload of each method, as JSON pointers. `connect` and `cron.list` have their own way.
#[rustfmt::skip]
const READ: &[(&str, &[&str])] = &[
    ("config.get", &["/exists", "/valid", "/issues", "/parsed/agents", "/parsed/gateway/auth", "/parsed/models/providers/fake/apiKey", "/hash", "/configRevisionHash", "/appliedConfigHash"]),
    ("config.patch", &["/ok", "/noop", "/changedPaths", "/hash"]),
    ("config.set", &["/ok", "/hash"]),
    ("config.schema.lookup", &["/path"]),
    ("agents.create", &["/ok", "/agentId", "/name", "/workspace", "/model"]),
    ("agents.delete", &["/ok", "/agentId", "/purgeFailed", "/failed"]),
    ("agents.files.list", &["/agentId", "/workspace", "/files"]),
    ("agents.files.get", &["/agentId", "/workspace", "/file"]),
    ("agents.files.set", &["/ok", "/agentId", "/workspace", "/file"]),
    ("sessions.describe", &["/session/key", "/session/sessionId", "/session/agentId", "/session/label"]),
    ("chat.history", &["/sessionInfo/hasActiveRun"]),
    ("sessions.patch", &["/ok", "/key", "/entry/sessionId", "/entry/lifecycleRevision", "/entry/label"]),
    ("sessions.reset", &["/ok", "/key", "/entry/sessionId", "/entry/lifecycleRevision", "/entry/label"]),
    ("chat.send", &["/runId", "/status"]),
    ("cron.scratch.get", &["/scratch", "/currentRevision", "/maxBytes"]),
    ("cron.scratch.set", &["/ok", "/reason", "/scratch", "/currentRevision"]),
];

/// Makes answers of one gateway comparable.
#[derive(Debug)]
pub(crate) struct Reducer {
    state_dir: String,
}

impl Reducer {
    pub(crate) fn new(state_dir: &str) -> Self {
        Self {
            state_dir: state_dir.to_owned(),
        }
    }

    /// What matters of the answer to `method`.
    pub(crate) fn answer(&self, method: &str, answer: &Value) -> Value {
        if answer["ok"] != true {
            let kept = ["error", "closed", "reason"];
            let mut kept: Map<String, Value> = kept
                .map(|name| (name.to_owned(), answer[name].clone()))
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .collect();
            if let Some(error) = kept.get_mut("error") {
                plain_wait(error);
            }
            return self.plain(&Value::Object(kept));
        }
        let payload = &answer["payload"];
        self.plain(&match method {
            "connect" => hello(payload),
            "cron.list" => heartbeats(payload),
            "agents.list" => json!({
                "defaultId": payload["defaultId"],
                "agents": picked_rows(&payload["agents"], &["id", "name", "workspace"]),
            }),
            "models.list" => picked_rows(&payload["models"], &["provider", "id", "available"]),
            "health" => json!({
                "main": payload["agents"].as_array().into_iter().flatten()
                    .find(|agent| agent["agentId"] == "main").map(|agent| agent["heartbeat"]["enabled"].clone()),
            }),
            "device.pair.list" => json!({
                "pending": picked_rows(&payload["pending"], &["requestId"]),
                "paired": picked_rows(&payload["paired"], &["role"]),
            }),
            "device.pair.approve" => json!({"requestId": payload["requestId"]}),
            _ => picked(method, payload),
        })
    }

    /// A value without what must differ between two gateways.
    pub(crate) fn plain(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.plain_text(text)),
            Value::Array(elements) => elements.iter().map(|element| self.plain(element)).collect(),
            Value::Object(parts) => parts
                .iter()
                .map(|(name, part)| {
                    let is_time = name.ends_with("Ms") && name != "everyMs";
                    let part = if is_time && part.is_number() {
                        json!("<time>")
                    } else if name == "deviceId" {
                        json!("<device>")
                    } else {
                        self.plain(part)
                    };
                    (name.clone(), part)
                })
                .collect(),
            other => other.clone(),
        }
    }

    fn plain_text(&self, text: &str) -> String {
        if text.starts_with("hmac-sha256:v1:") {
            return "<hash>".to_owned();
        }
        // The one uuid that is sent is part of an answer's words.
        if text.len() == 36 && text.matches('-').count() == 4 && !text.starts_with("1111") {
            return "<id>".to_owned();
        }
        let text = match text.split_once(REQUEST_ID) {
            Some((before, id)) => {
                // Cut off where a close frame has no room for all of it.
                let rest = id
                    .trim_start_matches(|letter: char| letter.is_ascii_hexdigit() || letter == '-');
                &format!("{before}{REQUEST_ID}<id>{rest}")
            }
            None => text,
        };
        text.replace(&self.state_dir, "<state>")
    }
}

/// What stands before the id of a pairing request where a connection ends.
const REQUEST_ID: &str = "(requestId: ";

/// Takes out of the words of a refusal how long the client should wait, where they agree with the number beside them.
fn plain_wait(error: &mut Value) {
    let (Some(wait), Some(message)) = (error["retryAfterMs"].as_u64(), error["message"].as_str())
    else {
        return;
    };
    assert!((1..=300_000).contains(&wait), "{error}");
    let seconds = format!("{}s", wait.div_ceil(1000));
    error["message"] = json!(message.replace(&seconds, "<retryAfterMs>"));
}

fn picked(method: &str, payload: &Value) -> Value {
    let read = READ
        .iter()
        .find(|(name, _)| *name == method)
        .map_or(&[][..], |(_, pointers)| pointers);
    let mut kept: Map<String, Value> = read
        .iter()
        .filter_map(|pointer| Some(((*pointer).to_owned(), payload.pointer(pointer)?.clone())))
        .collect();
    // In the order of the document's keys, which nobody promises.
    if let Some(Value::Array(paths)) = kept.get_mut("/changedPaths") {
        paths.sort_by_key(Value::to_string);
    }
    Value::Object(kept)
}

fn picked_rows(rows: &Value, names: &[&str]) -> Value {
    rows.as_array()
        .into_iter()
        .flatten()
        .map(|row| {
            names
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), row.get(*name)?.clone())))
                .collect::<Map<String, Value>>()
        })
        .collect()
}

/// What is read of a hello. Of the methods those that the operator asks for.
fn hello(payload: &Value) -> Value {
    const ASKED: [&str; 21] = [
        "health",
        "config.get",
        "config.set",
        "config.patch",
        "config.schema.lookup",
        "models.list",
        "agents.list",
        "agents.create",
        "agents.delete",
        "agents.files.list",
        "agents.files.get",
        "agents.files.set",
        "device.pair.list",
        "cron.list",
        "cron.scratch.get",
        "cron.scratch.set",
        "sessions.describe",
        "sessions.patch",
        "sessions.reset",
        "chat.send",
        "chat.history",
    ];
    let offered = payload["features"]["methods"].as_array();
    let missing: Vec<&str> = ASKED
        .into_iter()
        .filter(|name| !offered.into_iter().flatten().any(|offered| offered == name))
        .collect();
    json!({
        "type": payload["type"], "protocol": payload["protocol"], "version": payload["server"]["version"],
        "bootId": payload["server"]["bootId"], "connId": payload["server"]["connId"],
        "missing": missing,
        "method": payload["auth"]["method"], "role": payload["auth"]["role"], "scopes": payload["auth"]["scopes"],
        "hasDeviceToken": payload["auth"]["deviceToken"].is_string(),
        "tick": payload["policy"]["tickIntervalMs"].as_u64().map(|milliseconds| milliseconds / 1000),
        "maxPayload": payload["policy"]["maxPayload"],
        "tellsItsUptime": payload["snapshot"]["uptimeMs"].is_u64(),
    })
}

/// The heartbeats among the jobs, by agent: the gateway lists them by when they run next.
fn heartbeats(payload: &Value) -> Value {
    let jobs = payload["jobs"].as_array().into_iter().flatten();
    let mut heartbeats: Vec<Value> = jobs
        .filter(|job| {
            let key = job["declarationKey"].as_str();
            key.is_some_and(|key| key.starts_with("heartbeat:"))
        })
        .map(|job| {
            json!({
                "id": job["id"], "declarationKey": job["declarationKey"], "agentId": job["agentId"], "enabled": job["enabled"],
                "kind": job["payload"]["kind"], "everyMs": job["schedule"]["everyMs"],
            })
        })
        .collect();
    heartbeats.sort_by_key(|job| job["agentId"].to_string());
    json!({"heartbeats": heartbeats, "nextOffset": payload["nextOffset"]})
}
