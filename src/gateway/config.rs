//! The gateway's config document as `config.get` answers it. Reading only; what to change is decided in `difference`.

use std::ops::Deref;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The agent that a gateway without a roster runs.
pub(super) const IMPLICIT_AGENT: &str = "main";

/// One problem the gateway sees in a config document.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Issue {
    /// Dotted path in the document, such as `agents.entries.analyst.heartbeat.every`; empty where the gateway names none.
    #[serde(default)]
    pub path: String,
    /// The gateway's own words.
    #[serde(default)]
    pub message: String,
}

/// The config document, its version, and whether the running gateway has applied it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// What a write must name as its base.
    pub hash: String,
    /// Version of the document on disk.
    #[serde(default, rename = "configRevisionHash")]
    pub revision_hash: Option<String>,
    /// Version that the running gateway has applied.
    #[serde(default, rename = "appliedConfigHash")]
    pub applied_hash: Option<String>,
    /// The document as authored; `{}` where there is no file. Secrets are redacted by the gateway.
    #[serde(default)]
    pub parsed: Document,
    /// Whether there is a config file at all.
    #[serde(default)]
    pub exists: bool,
    /// Whether the gateway finds the document valid. While it does not, `parsed` is null and says nothing of any agent, the running
    /// gateway goes on with the last valid document, and every write is refused.
    #[serde(default)]
    pub valid: bool,
    /// What it finds wrong.
    #[serde(default)]
    pub issues: Vec<Issue>,
}

/// A JSON document as a value, and as the text that it was read from: only that has the order of its keys and every digit of its
/// numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    value: Value,
    text: String,
}

impl Document {
    /// The document as it came.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Deref for Document {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.value
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let value = serde_json::from_str(text.get()).map_err(serde::de::Error::custom)?;
        Ok(Self {
            value,
            text: Box::<str>::from(text).into_string(),
        })
    }
}

impl Config {
    /// The authored roster; `None` where the document has none (the gateway then runs an implicit agent `main`).
    #[must_use]
    pub fn entries(&self) -> Option<&Map<String, Value>> {
        entries(&self.parsed)
    }

    /// The authored entry of one agent.
    #[must_use]
    pub fn entry(&self, agent_id: &str) -> Option<&Value> {
        self.entries()?.get(agent_id)
    }

    /// What stands for one agent: its entry, or nothing at all (`null`) for the agent that a gateway without a roster runs.
    #[must_use]
    pub fn agent(&self, agent_id: &str) -> Option<&Value> {
        match self.entries() {
            Some(entries) => entries.get(agent_id),
            None => (agent_id == IMPLICIT_AGENT).then_some(&Value::Null),
        }
    }

    /// Whether the running gateway has applied this document: the barrier between two changes.
    #[must_use]
    pub fn is_applied(&self) -> bool {
        self.applied_hash.is_some() && self.applied_hash == self.revision_hash
    }

    /// Whether the gateway leaves new workspaces empty (`agents.defaults.skipBootstrap`).
    #[must_use]
    pub fn skip_bootstrap(&self) -> bool {
        self.parsed
            .pointer("/agents/defaults/skipBootstrap")
            .and_then(Value::as_bool)
            .unwrap_or(false)
    }
}

/// `agents.entries` of a parsed document.
pub(super) fn entries(parsed: &Value) -> Option<&Map<String, Value>> {
    parsed.pointer("/agents/entries")?.as_object()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_gateway_without_a_roster_runs_an_agent_main_all_the_same() {
        let config = |parsed: Value| -> Config {
            serde_json::from_value(
                json!({"hash": "h", "parsed": parsed, "exists": true, "valid": true}),
            )
            .unwrap()
        };
        let implicit = config(json!({"agents": {"defaults": {}}}));
        assert_eq!(implicit.agent("main"), Some(&Value::Null));
        assert_eq!(implicit.agent("other"), None);
        assert_eq!(implicit.entry("main"), None);
        let authored = config(json!({"agents": {"entries": {"other": {"name": "O"}}}}));
        assert_eq!(
            authored.parsed.text(),
            r#"{"agents":{"entries":{"other":{"name":"O"}}}}"#
        );
        assert_eq!(authored.agent("other"), Some(&json!({"name": "O"})));
        assert_eq!(authored.agent("main"), None);
    }
}
