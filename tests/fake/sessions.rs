//! Sessions and the turns of agents: `sessions.describe`, `patch` and `reset`, `chat.history` and `chat.send`. Every turn ends well.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::document::entries;
use super::refusal::{invalid, invalid_with};
use super::state::{State, now_ms, random_id};

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    id: String,
    /// Another one after each reset; no call that only reads shows it.
    revision: String,
    label: Option<String>,
    updated_ms: u64,
    resets: usize,
}

/// A message that was sent by `chat.send`, and its turn.
#[derive(Debug)]
pub(super) struct Turn {
    session: String,
    message: String,
    /// It has ended, or was cut off by a reset.
    is_over: bool,
}

/// Turns by the keys of their messages.
pub(super) type Turns = BTreeMap<String, Turn>;

impl Session {
    fn new() -> Self {
        Self {
            id: random_id(),
            revision: random_id(),
            label: None,
            updated_ms: now_ms(),
            resets: 0,
        }
    }

    /// The session as those calls show it that change it.
    fn entry(&self) -> Value {
        let mut entry = json!({
            "sessionId": self.id, "lifecycleRevision": self.revision, "updatedAt": self.updated_ms, "systemSent": false,
            "totalTokens": 0,
        });
        if let Some(label) = &self.label {
            entry["label"] = json!(label);
        }
        entry
    }
}

/// What a test sees of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionSeen {
    pub(crate) label: Option<String>,
    /// Which one it is: the same as long as nobody resets it.
    pub(crate) revision: String,
    /// How often it was reset.
    pub(crate) resets: usize,
    /// What was said in it by `chat.send` since its agent is there, each message once.
    pub(crate) messages: Vec<String>,
}

impl State {
    pub(super) fn sessions_describe(&self, params: &Map<String, Value>) -> Value {
        let key = key_of(params);
        let session = self.sessions.get(&key).map(|session| {
            let mut row = json!({
                "key": key, "kind": "direct", "agentId": agent_of(&key), "updatedAt": session.updated_ms, "archived": false,
                "sessionId": session.id, "modelProvider": "fake", "model": "fake-1",
            });
            if let Some(label) = &session.label {
                row["label"] = json!(label);
                row["displayName"] = json!(label);
            }
            row
        });
        json!({ "session": session })
    }

    /// Of what was said nothing is told, only whether a turn is under way.
    pub(super) fn chat_history(&self, params: &Map<String, Value>) -> Value {
        let key = params.get("sessionKey").and_then(Value::as_str);
        let key = key.unwrap_or_default().to_lowercase();
        let mut turns = self.turns.values();
        let is_active = turns.any(|turn| turn.session == key && !turn.is_over);
        json!({"sessionKey": key, "messages": [], "sessionInfo": {"key": key, "hasActiveRun": is_active}})
    }

    /// Changes a session, or makes the one that is missing. It does not look whether the agent is there.
    pub(super) fn sessions_patch(&mut self, params: &Map<String, Value>) -> Result<Value, Value> {
        let key = key_of(params);
        self.expected(&key, params, "patch")?;
        let label = params.get("label");
        if let Some(label) = label.and_then(Value::as_str) {
            let others = self.sessions.iter().filter(|(other, _)| **other != key);
            let mut of_agent = others.filter(|(other, _)| agent_of(other) == agent_of(&key));
            if of_agent.any(|(_, session)| session.label.as_deref() == Some(label)) {
                return Err(invalid(format!("label already in use: {label}")));
            }
        }
        let session = self
            .sessions
            .entry(key.clone())
            .or_insert_with(Session::new);
        if let Some(label) = label {
            session.label = label.as_str().map(str::to_owned);
        }
        session.updated_ms = now_ms();
        Ok(
            json!({"ok": true, "path": format!("{}/agents/{}/agent", self.home, agent_of(&key)), "key": key, "entry": session.entry()}),
        )
    }

    /// Begins a session anew under its id. A turn that is under way in it ends without an event.
    pub(super) fn sessions_reset(&mut self, params: &Map<String, Value>) -> Result<Value, Value> {
        let key = key_of(params);
        if let Some(reason) = params.get("reason")
            && reason != "reset"
            && reason != "new"
        {
            return Err(invalid(
                "invalid sessions.reset params: at /reason: must be equal to constant; at /reason: must match a schema in anyOf",
            ));
        }
        self.expected(&key, params, "reset")?;
        for turn in self.turns.values_mut() {
            turn.is_over |= turn.session == key;
        }
        let is_new = !self.sessions.contains_key(&key);
        let session = self
            .sessions
            .entry(key.clone())
            .or_insert_with(Session::new);
        if !is_new {
            session.revision = random_id();
            session.updated_ms = now_ms();
            session.resets += 1;
        }
        Ok(json!({"ok": true, "key": key, "entry": session.entry()}))
    }

    fn expected(&self, key: &str, params: &Map<String, Value>, act: &str) -> Result<(), Value> {
        let session = self.sessions.get(key);
        let holds = |name: &str, is: fn(&Session) -> &str| {
            let expected = params.get(name).and_then(Value::as_str);
            expected.is_none() || session.map(is) == expected
        };
        if holds("expectedSessionId", |session| &session.id)
            && holds("expectedLifecycleRevision", |session| &session.revision)
        {
            return Ok(());
        }
        Err(invalid_with(
            format!("Session {key} changed before {act}. Retry."),
            &json!({"reason": "session-changed"}),
        ))
    }

    /// Takes a message in. A new one begins a turn, whose key is handed out beside the answer.
    pub(super) fn chat_send(
        &mut self,
        params: &Map<String, Value>,
    ) -> Result<(Value, Option<String>), Value> {
        let text = |name: &str| params.get(name).and_then(Value::as_str).unwrap_or_default();
        let (session, message) = (text("sessionKey").to_lowercase(), text("message"));
        let run = text("idempotencyKey").to_owned();
        if let Some(turn) = self.turns.get(&run) {
            if turn.session != session || turn.message != message {
                return Err(invalid_with(
                    "This message ID was already used for different input. Check the conversation history and use a new message ID to \
                     send again.",
                    &json!({"reason": "chat-request-conflict"}),
                ));
            }
            let status = if turn.is_over { "ok" } else { "in_flight" };
            return Ok((json!({"runId": run, "status": status}), None));
        }
        let agent = agent_of(&session);
        if entries(&self.running).is_none_or(|roster| !roster.contains_key(agent)) {
            return Err(invalid(format!(
                "Agent \"{agent}\" no longer exists in configuration"
            )));
        }
        if message.is_empty() {
            return Err(invalid("message or attachment required"));
        }
        self.sessions
            .entry(session.clone())
            .or_insert_with(Session::new);
        let turn = Turn {
            session,
            message: message.to_owned(),
            is_over: false,
        };
        self.turns.insert(run.clone(), turn);
        self.said.push(run.clone());
        Ok((json!({"runId": run, "status": "started"}), Some(run)))
    }

    /// Ends a turn; what is told of that, if it was not cut off.
    pub(super) fn end_turn(&mut self, run: &str) -> Option<Value> {
        let turn = self.turns.get_mut(run).filter(|turn| !turn.is_over)?;
        turn.is_over = true;
        let session = self.sessions.get_mut(&turn.session)?;
        session.updated_ms = now_ms();
        Some(json!({
            "runId": run, "sessionKey": turn.session, "agentId": agent_of(&turn.session), "stream": "lifecycle",
            "data": {"phase": "end", "stopReason": "stop", "aborted": false, "endedAt": now_ms()},
            "seq": 9, "ts": now_ms(), "isHeartbeat": false,
        }))
    }

    /// Forgets the sessions of an agent that was deleted, whether its files stay or not.
    pub(super) fn forget_sessions(&mut self, agent_id: &str) {
        self.sessions.retain(|key, _| agent_of(key) != agent_id);
        self.turns
            .retain(|_, turn| agent_of(&turn.session) != agent_id);
        let turns = &self.turns;
        self.said.retain(|run| turns.contains_key(run));
    }

    /// What a test sees of all sessions.
    pub(super) fn all_sessions(&self) -> BTreeMap<String, SessionSeen> {
        let seen = |key: &str, session: &Session| {
            let turns = self.said.iter().filter_map(|run| self.turns.get(run));
            let of_session = turns.filter(|turn| turn.session == key);
            SessionSeen {
                label: session.label.clone(),
                revision: session.revision.clone(),
                resets: session.resets,
                messages: of_session.map(|turn| turn.message.clone()).collect(),
            }
        };
        let all = self.sessions.iter();
        all.map(|(key, session)| (key.clone(), seen(key, session)))
            .collect()
    }
}

fn key_of(params: &Map<String, Value>) -> String {
    let key = params.get("key").and_then(Value::as_str);
    key.unwrap_or_default().to_lowercase()
}

/// The agent of a session's key, `agent:<id>:<name>`.
fn agent_of(key: &str) -> &str {
    key.split(':').nth(1).unwrap_or_default()
}
