//! What the gateway accepts as a config document, as far as the operator writes it: first the shape of everything, then, where the
//! shape is right, what the values mean.

use serde_json::{Map, Value, json};

use super::document::entries;
use super::refusal::invalid_with;

#[rustfmt::skip]
const ROOT: &[&str] = &[
    "$schema", "meta", "env", "wizard", "diagnostics", "logging", "cli", "update", "browser", "ui", "secrets", "auth", "acp", "models",
    "nodeHost", "agents", "tools", "bindings", "broadcast", "audio", "media", "messages", "commands", "approvals", "session", "cron",
    "hooks", "web", "channels", "discovery", "canvasHost", "talk", "gateway", "memory", "mcp", "skills", "plugins", "surfaces", "crestodian",
];
const AGENTS: &[&str] = &["ownership", "defaults", "entries"];
#[rustfmt::skip]
const ENTRY: &[&str] = &[
    "name", "description", "workspace", "cwd", "agentDir", "model", "utilityModel", "decisionModel", "models", "thinkingDefault",
    "reasoningDefault", "fastModeDefault", "skills", "memorySearch", "humanDelay", "heartbeat", "identity", "groupChat", "subagents",
    "embeddedAgent", "sandbox", "params", "tools", "runtime", "agentRuntime", "default", "bootstrapMaxChars", "bootstrapTotalMaxChars",
    "contextLimits", "contextInjection", "verboseDefault", "elevatedDefault", "tts", "compaction", "systemPromptOverride",
];
#[rustfmt::skip]
const HEARTBEAT: &[&str] = &[
    "every", "target", "to", "accountId", "prompt", "model", "session", "activeHours", "directPolicy", "timeoutSeconds", "lightContext",
    "isolatedSession",
];
const ACTIVE_HOURS: &[&str] = &["start", "end", "timezone"];
const IDENTITY: &[&str] = &["name", "theme", "emoji", "avatar"];
const MODEL: &[&str] = &["primary", "fallbacks"];
#[rustfmt::skip]
const TARGETS: &[&str] = &[
    "owner", "last", "none", "telegram", "whatsapp", "discord", "irc", "googlechat", "slack", "signal", "imessage", "line",
];

/// A refusal names so many problems in its sentence; all of them stand in its details.
const NAMED: usize = 3;

#[derive(Default)]
struct Issues(Vec<(String, String)>);

/// Checks a whole document.
pub(super) fn check(document: &Value) -> Result<(), Value> {
    let mut issues = Issues::default();
    issues.strict(document, "", ROOT);
    if let Some(agents) = document.get("agents") {
        issues.strict(agents, "agents", AGENTS);
    }
    for (id, entry) in entries(document).into_iter().flatten() {
        issues.entry(entry, &format!("agents.entries.{id}"));
    }
    issues.refuse()?;

    let mut issues = Issues::default();
    let roster = entries(document);
    let explicit = document["agents"]["ownership"] == "explicit";
    if roster.is_some_and(|roster| roster.len() > 1) && !explicit {
        issues.add(
            "agents.ownership",
            "multi-agent rosters require agents.ownership=\"explicit\" or one legacy default=true marker",
        );
    }
    for (id, entry) in roster.into_iter().flatten() {
        if let Some(target) = entry["heartbeat"]["target"].as_str()
            && !TARGETS.contains(&target)
        {
            issues.add(
                &format!("agents.entries.{id}.heartbeat.target"),
                format!("unknown heartbeat target: {target}"),
            );
        }
    }
    issues.refuse()
}

impl Issues {
    fn add(&mut self, path: &str, message: impl Into<String>) {
        self.0.push((path.to_owned(), message.into()));
    }

    fn entry(&mut self, entry: &Value, path: &str) {
        let Some(entry) = self.strict(entry, path, ENTRY) else {
            return;
        };
        for name in ["name", "description", "workspace", "cwd", "agentDir"] {
            self.text(entry, path, name);
        }
        if let Some(model) = entry.get("model") {
            let fits = model.is_string()
                || model
                    .as_object()
                    .is_some_and(|model| model.keys().all(|key| MODEL.contains(&key.as_str())));
            if !fits {
                self.add(&format!("{path}.model"), "Invalid input");
            }
        }
        if let Some(identity) = entry.get("identity") {
            self.strict(identity, &format!("{path}.identity"), IDENTITY);
        }
        if let Some(heartbeat) = entry.get("heartbeat") {
            self.heartbeat(heartbeat, &format!("{path}.heartbeat"));
        }
    }

    fn heartbeat(&mut self, heartbeat: &Value, path: &str) {
        let Some(heartbeat) = self.strict(heartbeat, path, HEARTBEAT) else {
            return;
        };
        for name in ["every", "target", "prompt", "model"] {
            self.text(heartbeat, path, name);
        }
        if let Some(every) = heartbeat.get("every").and_then(Value::as_str)
            && milliseconds(every).is_none()
        {
            self.add(
                &format!("{path}.every"),
                "invalid duration (use ms, s, m, h)",
            );
        }
        let Some(hours) = heartbeat.get("activeHours") else {
            return;
        };
        let path = format!("{path}.activeHours");
        let Some(hours) = self.strict(hours, &path, ACTIVE_HOURS) else {
            return;
        };
        for (name, latest) in [("start", "23:59"), ("end", "24:00")] {
            let time = hours.get(name).and_then(Value::as_str);
            if time.is_some_and(|time| !is_time(time, latest)) {
                self.add(
                    &format!("{path}.{name}"),
                    "invalid time (use \"HH:MM\" 24h format)",
                );
            }
        }
    }

    /// An object with no keys but these.
    fn strict<'a>(
        &mut self,
        value: &'a Value,
        path: &str,
        keys: &[&str],
    ) -> Option<&'a Map<String, Value>> {
        let Some(object) = value.as_object() else {
            let kind = kind(value);
            self.add(
                path,
                format!("Invalid input: expected object, received {kind}"),
            );
            return None;
        };
        let unknown: Vec<String> = object
            .keys()
            .filter(|key| !keys.contains(&key.as_str()))
            .map(|key| format!("\"{key}\""))
            .collect();
        match unknown.as_slice() {
            [] => {}
            [key] => self.add(path, format!("Unrecognized key: {key}")),
            keys => self.add(path, format!("Unrecognized keys: {}", keys.join(", "))),
        }
        Some(object)
    }

    fn text(&mut self, object: &Map<String, Value>, path: &str, name: &str) {
        if let Some(value) = object.get(name)
            && !value.is_string()
        {
            let kind = kind(value);
            self.add(
                &format!("{path}.{name}"),
                format!("Invalid input: expected string, received {kind}"),
            );
        }
    }

    fn refuse(self) -> Result<(), Value> {
        if self.0.is_empty() {
            return Ok(());
        }
        let named: Vec<String> = self
            .0
            .iter()
            .take(NAMED)
            .map(|(path, message)| {
                let path = if path.is_empty() { "<root>" } else { path };
                format!("{path}: {message}")
            })
            .collect();
        let more = match self.0.len() - named.len() {
            0 => String::new(),
            1 => " (+1 more issue)".to_owned(),
            more => format!(" (+{more} more issues)"),
        };
        let issues: Vec<Value> = self
            .0
            .iter()
            .map(|(path, message)| json!({"path": path, "message": message}))
            .collect();
        Err(invalid_with(
            format!("invalid config: {}{more}", named.join("; ")),
            &json!({ "issues": issues }),
        ))
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A duration as `heartbeat.every` has it; minutes where there is no unit.
pub(super) fn milliseconds(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let number: u64 = digits.parse().ok()?;
    let unit = match text.get(digits.len()..)? {
        "ms" => 1,
        "s" => 1000,
        "" | "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

fn is_time(text: &str, latest: &str) -> bool {
    let shape = text.len() == 5
        && text.bytes().enumerate().all(|(at, byte)| {
            if at == 2 {
                byte == b':'
            } else {
                byte.is_ascii_digit()
            }
        });
    shape && text <= latest && text.get(3..).is_some_and(|minutes| minutes < "60")
}
