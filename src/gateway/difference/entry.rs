//! What changes in one roster entry: exact values at dotted paths, as a merge patch (RFC 7396). Pure.

use serde_json::{Map, Value};

use super::super::EntryWish;

/// The change of one entry.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) patch: Map<String, Value>,
    /// Dotted paths below the entry of arrays that are there and do not stay as they are.
    pub(super) arrays: Vec<String>,
}

/// What must change so that the wish is fulfilled; `None` when nothing must. An entry that is not there is made, be it empty.
pub(super) fn entry_change(observed: Option<&Value>, wish: &EntryWish) -> Option<Change> {
    let mut change = Change::default();
    for (path, value) in &wish.set {
        let wanted = without_nulls(value);
        let there = look_up(observed, path);
        if there == wanted.as_ref() {
            continue;
        }
        match wanted {
            Some(wanted) => {
                let patch = replacement(path, there, wanted, &mut change.arrays);
                put(&mut change.patch, path, patch);
            }
            None => remove(observed, path, &mut change),
        }
    }
    let unset = wish.unset.iter().filter(|path| !is_set(wish, path));
    let unset: Vec<&String> = unset.collect();
    // What goes with its block needs no word of its own, which would write the block again.
    let goes_with_another = |path: &str| unset.iter().any(|other| is_below(path, other));
    for path in unset.iter().filter(|path| !goes_with_another(path)) {
        if look_up(observed, path).is_some() {
            remove(observed, path, &mut change);
            prune_parents(observed, path, wish, &mut change);
        }
    }
    (observed.is_none() || !change.patch.is_empty()).then_some(change)
}

/// Whether `set` says something about `path` itself, about something in it, or about all around it.
fn is_set(wish: &EntryWish, path: &str) -> bool {
    wish.set
        .keys()
        .any(|set| set == path || is_below(set, path) || is_below(path, set))
}

fn is_below(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent)
        .is_some_and(|rest| rest.starts_with('.'))
}

fn look_up<'a>(entry: Option<&'a Value>, path: &str) -> Option<&'a Value> {
    path.split('.')
        .try_fold(entry?, |value, segment| value.get(segment))
}

/// A merge patch cannot write a null, it means absence; so does a wished one.
fn without_nulls(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(map) => Some(Value::Object(
            map.iter()
                .filter_map(|(key, value)| Some((key.clone(), without_nulls(value)?)))
                .collect(),
        )),
        other => Some(other.clone()),
    }
}

/// The patch that turns `there` into exactly `wanted`.
fn replacement(
    path: &str,
    there: Option<&Value>,
    wanted: Value,
    arrays: &mut Vec<String>,
) -> Value {
    match (there, wanted) {
        (Some(Value::Object(there)), Value::Object(wanted)) => {
            let mut changes = Map::new();
            for (key, old) in there {
                if !wanted.contains_key(key) {
                    name_arrays(&format!("{path}.{key}"), old, arrays);
                    changes.insert(key.clone(), Value::Null);
                }
            }
            for (key, new) in wanted {
                let old = there.get(&key);
                if old != Some(&new) {
                    let change = replacement(&format!("{path}.{key}"), old, new, arrays);
                    changes.insert(key, change);
                }
            }
            Value::Object(changes)
        }
        (there, wanted) => {
            if let Some(old) = there {
                name_arrays(path, old, arrays);
            }
            wanted
        }
    }
}

fn remove(observed: Option<&Value>, path: &str, change: &mut Change) {
    if let Some(old) = look_up(observed, path) {
        name_arrays(path, old, &mut change.arrays);
        put(&mut change.patch, path, Value::Null);
    }
}

/// Takes away blocks that our removals have emptied, from the inside out, but none that is wished for.
fn prune_parents(observed: Option<&Value>, path: &str, wish: &EntryWish, change: &mut Change) {
    let mut path = path;
    while let Some((parent, _)) = path.rsplit_once('.') {
        path = parent;
        let wished = wish
            .set
            .keys()
            .any(|set| set == parent || is_below(set, parent));
        let emptied = look_up(observed, parent)
            .and_then(Value::as_object)
            .is_some_and(|block| {
                block.keys().all(|key| {
                    look_up_in(&change.patch, &format!("{parent}.{key}")) == Some(&Value::Null)
                })
            });
        if wished || !emptied {
            return;
        }
        put(&mut change.patch, parent, Value::Null);
    }
}

fn look_up_in<'a>(map: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        None => map.get(path),
        Some((first, rest)) => look_up(map.get(first), rest),
    }
}

/// Puts a value at a dotted path, over whatever is there.
fn put(map: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            map.insert(path.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = map
                .entry(first)
                .or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// Those within the items of an array are named too: the gateway goes by them where the items have ids.
fn name_arrays(path: &str, value: &Value, arrays: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            arrays.push(path.to_owned());
            for item in items.iter().filter(|item| item.is_object()) {
                name_arrays(&format!("{path}[]"), item, arrays);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                name_arrays(&format!("{path}.{key}"), value, arrays);
            }
        }
        _ => {}
    }
}

/// The dotted paths of all values of a patch.
pub(super) fn leaves(patch: &Map<String, Value>) -> Vec<String> {
    let mut paths = Vec::new();
    for (key, value) in patch {
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                paths.extend(
                    leaves(inner)
                        .into_iter()
                        .map(|path| format!("{key}.{path}")),
                );
            }
            _ => paths.push(key.clone()),
        }
    }
    paths
}
