//! The parameters of each method: what must be there, what may, and the words for what is wrong.

use serde_json::{Map, Value};

use super::refusal::invalid;

/// Parameters of one method.
struct Shape {
    method: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    /// Those of them that must not be empty texts.
    not_empty: &'static [&'static str],
}

#[rustfmt::skip]
const SHAPES: &[Shape] = &[
    Shape { method: "config.get", required: &[], optional: &[], not_empty: &[] },
    Shape { method: "config.patch", required: &["raw"], optional: &["baseHash", "replacePaths", "note", "sessionKey", "deliveryContext", "restartDelayMs"], not_empty: &["raw"] },
    Shape { method: "config.set", required: &["raw"], optional: &["baseHash"], not_empty: &["raw"] },
    Shape { method: "config.schema.lookup", required: &["path"], optional: &[], not_empty: &["path"] },
    Shape { method: "agents.list", required: &[], optional: &[], not_empty: &[] },
    Shape { method: "agents.create", required: &["name"], optional: &["workspace", "model", "emoji", "avatar"], not_empty: &["name"] },
    Shape { method: "agents.delete", required: &["agentId"], optional: &["deleteFiles"], not_empty: &["agentId"] },
    Shape { method: "agents.files.list", required: &["agentId"], optional: &[], not_empty: &["agentId"] },
    Shape { method: "agents.files.get", required: &["agentId", "name"], optional: &[], not_empty: &["agentId", "name"] },
    Shape { method: "agents.files.set", required: &["agentId", "name", "content"], optional: &["expectedHash"], not_empty: &["agentId", "name"] },
    Shape { method: "cron.list", required: &[], optional: &["includeDisabled", "limit", "offset", "query", "enabled", "sortBy", "sortDir", "agentId", "compact"], not_empty: &[] },
    Shape { method: "cron.scratch.get", required: &["id"], optional: &[], not_empty: &["id"] },
    Shape { method: "cron.scratch.set", required: &["id", "content"], optional: &["expectedRevision"], not_empty: &["id"] },
    Shape { method: "sessions.describe", required: &["key"], optional: &["agentId", "includeDerivedTitles", "includeLastMessage"], not_empty: &["key"] },
    Shape { method: "sessions.patch", required: &["key"], optional: &["agentId", "label", "expectedSessionId", "expectedLifecycleRevision"], not_empty: &["key"] },
    Shape { method: "sessions.reset", required: &["key"], optional: &["agentId", "reason", "expectedSessionId"], not_empty: &["key"] },
    Shape { method: "chat.history", required: &["sessionKey"], optional: &["agentId", "limit"], not_empty: &["sessionKey"] },
    Shape { method: "chat.send", required: &["sessionKey", "message", "idempotencyKey"], optional: &["agentId", "deliver", "thinking", "timeoutMs", "queueMode", "suppressCommandInterpretation"], not_empty: &["idempotencyKey"] },
    Shape { method: "models.list", required: &[], optional: &["agentId", "view", "provider"], not_empty: &[] },
    Shape { method: "device.pair.list", required: &[], optional: &[], not_empty: &[] },
    Shape { method: "device.pair.approve", required: &["requestId"], optional: &[], not_empty: &["requestId"] },
];

/// Checks the parameters of `method` and hands them out as an object.
pub(super) fn checked(method: &str, params: &Value) -> Result<Map<String, Value>, Value> {
    let given = match params {
        Value::Null => Map::new(),
        Value::Object(given) => given.clone(),
        _ => return Err(invalid(format!("invalid {method} params: must be object"))),
    };
    let Some(shape) = SHAPES.iter().find(|shape| shape.method == method) else {
        return Ok(given);
    };
    let missing = shape
        .required
        .iter()
        .filter(|name| !given.contains_key(**name));
    let mut wrong: Vec<String> = missing
        .map(|name| format!("must have required property '{name}'"))
        .collect();
    let unexpected = given.keys().filter(|name| {
        !shape.required.contains(&name.as_str()) && !shape.optional.contains(&name.as_str())
    });
    wrong.extend(unexpected.map(|name| format!("at root: unexpected property '{name}'")));
    let empty = shape
        .not_empty
        .iter()
        .filter(|name| given.get(**name).and_then(Value::as_str) == Some(""));
    wrong.extend(empty.map(|name| format!("at /{name}: must not have fewer than 1 characters")));
    if let Some(hash) = given.get("expectedHash").and_then(Value::as_str) {
        wrong.extend(wrong_hash(hash));
    }
    // These two take a job under either of two names, which shows in their words.
    if method.starts_with("cron.scratch.") && !wrong.is_empty() {
        wrong = scratch_words(&given, &wrong);
    }
    if wrong.is_empty() {
        Ok(given)
    } else {
        Err(invalid(format!(
            "invalid {method} params: {}",
            wrong.join("; ")
        )))
    }
}

fn wrong_hash(hash: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if hash.len() < 64 {
        wrong.push("at /expectedHash: must not have fewer than 64 characters".to_owned());
    }
    if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        wrong.push("at /expectedHash: must match pattern \"^[a-fA-F0-9]{64}$\"".to_owned());
    }
    wrong
}

fn scratch_words(given: &Map<String, Value>, wrong: &[String]) -> Vec<String> {
    let mut words = wrong.to_vec();
    words.push("must have required property 'jobId'".to_owned());
    if given.contains_key("id") {
        words.push("at root: unexpected property 'id'".to_owned());
    }
    words.push("must match a schema in anyOf".to_owned());
    words
}
