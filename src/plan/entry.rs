//! The agent's entry in the gateway's roster: which of its keys we want, and whether they are there.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::plan::desired::Desired;

/// Our keys of one entry, by dotted path (`heartbeat.every`), with the values they are to have.
pub type Keys = BTreeMap<String, Value>;

/// The path of the key that holds all of an agent's heartbeat.
pub const HEARTBEAT: &str = "heartbeat";
/// The path of the time between two heartbeats.
pub const EVERY: &str = "heartbeat.every";

/// The paths that the gateway fills in the entry of an agent that `agents.create` makes (seen on 2026.9.6).
pub const CREATED_WITH: [&str; 4] = ["name", "workspace", "agentDir", "identity.name"];

/// The keys that an entry is to have.
#[must_use]
pub fn keys(desired: &Desired) -> Keys {
    let heartbeat = &desired.heartbeat;
    let mut keys = Keys::from([
        ("name".to_owned(), json!(desired.display_name)),
        (EVERY.to_owned(), json!(heartbeat.every)),
        ("heartbeat.target".to_owned(), json!(heartbeat.target)),
    ]);
    let optional = [
        ("model", &desired.model),
        ("workspace", &desired.workspace),
        ("heartbeat.prompt", &heartbeat.prompt),
        ("heartbeat.model", &heartbeat.model),
    ];
    for (path, value) in optional {
        if let Some(value) = value {
            keys.insert(path.to_owned(), json!(value));
        }
    }
    if let Some(hours) = &heartbeat.active_hours {
        keys.insert("heartbeat.activeHours".to_owned(), json!(hours));
    }
    keys
}

/// The keys that we set once and no longer want.
#[must_use]
pub fn surplus(own: &[String], keys: &Keys) -> BTreeSet<String> {
    own.iter()
        .filter(|path| !keys.contains_key(*path))
        .cloned()
        .collect()
}

/// Whether `entry` has every key as wanted and none of the surplus.
#[must_use]
pub fn is_as_wanted(entry: &Value, keys: &Keys, surplus: &BTreeSet<String>) -> bool {
    keys.iter()
        .all(|(path, value)| at(entry, path) == Some(value))
        && surplus.iter().all(|path| at(entry, path).is_none())
}

/// Whether an entry holds what `agents.create` makes of this id, and nothing else.
#[must_use]
pub fn is_as_created(entry: &Value, agent_id: &str) -> bool {
    let Some(keys) = entry.as_object() else {
        return false;
    };
    keys.iter().all(|(key, value)| match key.as_str() {
        "name" => value == agent_id,
        "identity" => *value == json!({ "name": agent_id }),
        "workspace" | "agentDir" => value.is_string(),
        _ => false,
    }) && keys.contains_key("name")
        && keys.contains_key("agentDir")
}

/// The agents that a first heartbeat block on the roster silences: on a roster without any block the `beating` ones beat by default, from
/// the first block on only those with one do (seen on 2026.9.6). In alphabetical order.
#[must_use]
pub fn silenced<'a>(
    entries: impl IntoIterator<Item = &'a Value>,
    beating: impl IntoIterator<Item = &'a str>,
) -> BTreeSet<&'a str> {
    let is_first = entries
        .into_iter()
        .all(|entry| entry.get("heartbeat").is_none_or(Value::is_null));
    if is_first {
        beating.into_iter().collect()
    } else {
        BTreeSet::new()
    }
}

/// The keys at these paths as an entry has them; those that it lacks are left out.
#[must_use]
pub fn taken(entry: &Value, paths: &[String]) -> Keys {
    paths
        .iter()
        .filter_map(|path| Some((path.clone(), at(entry, path)?.clone())))
        .collect()
}

/// What tells our own change from somebody else's: the SHA-256, in hex, of the keys and their values.
#[must_use]
pub fn digest(keys: &Keys) -> String {
    sha256(&json!(keys).to_string())
}

/// The SHA-256 of a text, in hex, as the gateway gives it for a file.
#[must_use]
pub fn sha256(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

fn at<'a>(entry: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.')
        .try_fold(entry, |value, part| value.get(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_as_wanted_whatever_else_stands_in_it() {
        let keys = Keys::from([
            ("name".into(), json!("A")),
            ("heartbeat.every".into(), json!("5m")),
        ]);
        let ours =
            json!({"name": "A", "tools": {"x": 1}, "heartbeat": {"every": "5m", "to": "somebody"}});
        assert!(is_as_wanted(&ours, &keys, &BTreeSet::new()));
        let surplus = surplus(&["name".into(), "model".into()], &keys);
        assert_eq!(surplus, BTreeSet::from(["model".to_owned()]));
        assert!(is_as_wanted(&ours, &keys, &surplus));
        let with_model = json!({"name": "A", "model": "x/y", "heartbeat": {"every": "5m"}});
        assert!(!is_as_wanted(&with_model, &keys, &surplus));
        assert!(!is_as_wanted(
            &json!({"name": "A"}),
            &keys,
            &BTreeSet::new()
        ));
    }

    #[test]
    fn what_the_gateway_makes_of_an_id_is_known_by_everything_in_it() {
        let made = json!({"name": "a_b", "workspace": "/w", "agentDir": "/a", "identity": {"name": "a_b"}});
        assert!(is_as_created(&made, "a_b"));
        assert!(!is_as_created(&made, "other"));
        for (key, value) in [
            ("heartbeat", json!({})),
            ("model", json!("p/m")),
            ("name", json!("Theirs")),
            ("identity", json!({"name": "a_b", "emoji": "x"})),
            ("agentDir", json!(null)),
        ] {
            let mut theirs = made.clone();
            theirs[key] = value;
            assert!(!is_as_created(&theirs, "a_b"), "{theirs}");
        }
        assert!(!is_as_created(&json!({"name": "a_b"}), "a_b"));
        assert!(!is_as_created(&Value::Null, "a_b"));
    }

    #[test]
    fn only_the_first_heartbeat_block_silences_others() {
        let (bare, beats) = (json!({"name": "A"}), json!({"heartbeat": {}}));
        assert_eq!(
            silenced([&bare], ["scribe", "main"]),
            BTreeSet::from(["main", "scribe"])
        );
        assert!(silenced([&bare, &beats], ["main"]).is_empty());
        assert!(silenced([&bare], []).is_empty());
    }

    #[test]
    fn a_digest_depends_on_values_only() {
        let keys = |every: &str| {
            Keys::from([
                ("name".into(), json!("A")),
                ("heartbeat.every".into(), json!(every)),
            ])
        };
        assert_eq!(digest(&keys("5m")), digest(&keys("5m")));
        assert_ne!(digest(&keys("5m")), digest(&keys("6m")));
    }
}
