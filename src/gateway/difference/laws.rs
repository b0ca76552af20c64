//! What holds for every document and every wish, as assertions: property tests and the fuzzer ask the same.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    Difference, HEARTBEAT, difference,
    model::{PASSED_OVER, patched},
    rewritten, unmet,
};
use crate::gateway::{EntryWish, config::entries};

/// Whether a gateway could have this document, as far as it matters here: what it finds invalid is never written to. In a valid one
/// the roster is a map of maps, its ownership a word, and everything that a wished key stands in a map.
pub(crate) fn is_possible(document: &Value, wishes: &[EntryWish]) -> bool {
    let is_map = |value: Option<&Value>| value.is_none_or(Value::is_object);
    let is_block = |value: Option<&Value>| is_map(value.filter(|value| !value.is_null()));
    let roster = entries(document);
    is_map(Some(document))
        && is_map(document.get(AGENTS))
        && is_map(document.pointer("/agents/entries"))
        && document
            .pointer("/agents/ownership")
            .is_none_or(Value::is_string)
        && roster
            .into_iter()
            .flatten()
            .all(|(_, entry)| entry.is_object() && is_block(entry.get(HEARTBEAT)))
        && wishes.iter().all(|wish| {
            let entry = roster.and_then(|roster| roster.get(&wish.agent_id));
            let mut own = wish.set.keys().chain(&wish.unset);
            own.all(|path| {
                let keys: Vec<&str> = path.split('.').collect();
                (1..keys.len()).all(|n| {
                    let parents = keys.get(..n).unwrap_or_default();
                    is_block(entry.and_then(|entry| look_up(entry, parents)))
                })
            })
        })
}

/// Whether these can be wishes: one for each agent, under an id and keys that the gateway takes, and no wished value inside of another.
pub(crate) fn are_possible(wishes: &[EntryWish]) -> bool {
    let ids: BTreeSet<&str> = wishes.iter().map(|wish| wish.agent_id.as_str()).collect();
    let is_id = |id: &str| {
        let mut letters = id.bytes();
        letters
            .next()
            .is_some_and(|it| it.is_ascii_lowercase() || it.is_ascii_digit())
            && letters
                .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || b"_-".contains(&it))
            && !PASSED_OVER.contains(&id)
    };
    let is_path = |path: &String| path.split('.').all(|key| !PASSED_OVER.contains(&key));
    let nested = |wish: &EntryWish| {
        wish.set
            .keys()
            .any(|path| wish.set.keys().any(|other| is_below(other, path)))
    };
    ids.len() == wishes.len()
        && ids.into_iter().all(is_id)
        && wishes.iter().all(|wish| {
            wish.set.keys().chain(&wish.unset).all(is_path)
                && wish.set.values().all(is_taken)
                && !nested(wish)
        })
}

/// Whether the gateway passes over no key of this value.
fn is_taken(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(is_taken),
        Value::Object(map) => map
            .iter()
            .all(|(key, value)| !PASSED_OVER.contains(&key.as_str()) && is_taken(value)),
        _ => true,
    }
}

/// Panics where the difference of a possible document and possible wishes breaks a law.
pub(crate) fn hold(document: &Value, wishes: &[EntryWish], beating: &BTreeSet<String>) {
    let forth: Vec<&EntryWish> = wishes.iter().collect();
    let back: Vec<&EntryWish> = wishes.iter().rev().collect();
    let first = difference(document, &forth, beating);
    assert_eq!(
        first,
        difference(document, &back, beating),
        "the order of wishes makes no difference"
    );
    only_ours_is_sent(document, wishes, &first);
    let patch = first.clone().into_patch();
    let written = patched(document, &patch, &first.replace_paths);
    let Ok(after) = written else {
        assert_eq!(written, Ok(Value::Null), "refused: {first:?}");
        return;
    };
    let whole = rewritten(&document.to_string(), &first.patch).ok();
    let whole = whole.and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let merged = serde_json::from_str::<Value>(&after.to_string()).ok();
    assert_eq!(whole, merged, "the whole document says the same");
    fulfilled(&after, wishes, beating, &first);
    others_stay(document, &after, wishes, &first);
    let ours = wishes.iter().map(|wish| wish.agent_id.clone()).collect();
    nobody_falls_silent(document, &after, &first, &(beating - &ours));
}

/// Every value of a patch is one that a wish speaks of or that the gateway makes necessary, and none is there already.
fn only_ours_is_sent(document: &Value, wishes: &[EntryWish], difference: &Difference) {
    let patch = Value::Object(difference.patch.clone());
    let values = flat(&patch).into_iter();
    for (path, value) in values.filter(|(path, _)| !path.is_empty()) {
        let is_necessary = path == [AGENTS, "ownership"]
            || matches!(path.as_slice(), [AGENTS, ENTRIES, id, HEARTBEAT] if difference.kept.contains(*id));
        // An entry that is made without any key of ours.
        let is_made = matches!(path.as_slice(), [AGENTS, ENTRIES, id] if wishes.iter().any(|wish| wish.agent_id == *id) && value.as_object().is_some_and(serde_json::Map::is_empty));
        let is_wished = match path.as_slice() {
            [AGENTS, ENTRIES, id, rest @ ..] => {
                let rest = rest.join(".");
                wishes
                    .iter()
                    .filter(|wish| wish.agent_id == *id)
                    .any(|wish| {
                        let mut own = wish.set.keys().chain(&wish.unset);
                        own.any(|own| *own == rest || is_below(&rest, own))
                            // A block that went because all of it was ours.
                            || value.is_null() && wish.unset.iter().any(|own| is_below(own, &rest))
                    })
            }
            _ => false,
        };
        assert!(
            is_necessary || is_made || is_wished,
            "sends {path:?}: {difference:?}"
        );
        // A null takes away, also what is null.
        let is_there = !value.is_null() && look_up(document, &path) == Some(&value);
        assert!(!is_there, "sends what is there: {path:?}");
    }
    for path in &difference.replace_paths {
        let mut parts = path.split('.');
        let is_in_roster = parts.next() == Some(AGENTS) && parts.next() == Some(ENTRIES);
        assert!(is_in_roster, "names an array of others: {path}");
    }
}

fn fulfilled(after: &Value, wishes: &[EntryWish], beating: &BTreeSet<String>, first: &Difference) {
    let references: Vec<&EntryWish> = wishes.iter().collect();
    let second = difference(after, &references, beating);
    assert!(second.is_empty(), "{second:?} after {first:?}");
    for wish in wishes {
        let paths = unmet(after, wish);
        assert!(paths.is_empty(), "{paths:?} after {first:?}");
        for (path, value) in &wish.set {
            let mut whole = vec![AGENTS, ENTRIES, wish.agent_id.as_str()];
            whole.extend(path.split('.'));
            let there = look_up(after, &whole);
            assert_eq!(there.cloned(), without_nulls(value), "{path}");
        }
    }
}

/// What no wish speaks of has the value that it had.
fn others_stay(document: &Value, after: &Value, wishes: &[EntryWish], difference: &Difference) {
    let (before, after) = (flat(document), flat(after));
    let is_ours = |path: &[&str]| match path {
        [AGENTS] | [AGENTS, ENTRIES | "ownership"] => true,
        [AGENTS, ENTRIES, id, rest @ ..] => {
            let kept = difference.kept.contains(*id) && matches!(rest, [] | [HEARTBEAT]);
            let rest = rest.join(".");
            let wish = wishes.iter().find(|wish| wish.agent_id == *id);
            kept || wish.is_some_and(|wish| {
                // An empty block counts as a value, and one that becomes empty goes with the last key of ours.
                rest.is_empty()
                    || wish
                        .set
                        .keys()
                        .chain(&wish.unset)
                        .any(|own| *own == rest || is_below(&rest, own) || is_below(own, &rest))
            })
        }
        _ => path.is_empty(),
    };
    for path in before.keys().chain(after.keys()) {
        if before.get(path) != after.get(path) {
            assert!(is_ours(path), "{path:?} changed: {difference:?}");
        }
    }
}

/// Where the first block comes and others are kept, every one of those who beat before has a block, and nothing else that is new.
fn nobody_falls_silent(
    document: &Value,
    after: &Value,
    difference: &Difference,
    others: &BTreeSet<String>,
) {
    let blocks = |document: &Value, id: &str| {
        look_up(document, &[AGENTS, ENTRIES, id, HEARTBEAT]).is_some_and(|it| !it.is_null())
    };
    if difference.kept.is_empty() {
        return;
    }
    let mut before = entries(document).into_iter().flatten();
    assert!(
        !before.any(|(id, _)| blocks(document, id)),
        "kept beside blocks of others: {difference:?}"
    );
    for id in others {
        assert!(blocks(after, id), "{id} falls silent: {difference:?}");
        let was = look_up(document, &[AGENTS, ENTRIES, id]).cloned();
        let mut is = look_up(after, &[AGENTS, ENTRIES, id]).cloned();
        if let Some(Value::Object(entry)) = &mut is {
            assert_eq!(entry.remove(HEARTBEAT), Some(json!({})));
        }
        let nothing_else = |entry: Option<Value>| {
            let mut entry = entry.unwrap_or_else(|| json!({}));
            if let Value::Object(entry) = &mut entry {
                entry.remove(HEARTBEAT);
            }
            entry
        };
        assert_eq!(nothing_else(was), nothing_else(is));
    }
}

const AGENTS: &str = "agents";
const ENTRIES: &str = "entries";

fn is_below(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent)
        .is_some_and(|rest| rest.starts_with('.'))
}

fn look_up<'a>(document: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(document, |value, key| value.get(key))
}

/// A patch cannot write a null, so a wished one means absence: what the gateway makes of the value where nothing is.
fn without_nulls(value: &Value) -> Option<Value> {
    let alone = patched(&json!({}), &json!({ "it": value }), &BTreeSet::new());
    alone.ok()?.get("it").cloned()
}

/// All values of a document by path; an empty map or an array is a value.
fn flat(document: &Value) -> BTreeMap<Vec<&str>, Value> {
    fn walk<'a>(path: &[&'a str], value: &'a Value, into: &mut BTreeMap<Vec<&'a str>, Value>) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                for (key, value) in map {
                    let path: Vec<&str> = path.iter().copied().chain([key.as_str()]).collect();
                    walk(&path, value, into);
                }
            }
            other => {
                into.insert(path.to_vec(), other.clone());
            }
        }
    }
    let mut into = BTreeMap::new();
    walk(&[], document, &mut into);
    into
}
