//! Documents and wishes of every kind that there can be, few enough in their words that they meet.

use std::collections::BTreeSet;

use proptest::{
    prelude::*,
    sample::{select, subsequence},
};
use serde_json::{Value, json};

use super::super::HEARTBEAT;
use crate::gateway::{EntryWish, ForeignHeartbeats};

/// Keys that wishes speak of.
const OWN: [&str; 7] = [
    "name",
    "model",
    "workspace",
    "heartbeat.every",
    "heartbeat.target",
    "heartbeat.prompt",
    "heartbeat.activeHours",
];
/// Those that are only ever taken out.
const UNSET: [&str; 4] = ["agentDir", "identity.name", "heartbeat", "tools.allow"];

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[a-z]{1,3}".prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        Just(Value::Null),
        Just(json!({})),
        Just(json!([])),
        Just(json!(["x"])),
        Just(json!([{"id": "x", "n": [1]}, {"id": "y"}])),
        Just(json!([{"id": "x", "n": [2]}])),
        Just(json!({"start": "08:00", "end": "20:00"})),
        Just(json!({"start": "08:00", "timezone": null, "days": ["mo", "tu"]})),
        Just(json!({"primary": "p/m", "fallbacks": ["p/n", "p/o"]})),
        Just(json!({"primary": "p/m", "fallbacks": {"first": ["p/n"]}})),
    ]
}

fn any_entry() -> impl Strategy<Value = Value> {
    let keys = select(vec!["name", "model", "workspace", "skills", "default"]);
    let blocks = select(vec!["tools", "identity", "heartbeat"]);
    let inner = select(vec![
        "every",
        "target",
        "prompt",
        "activeHours",
        "lightContext",
        "allow",
        "name",
    ]);
    let block = prop::collection::btree_map(inner, any_value(), 0..4);
    (
        prop::collection::btree_map(keys, any_value(), 0..4),
        prop::collection::btree_map(blocks, block, 0..3),
    )
        .prop_map(|(keys, blocks)| {
            let mut entry = json!(keys);
            for (name, block) in blocks {
                entry[name] = json!(block);
            }
            entry
        })
}

pub(super) fn any_document() -> impl Strategy<Value = Value> {
    let ids = select(vec!["main", "a", "b", "c", "other"]);
    (
        prop::option::of(prop::collection::btree_map(ids, any_entry(), 0..5)),
        any::<bool>(),
        any_value(),
    )
        .prop_map(|(entries, explicit, theirs)| {
            let mut document = json!({"gateway": {"mode": "local"}, "agents": {"defaults": theirs}, "bindings": [{"id": "x"}]});
            if let Some(entries) = entries {
                document["agents"]["entries"] = json!(entries);
            }
            if explicit {
                document["agents"]["ownership"] = json!("explicit");
            }
            document
        })
}

/// A document whose agents beat by default: none has a block.
pub(super) fn any_document_without_blocks() -> impl Strategy<Value = Value> {
    any_document().prop_map(|mut document| {
        if let Some(Value::Object(entries)) = document.pointer_mut("/agents/entries") {
            for entry in entries.values_mut().filter_map(Value::as_object_mut) {
                entry.remove(HEARTBEAT);
            }
        }
        document
    })
}

fn any_wish(id: &'static str) -> impl Strategy<Value = EntryWish> {
    let set = prop::collection::btree_map(select(OWN.to_vec()), any_value(), 0..5);
    let unset = subsequence([&OWN[..], &UNSET].concat(), 0..5);
    (set, unset, any::<bool>()).prop_map(move |(set, unset, keep)| EntryWish {
        set: set
            .into_iter()
            .map(|(path, value)| (path.to_owned(), value))
            .collect(),
        unset: unset.into_iter().map(str::to_owned).collect(),
        foreign_heartbeats: if keep {
            ForeignHeartbeats::Keep
        } else {
            ForeignHeartbeats::Stop
        },
        ..EntryWish::of(id)
    })
}

pub(super) fn any_wishes() -> impl Strategy<Value = Vec<EntryWish>> {
    let all = ["a", "b", "c", "d", "main"].map(any_wish);
    (all, subsequence(vec![0, 1, 2, 3, 4], 0..=5))
        .prop_map(|(wishes, chosen)| chosen.into_iter().map(|n| wishes[n].clone()).collect())
}

/// Wishes as the operator has them: each with a heartbeat, all with one mind about those of others.
pub(super) fn any_wishes_of_the_operator() -> impl Strategy<Value = Vec<EntryWish>> {
    (any_wishes(), any::<bool>()).prop_map(|(mut wishes, keep)| {
        for wish in &mut wishes {
            wish.set.insert("heartbeat.every".to_owned(), json!("10m"));
            wish.foreign_heartbeats = if keep {
                ForeignHeartbeats::Keep
            } else {
                ForeignHeartbeats::Stop
            };
        }
        wishes
    })
}

pub(super) fn any_beating() -> impl Strategy<Value = BTreeSet<String>> {
    let ids = vec!["main", "a", "b", "other"];
    subsequence(ids, 0..=3).prop_map(|ids| ids.into_iter().map(str::to_owned).collect())
}
