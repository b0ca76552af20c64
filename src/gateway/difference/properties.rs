//! What no document and no wish may break.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const OWN: [&str; 7] = [
    "name",
    "model",
    "workspace",
    "heartbeat.every",
    "heartbeat.target",
    "heartbeat.prompt",
    "heartbeat.activeHours",
];

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[a-z]{1,3}".prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(json!({"start": "08:00", "end": "20:00"})),
        Just(json!({"start": "08:00", "timezone": "UTC"})),
        Just(json!({"primary": "p/m", "fallbacks": ["p/n", "p/o"]})),
        Just(json!({})),
    ]
}

fn any_entry() -> impl Strategy<Value = Value> {
    let keys = prop::sample::select(vec!["name", "model", "workspace", "tools", "identity"]);
    let heartbeat_keys = prop::sample::select(vec![
        "every",
        "target",
        "prompt",
        "activeHours",
        "lightContext",
    ]);
    (
        prop::collection::btree_map(keys, any_value(), 0..4),
        prop::option::of(prop::collection::btree_map(
            heartbeat_keys,
            any_value(),
            0..4,
        )),
    )
        .prop_map(|(keys, heartbeat)| {
            let mut entry = json!(keys);
            if let Some(heartbeat) = heartbeat {
                entry[HEARTBEAT] = json!(heartbeat);
            }
            entry
        })
}

fn any_document() -> impl Strategy<Value = Value> {
    let ids = prop::sample::select(vec!["main", "a", "b", "c", "other"]);
    (
        prop::option::of(prop::collection::btree_map(ids, any_entry(), 0..5)),
        any::<bool>(),
    )
        .prop_map(|(entries, explicit)| {
            let mut document =
                json!({"gateway": {"mode": "local"}, "agents": {"defaults": {"x": 1}}});
            if let Some(entries) = entries {
                document["agents"]["entries"] = json!(entries);
            }
            if explicit {
                document["agents"]["ownership"] = json!("explicit");
            }
            document
        })
}

fn any_wishes() -> impl Strategy<Value = Vec<EntryWish>> {
    let paths = || prop::sample::select(OWN.to_vec());
    let one = (
        prop::collection::btree_map(paths(), any_value(), 0..4),
        prop::collection::btree_set(paths(), 0..4),
        any::<bool>(),
    );
    prop::collection::btree_map(prop::sample::select(vec!["a", "b", "c", "d"]), one, 0..4).prop_map(
        |wishes| {
            wishes
                .into_iter()
                .map(|(id, (set, unset, keep))| EntryWish {
                    agent_id: id.to_owned(),
                    set: set
                        .into_iter()
                        .map(|(path, value)| (path.to_owned(), value))
                        .collect(),
                    unset: unset.into_iter().map(str::to_owned).collect(),
                    must_be_absent: false,
                    was_there: false,
                    may_be_created: false,
                    foreign_heartbeats: if keep {
                        ForeignHeartbeats::Keep
                    } else {
                        ForeignHeartbeats::Stop
                    },
                })
                .collect()
        },
    )
}

fn any_beating() -> impl Strategy<Value = BTreeSet<String>> {
    prop::collection::btree_set(
        prop::sample::select(vec!["main", "a", "other"]).prop_map(str::to_owned),
        0..3,
    )
}

/// All values of a document by dotted path; an empty object or array is a value.
fn flat(value: &Value) -> BTreeMap<String, Value> {
    fn walk(path: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                for (key, value) in map {
                    walk(&format!("{path}.{key}"), value, into);
                }
            }
            other => {
                into.insert(path.to_owned(), other.clone());
            }
        }
    }
    let mut into = BTreeMap::new();
    walk("", value, &mut into);
    into
}

proptest! {
    #[test]
    fn what_was_written_needs_no_second_write(
        document in any_document(), wishes in any_wishes(), beating in any_beating()
    ) {
        let wishes: Vec<_> = wishes.iter().collect();
        let first = difference(&document, &wishes, &beating);
        let mut after = document;
        json_patch::merge(&mut after, &first.clone().into_patch());
        let second = difference(&after, &wishes, &beating);
        prop_assert!(second.is_empty(), "{:?} after {:?}", second, first);
        for wish in &wishes {
            prop_assert!(unmet(&after, wish).is_empty());
            for (path, value) in &wish.set {
                let pointer = format!("/agents/entries/{}/{}", wish.agent_id, path.replace('.', "/"));
                prop_assert_eq!(after.pointer(&pointer), Some(value));
            }
        }
    }

    #[test]
    fn what_is_not_ours_stays_as_it_is(
        document in any_document(), wishes in any_wishes(), beating in any_beating()
    ) {
        let references: Vec<_> = wishes.iter().collect();
        let difference = difference(&document, &references, &beating);
        let mut after = document.clone();
        json_patch::merge(&mut after, &difference.clone().into_patch());
        let (before, after) = (flat(&document), flat(&after));
        let owned = |path: &str| {
            path == ".agents.ownership"
                // An object that was empty and now holds something of ours.
                || path == ".agents.entries"
                || difference.kept.iter().any(|id| path == format!(".agents.entries.{id}.heartbeat") || path == format!(".agents.entries.{id}"))
                || wishes.iter().any(|wish| {
                    let entry = format!(".agents.entries.{}", wish.agent_id);
                    path == entry
                        || path == format!("{entry}.heartbeat")
                        || wish.set.keys().chain(&wish.unset).any(|own| {
                            let own = format!("{entry}.{own}");
                            path == own || path.starts_with(&format!("{own}."))
                        })
                })
        };
        for path in before.keys().chain(after.keys()) {
            if before.get(path) != after.get(path) {
                prop_assert!(owned(path), "{} changed: {:?}", path, difference);
            }
        }
    }

    #[test]
    fn the_order_of_wishes_makes_no_difference(
        document in any_document(), wishes in any_wishes(), beating in any_beating()
    ) {
        let forth: Vec<_> = wishes.iter().collect();
        let back: Vec<_> = wishes.iter().rev().collect();
        prop_assert_eq!(difference(&document, &forth, &beating), difference(&document, &back, &beating));
    }
}
