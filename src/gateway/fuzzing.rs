//! Fuzz targets of the wire's frames and of the config difference.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    AgentRow, Config, CronJob, Deletion, EntryWish, FileInfo, ForeignHeartbeats, Listing, Model,
    Patched, Roster,
    difference::{difference as config_difference, laws, release, unmet},
    frame::{self, ErrorBody, Frame},
    refusal,
};

/// Reads the bytes as a frame, writes what was read as the gateway would, and reads that again. Then the bytes as the parameters of a
/// request of ours, and as every answer there is.
///
/// # Panics
/// Where the second reading says something else than the first.
pub fn frame(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(read) = frame::parse(text) {
        let said = Said::from(read);
        let written = said.written();
        let again = frame::parse(&written);
        assert!(again.is_ok(), "{written}");
        assert_eq!(again.ok().map(Said::from), Some(said));
    }
    if let Ok(params) = RawValue::from_string(text.to_owned()) {
        let request = frame::request("7", "config.get", &params);
        let read = request
            .ok()
            .and_then(|request| serde_json::from_str::<Value>(&request).ok());
        let params = serde_json::from_str::<Value>(text).ok();
        let expected = params.map(
            |params| json!({"type": "req", "id": "7", "method": "config.get", "params": params}),
        );
        assert_eq!(read, expected);
        read_as_any_answer(text);
    }
}

/// What a frame says; payloads as they are written.
#[derive(Debug, PartialEq)]
enum Said {
    Answer {
        id: String,
        payload: Option<String>,
    },
    Refusal {
        id: String,
        code: String,
        message: String,
        kind: Option<String>,
    },
    Event {
        name: String,
        payload: Option<String>,
    },
    Unknown,
}

impl From<Frame<'_>> for Said {
    fn from(frame: Frame<'_>) -> Self {
        let text = |raw: Option<&RawValue>| raw.map(|raw| raw.get().to_owned());
        match frame {
            Frame::Response {
                id,
                outcome: Ok(payload),
            } => Self::Answer {
                id: id.into_owned(),
                payload: text(payload),
            },
            Frame::Response {
                id,
                outcome: Err(body),
            } => {
                understand(&body);
                Self::Refusal {
                    id: id.into_owned(),
                    kind: body.detail("code").map(str::to_owned),
                    code: body.code,
                    message: body.message,
                }
            }
            Frame::Event { name, payload } => Self::Event {
                name: name.into_owned(),
                payload: text(payload),
            },
            Frame::Unknown => Self::Unknown,
        }
    }
}

impl Said {
    /// The frame as the gateway writes it.
    fn written(&self) -> String {
        let raw = |payload: &Option<String>| payload.clone().unwrap_or_else(|| "null".to_owned());
        match self {
            Self::Answer { id, payload } => {
                let (id, payload) = (json!(id), raw(payload));
                format!(r#"{{"type":"res","id":{id},"ok":true,"payload":{payload}}}"#)
            }
            Self::Refusal {
                id,
                code,
                message,
                kind,
            } => {
                let error = json!({"code": code, "message": message, "details": {"code": kind}});
                json!({"type": "res", "id": id, "ok": false, "error": error}).to_string()
            }
            Self::Event { name, payload } => {
                let (name, payload) = (json!(name), raw(payload));
                format!(r#"{{"type":"event","event":{name},"payload":{payload}}}"#)
            }
            Self::Unknown => r#"{"type":"another"}"#.to_owned(),
        }
    }
}

/// Whatever a refusal says, it means something, in words for people.
fn understand(body: &ErrorBody) {
    let an_hour = Duration::from_hours(1);
    assert!(body.retry_after().is_none_or(|after| after <= an_hour));
    for method in ["connect", "config.patch", "agents.files.set", "cron.run"] {
        let error = refusal::call_error(method, body.clone());
        assert!(!error.to_string().is_empty());
    }
    assert!(!refusal::link_error(body.clone()).to_string().is_empty());
}

/// Payloads come from elsewhere: what does not fit is an error, never a panic.
fn read_as_any_answer(text: &str) {
    fn read<T: DeserializeOwned>(text: &str) -> bool {
        serde_json::from_str::<T>(text).is_ok()
    }
    let _fits = [
        read::<Patched>(text),
        read::<Roster>(text),
        read::<AgentRow>(text),
        read::<Deletion>(text),
        read::<Listing>(text),
        read::<FileInfo>(text),
        read::<CronJob>(text),
        read::<Model>(text),
    ];
    if let Ok(config) = serde_json::from_str::<Config>(text) {
        let there = config
            .entries()
            .is_none_or(|it| it.keys().all(|id| config.agent(id).is_some()));
        assert!(there, "{config:?}");
    }
}

/// Reads lines that build a config document, wishes and the agents that beat.
///
/// A line is `doc PATH JSON`, `set AGENT PATH JSON`, `unset AGENT PATH`, `stop AGENT` or `beats AGENT`; any other is passed over, so that
/// most changes of an input make another one.
///
/// # Panics
/// Where the difference breaks one of its laws.
pub fn difference(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut document = json!({});
    let mut wishes: BTreeMap<String, EntryWish> = BTreeMap::new();
    let mut beating = BTreeSet::new();
    for line in text.lines() {
        let (word, rest) = split(line);
        match word {
            "doc" => {
                let (path, value) = split(rest);
                if let Ok(value) = serde_json::from_str(value) {
                    put(&mut document, path, value);
                }
            }
            "set" => {
                let (agent, rest) = split(rest);
                let (path, value) = split(rest);
                if let Ok(value) = serde_json::from_str(value) {
                    wish(&mut wishes, agent).set.insert(path.to_owned(), value);
                }
            }
            "unset" => {
                let (agent, path) = split(rest);
                wish(&mut wishes, agent).unset.insert(path.to_owned());
            }
            "stop" => wish(&mut wishes, rest).foreign_heartbeats = ForeignHeartbeats::Stop,
            "beats" => {
                beating.insert(rest.to_owned());
            }
            _ => {}
        }
    }
    let wishes: Vec<EntryWish> = wishes.into_values().collect();
    if laws::is_possible(&document, &wishes) && laws::are_possible(&wishes) {
        laws::hold(&document, &wishes, &beating);
    }
    // The rest is whatever it is, and must not break anything.
    let references: Vec<&EntryWish> = wishes.iter().collect();
    let changed = config_difference(&document, &references, &beating).changed;
    let unmet: BTreeSet<String> = wishes
        .iter()
        .filter(|wish| !unmet(&document, wish).is_empty())
        .map(|wish| wish.agent_id.clone())
        .collect();
    assert_eq!(changed, unmet, "what is not as wished is changed");
    let released = release(&document, &beating);
    assert!(released.is_none_or(|it| it.replace_paths.is_empty()));
}

/// The first word, and what follows it.
fn split(line: &str) -> (&str, &str) {
    line.split_once(' ').unwrap_or((line, ""))
}

fn wish<'a>(wishes: &'a mut BTreeMap<String, EntryWish>, agent: &str) -> &'a mut EntryWish {
    let wish = || EntryWish::of(agent);
    wishes.entry(agent.to_owned()).or_insert_with(wish)
}

/// Puts a value into a document, over whatever stands in the way.
fn put(document: &mut Value, path: &str, value: Value) {
    let mut at = document;
    // Deeper than any real document, and not so deep that a walk over it ends the stack: a parser refuses such a document before.
    for key in path.split('.').take(32) {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[key];
    }
    *at = value;
}
