//! What to write: (config document, wishes, beating agents) to one merge patch. Pure.
//!
//! Only what the wishes name ever appears in a patch, plus two things the gateway makes necessary: `agents.ownership` when the roster
//! grows beyond one agent, and `heartbeat: {}` for agents of others that our first heartbeat block would silence. A gateway without
//! `agents.entries` runs an implicit agent `main`; it writes that one's entry itself as soon as another one comes.

mod entry;
#[cfg(any(test, fuzzing))]
pub(crate) mod laws;
#[cfg(any(test, fuzzing))]
pub(crate) mod model;
#[cfg(test)]
mod properties;
mod rewrite;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use self::entry::entry_change;
pub use self::rewrite::rewritten;
use super::config::{IMPLICIT_AGENT, entries};
use super::{EntryWish, ForeignHeartbeats};

const HEARTBEAT: &str = "heartbeat";

/// One merge patch for all wishes; empty when all of them are fulfilled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// RFC 7396, an object.
    pub patch: Map<String, Value>,
    /// Arrays that the patch shortens or takes away: `config.patch` wants them named.
    pub replace_paths: BTreeSet<String>,
    /// Agents of others that get `heartbeat: {}`, so that they go on beating.
    pub kept: BTreeSet<String>,
    /// The agents whose entries change because of their own wish.
    pub changed: BTreeSet<String>,
}

impl Difference {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patch.is_empty()
    }

    /// The patch as a document.
    #[must_use]
    pub fn into_patch(self) -> Value {
        Value::Object(self.patch)
    }
}

/// What is to be written so that every wish is fulfilled. `beating` are the agents that beat now; it is looked at only where
/// [`brings_first_heartbeat`] says so. At most one wish for each agent.
#[must_use]
pub fn difference(parsed: &Value, wishes: &[&EntryWish], beating: &BTreeSet<String>) -> Difference {
    let roster = entries(parsed);
    let mut difference = Difference::default();
    let mut changes = Map::new();
    for wish in wishes {
        let observed = roster.and_then(|roster| roster.get(&wish.agent_id));
        if let Some(change) = entry_change(observed, wish) {
            let prefix = format!("agents.entries.{}.", wish.agent_id);
            difference
                .replace_paths
                .extend(change.arrays.iter().map(|path| format!("{prefix}{path}")));
            difference.changed.insert(wish.agent_id.clone());
            changes.insert(wish.agent_id.clone(), Value::Object(change.patch));
        }
    }
    if brings_first_heartbeat(parsed, wishes) {
        let ours: BTreeSet<&str> = wishes.iter().map(|wish| wish.agent_id.as_str()).collect();
        for agent_id in beating.iter().filter(|id| !ours.contains(id.as_str())) {
            changes.insert(agent_id.clone(), json!({ HEARTBEAT: {} }));
            difference.kept.insert(agent_id.clone());
        }
    }
    if changes.is_empty() {
        return difference;
    }
    let mut agents = Map::new();
    if needs_ownership(parsed, &changes) {
        agents.insert("ownership".to_owned(), json!("explicit"));
    }
    agents.insert("entries".to_owned(), Value::Object(changes));
    difference
        .patch
        .insert("agents".to_owned(), Value::Object(agents));
    difference
}

/// Whether these wishes bring the first heartbeat block to the roster, and one of them wants the heartbeats of others kept. Where no
/// entry has a block the default agents beat; from the first block on only agents with one do.
#[must_use]
pub fn brings_first_heartbeat(parsed: &Value, wishes: &[&EntryWish]) -> bool {
    let observed = entries(parsed).is_some_and(|roster| {
        roster
            .values()
            .any(|entry| entry.get(HEARTBEAT).is_some_and(|block| !block.is_null()))
    });
    !observed
        && wishes.iter().any(|wish| {
            wish.foreign_heartbeats == ForeignHeartbeats::Keep
                && wish.set.iter().any(|(path, value)| {
                    !value.is_null() && path.split('.').next() == Some(HEARTBEAT)
                })
        })
}

/// The dotted paths, below the agent's entry, at which the document is not as wished. Empty: fulfilled.
#[must_use]
pub fn unmet(parsed: &Value, wish: &EntryWish) -> Vec<String> {
    let observed = entries(parsed).and_then(|roster| roster.get(&wish.agent_id));
    match entry_change(observed, wish) {
        None => Vec::new(),
        Some(_) if observed.is_none() => vec![format!("agents.entries.{}", wish.agent_id)],
        Some(change) => entry::leaves(&change.patch),
    }
}

/// The patch that takes our `heartbeat: {}` out of these entries again, where it is still exactly that. `None`: it is still needed,
/// because another entry has a heartbeat block, whoever wrote it, and those without one would fall silent.
#[must_use]
pub fn release(parsed: &Value, kept: &BTreeSet<String>) -> Option<Difference> {
    let with_block = entries(parsed)
        .into_iter()
        .flatten()
        .filter(|(_, entry)| entry.get(HEARTBEAT).is_some_and(|block| !block.is_null()));
    let (ours, others): (Vec<_>, Vec<_>) =
        with_block.partition(|(id, entry)| kept.contains(*id) && entry[HEARTBEAT] == json!({}));
    if ours.is_empty() {
        return Some(Difference::default());
    }
    if !others.is_empty() {
        return None;
    }
    let changes: Map<String, Value> = ours
        .into_iter()
        .map(|(id, _)| (id.clone(), json!({ HEARTBEAT: null })))
        .collect();
    let mut patch = Map::new();
    patch.insert("agents".to_owned(), json!({ "entries": changes }));
    Some(Difference {
        patch,
        ..Difference::default()
    })
}

/// A roster that grows to several agents must say `ownership: explicit`. One that marks its default agent (`default: true`, older
/// documents) must too: the gateway takes the marker away on the first write and pins that agent in `agents.defaults` instead.
fn needs_ownership(parsed: &Value, changes: &Map<String, Value>) -> bool {
    let mut ids: BTreeSet<&str> = entries(parsed)
        .into_iter()
        .flat_map(|roster| roster.keys().map(String::as_str))
        .collect();
    if ids.is_empty() {
        ids.insert(IMPLICIT_AGENT);
    }
    let before = ids.len();
    ids.extend(changes.keys().map(String::as_str));
    let explicit = parsed.pointer("/agents/ownership").and_then(Value::as_str) == Some("explicit");
    ids.len() > before && ids.len() > 1 && !explicit
}
