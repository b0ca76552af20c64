//! What the gateway makes of a merge patch: a model for tests, written from what OpenClaw 2026.9.6 was seen to do, not from our code.
//!
//! RFC 7396, with four differences: an array of objects that all have an `id` is merged with another one by these ids; an array whose
//! path is in `replacePaths` is replaced; a patch that takes items out of an array which is not named there is refused; and keys by
//! which a JavaScript object could be broken are passed over.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Keys that the gateway passes over in a patch.
pub(super) const PASSED_OVER: [&str; 3] = ["__proto__", "constructor", "prototype"];

/// The document after the patch, or the paths of the arrays for which the gateway refuses it.
pub(crate) fn patched(
    document: &Value,
    patch: &Value,
    replace_paths: &BTreeSet<String>,
) -> Result<Value, Vec<String>> {
    let mut after = document.clone();
    merge(&mut after, patch, "", replace_paths);
    let mut refused = Vec::new();
    shortened(document, patch, &after, "", &mut refused);
    refused.retain(|path| !replace_paths.contains(path));
    if refused.is_empty() {
        Ok(after)
    } else {
        Err(refused)
    }
}

fn merge(target: &mut Value, patch: &Value, at: &str, replace_paths: &BTreeSet<String>) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else {
        return;
    };
    for (key, value) in patch {
        let at = below(at, key);
        if PASSED_OVER.contains(&key.as_str()) {
            continue;
        }
        if value.is_null() {
            target.remove(key);
            continue;
        }
        let there = target.entry(key).or_insert(Value::Null);
        match (there.as_array(), value.as_array()) {
            (Some(old), Some(new)) if !replace_paths.contains(&at) => {
                *there = match by_id(old, new, &at, replace_paths) {
                    Some(merged) => Value::Array(merged),
                    None => value.clone(),
                };
            }
            _ => merge(there, value, &at, replace_paths),
        }
    }
}

/// Both arrays in one, where all items of the old one have an id.
fn by_id(
    old: &[Value],
    new: &[Value],
    at: &str,
    replace_paths: &BTreeSet<String>,
) -> Option<Vec<Value>> {
    if !old.iter().all(|item| id(item).is_some()) {
        return None;
    }
    let mut merged = old.to_vec();
    for item in new {
        let same = merged
            .iter_mut()
            .find(|there| id(item).is_some() && id(there) == id(item));
        match same {
            Some(there) => merge(there, item, &format!("{at}[]"), replace_paths),
            None => merged.push(item.clone()),
        }
    }
    Some(merged)
}

fn id(item: &Value) -> Option<&str> {
    item.get("id")?.as_str().filter(|id| !id.is_empty())
}

/// The arrays that lose items.
fn shortened(before: &Value, patch: &Value, after: &Value, at: &str, into: &mut Vec<String>) {
    let (Value::Object(before), Value::Object(patch)) = (before, patch) else {
        return;
    };
    for (key, value) in patch {
        let at = below(at, key);
        let (Some(old), new) = (before.get(key), after.get(key).unwrap_or(&Value::Null)) else {
            continue;
        };
        match (old, value) {
            (Value::Array(items), Value::Array(patches)) if keeps_all(old, new) => {
                shortened_within(items, patches, new, &at, into);
            }
            (Value::Array(_), _) => into.push(at),
            (Value::Object(_), Value::Object(_)) => shortened(old, value, new, &at, into),
            (Value::Object(_), _) => arrays_in(old, &at, into),
            _ => {}
        }
    }
}

/// The arrays within items with ids that lose items, whether the array around them is named or not.
fn shortened_within(
    old: &[Value],
    patches: &[Value],
    new: &Value,
    at: &str,
    into: &mut Vec<String>,
) {
    if !old.iter().all(|item| id(item).is_some()) {
        return;
    }
    let same =
        |items: &[Value], wanted: &str| items.iter().find(|item| id(item) == Some(wanted)).cloned();
    let new = new.as_array().map(Vec::as_slice).unwrap_or_default();
    for patch in patches {
        let wanted = id(patch).unwrap_or_default();
        if let (Some(before), Some(after)) = (same(old, wanted), same(new, wanted)) {
            shortened(&before, patch, &after, &format!("{at}[]"), into);
        }
    }
}

fn keeps_all(old: &Value, new: &Value) -> bool {
    let (Some(old), Some(new)) = (old.as_array(), new.as_array()) else {
        return false;
    };
    let have_ids = old.iter().all(|item| id(item).is_some());
    let is_same = |a: &Value, b: &Value| {
        if have_ids { id(a) == id(b) } else { a == b }
    };
    let mut rest: Vec<&Value> = new.iter().collect();
    old.iter().all(|item| {
        let at = rest.iter().position(|there| is_same(item, there));
        at.map(|at| rest.remove(at)).is_some()
    })
}

fn arrays_in(value: &Value, at: &str, into: &mut Vec<String>) {
    match value {
        Value::Array(_) => into.push(at.to_owned()),
        Value::Object(map) => {
            for (key, value) in map {
                arrays_in(value, &below(at, key), into);
            }
        }
        _ => {}
    }
}

fn below(at: &str, key: &str) -> String {
    if at.is_empty() {
        key.to_owned()
    } else {
        format!("{at}.{key}")
    }
}
