//! The config document: its versions, and what a write may do to it.

use std::collections::BTreeSet;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::refusal::{hash_conflict, invalid, unavailable};
use super::schema;

/// What stands where a secret is; sent back, it keeps the secret.
pub(super) const REDACTED: &str = "__OPENCLAW_REDACTED__";

/// See the module.
#[derive(Debug)]
pub(super) struct Document {
    parsed: Value,
    revision: u64,
    /// Tells the hashes of this gateway from those of another.
    key: String,
    /// What `config.get` shows, by the revision that was applied then.
    shown: Option<(u64, Arc<str>)>,
}

/// Values that differ between two documents, as dotted paths.
struct Changes {
    /// Down to single values.
    leaves: Vec<String>,
    /// Up to the highest part that is new or gone.
    tops: Vec<String>,
}

impl Document {
    pub(super) fn new(parsed: Value, key: String) -> Self {
        Self {
            parsed,
            revision: 0,
            key,
            shown: None,
        }
    }

    pub(super) fn parsed(&self) -> &Value {
        &self.parsed
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// The agents in the document.
    pub(super) fn entries(&self) -> Option<&Map<String, Value>> {
        entries(&self.parsed)
    }

    /// What a write must name as its base.
    pub(super) fn hash(&self) -> String {
        self.hashed("file", self.revision)
    }

    /// The name that the running gateway has for a revision.
    pub(super) fn revision_hash(&self, revision: u64) -> String {
        self.hashed("revision", revision)
    }

    fn hashed(&self, what: &str, revision: u64) -> String {
        let digest = Sha256::digest(format!("{}/{what}/{revision}", self.key));
        format!("hmac-sha256:v1:{}", BASE64URL_NOPAD.encode(&digest))
    }

    /// Answer of `config.get`. The real one holds the document six times over, and its size is part of what it costs.
    pub(super) fn show(&mut self, applied: u64, path: &str) -> Arc<str> {
        if let Some((at, shown)) = &self.shown
            && *at == applied
        {
            return Arc::clone(shown);
        }
        let parsed = &self.parsed;
        let shown: Arc<str> = json!({
            "path": path, "exists": true, "valid": true,
            "raw": serde_json::to_string_pretty(parsed).unwrap_or_default(),
            "parsed": parsed, "sourceConfig": parsed, "resolved": parsed, "runtimeConfig": parsed, "config": parsed,
            "hash": self.hash(),
            "configRevisionHash": self.revision_hash(self.revision),
            "appliedConfigHash": self.revision_hash(applied),
            "issues": [], "warnings": [], "legacyIssues": [], "includedPaths": [],
        })
        .to_string()
        .into();
        self.shown = Some((applied, Arc::clone(&shown)));
        shown
    }

    /// Changes it without any check: how the gateway itself and people do.
    pub(super) fn edit(&mut self, edit: impl FnOnce(&mut Value)) {
        edit(&mut self.parsed);
        self.parsed["meta"] = json!({"lastTouchedVersion": super::handshake::VERSION});
        self.revision += 1;
        self.shown = None;
    }

    /// `config.patch`: the paths that changed; none for a patch that changes nothing.
    pub(super) fn patch(
        &mut self,
        params: &Map<String, Value>,
        home: &str,
    ) -> Result<Vec<String>, Value> {
        let patch = json5(params)?;
        if !patch.is_object() {
            return Err(invalid("config.patch raw must be an object"));
        }
        let base = params.get("baseHash").and_then(Value::as_str);
        if base.is_some_and(|base| base != self.hash()) {
            return Err(hash_conflict());
        }
        let mut wanted = self.parsed.clone();
        json_patch::merge(&mut wanted, &patch);
        let changes = Changes::between(&self.parsed, &wanted);
        let (Some(first), false) = (changes.leaves.first(), changes.leaves.is_empty()) else {
            return Ok(Vec::new());
        };
        if base.is_none() {
            return Err(invalid(format!(
                "config base hash required for {first}; re-run config.get and retry with baseHash"
            )));
        }
        let named: BTreeSet<&str> = params
            .get("replacePaths")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut shortened = Vec::new();
        shortened_arrays(&self.parsed, Some(&wanted), "", &mut shortened);
        shortened.retain(|path| !named.contains(path.as_str()));
        if !shortened.is_empty() {
            return Err(invalid(format!(
                "config.patch would remove entries from array path(s): {}. Pass replacePaths with the exact path(s) when this is \
                 intentional, or use config.apply for full-config replacement.",
                shortened.join(", ")
            )));
        }
        let dropped = self.dropped(&wanted);
        if !dropped.is_empty() {
            return Err(unavailable(format!(
                "Error: Config write would drop agent roster entries without an explicit deletion: {}.",
                dropped.join(", ")
            )));
        }
        schema::check(&wanted)?;
        self.replace(wanted, home);
        Ok(changes.tops)
    }

    /// `config.set`.
    pub(super) fn set(&mut self, params: &Map<String, Value>, home: &str) -> Result<(), Value> {
        let Some(base) = params.get("baseHash").and_then(Value::as_str) else {
            return Err(invalid(
                "config base hash required; re-run config.get and retry",
            ));
        };
        if base != self.hash() {
            return Err(hash_conflict());
        }
        let wanted = json5(params)?;
        schema::check(&wanted)?;
        let dropped = self.dropped(&wanted);
        if !dropped.is_empty() {
            return Err(invalid(format!(
                "config.set would remove existing agent entries: {}. Use the agents.delete RPC or `openclaw agents delete <id>` for \
                 intentional deletion.",
                dropped.join(", ")
            )));
        }
        self.replace(wanted, home);
        Ok(())
    }

    fn replace(&mut self, wanted: Value, home: &str) {
        let before = self.entries().map_or(0, Map::len);
        self.edit(|parsed| {
            *parsed = wanted;
            let after = entries(parsed).map_or(0, Map::len);
            if before <= 1 && after > 1 {
                pin_first(parsed, home);
            }
        });
    }

    fn dropped(&self, wanted: &Value) -> Vec<String> {
        let left = entries(wanted);
        let ids = self.entries().into_iter().flat_map(Map::keys);
        ids.filter(|id| left.is_none_or(|left| !left.contains_key(*id)))
            .cloned()
            .collect()
    }
}

/// `agents.entries` of a document.
pub(super) fn entries(parsed: &Value) -> Option<&Map<String, Value>> {
    parsed.pointer("/agents/entries")?.as_object()
}

/// What the gateway writes of itself when a roster grows beyond one agent: which agent is the system's, which one beats where no block says
/// so, and where `main` works.
pub(super) fn pin_first(parsed: &mut Value, home: &str) {
    let beats = entries(parsed)
        .into_iter()
        .flat_map(Map::values)
        .any(|entry| entry.get("heartbeat").is_some());
    let agents = &mut parsed["agents"];
    if agents["entries"]["main"].is_object() {
        let defaults = &mut agents["defaults"];
        if defaults["systemAgent"].is_null() {
            defaults["systemAgent"] = json!({"agentId": "main"});
            if !beats && defaults["heartbeat"].is_null() {
                defaults["heartbeat"] = json!({"agentId": "main"});
            }
        }
        let main = &mut agents["entries"]["main"];
        if main["workspace"].is_null() {
            main["workspace"] = json!(format!("{home}/workspace"));
        }
    }
}

/// The document or patch that a write carries.
fn json5(params: &Map<String, Value>) -> Result<Value, Value> {
    let raw = params
        .get("raw")
        .and_then(Value::as_str)
        .unwrap_or_default();
    serde_json::from_str(raw).map_err(|error| invalid(format!("SyntaxError: JSON5: {error}")))
}

impl Changes {
    fn between(old: &Value, new: &Value) -> Self {
        let mut changes = Self {
            leaves: Vec::new(),
            tops: Vec::new(),
        };
        changes.compare(Some(old), Some(new), "", false);
        changes
    }

    fn compare(&mut self, old: Option<&Value>, new: Option<&Value>, path: &str, told: bool) {
        if old == new {
            return;
        }
        let top = old.is_none() || new.is_none();
        if !told && top {
            self.tops.push(path.to_owned());
        }
        let empty = Map::new();
        let parts = |value: Option<&'_ Value>| value.and_then(Value::as_object).cloned();
        match (parts(old), parts(new)) {
            (None, None) => {
                self.leaves.push(path.to_owned());
                if !told && !top {
                    self.tops.push(path.to_owned());
                }
            }
            (before, after) => {
                let (before, after) = (before.as_ref(), after.as_ref());
                let names: BTreeSet<&String> = [before, after]
                    .into_iter()
                    .flatten()
                    .flat_map(Map::keys)
                    .collect();
                if names.is_empty() {
                    self.leaves.push(path.to_owned());
                }
                for name in names {
                    let below = if path.is_empty() {
                        name.clone()
                    } else {
                        format!("{path}.{name}")
                    };
                    let (was, is) = (
                        before.unwrap_or(&empty).get(name),
                        after.unwrap_or(&empty).get(name),
                    );
                    self.compare(was, is, &below, told || top);
                }
            }
        }
    }
}

/// Arrays of `old` that lose an element in `new`.
fn shortened_arrays(old: &Value, new: Option<&Value>, path: &str, into: &mut Vec<String>) {
    match old {
        Value::Array(elements) if !elements.is_empty() => {
            let left = new.and_then(Value::as_array);
            if left.is_none_or(|left| elements.iter().any(|element| !left.contains(element))) {
                into.push(path.to_owned());
            }
        }
        Value::Object(parts) => {
            for (name, part) in parts {
                let below = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                shortened_arrays(part, new.and_then(|new| new.get(name)), &below, into);
            }
        }
        _ => {}
    }
}
