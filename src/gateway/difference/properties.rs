//! What no document and no wish may break.

mod worlds;

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{difference, laws, model::patched, release};
use crate::gateway::{EntryWish, ForeignHeartbeats};
use worlds::{
    any_beating, any_document, any_document_without_blocks, any_wishes, any_wishes_of_the_operator,
};

/// What the gateway makes of the document when these wishes are written together.
fn written(document: &Value, wishes: &[&EntryWish], beating: &BTreeSet<String>) -> Value {
    let difference = difference(document, wishes, beating);
    let patch = difference.clone().into_patch();
    patched(document, &patch, &difference.replace_paths).unwrap()
}

fn roster(document: &Value) -> Map<String, Value> {
    let roster = document.pointer("/agents/entries");
    roster
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

proptest! {
    // Cheap, and what must hold most.
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn the_laws_hold_for_every_document_and_every_wish(
        document in any_document(), wishes in any_wishes(), beating in any_beating()
    ) {
        prop_assume!(laws::is_possible(&document, &wishes));
        prop_assert!(laws::are_possible(&wishes));
        laws::hold(&document, &wishes, &beating);
    }
}

proptest! {
    #[test]
    fn written_together_or_one_by_one_in_any_order_the_document_is_the_same(
        document in any_document_without_blocks(),
        wishes in any_wishes_of_the_operator(),
        beating in any_beating(),
        turn in 0_usize..5,
    ) {
        prop_assume!(laws::is_possible(&document, &wishes));
        let mut order: Vec<&EntryWish> = wishes.iter().collect();
        let together = written(&document, &order, &beating);
        order.rotate_left(turn.min(wishes.len()));
        let mut one_by_one = document;
        for wish in order {
            one_by_one = written(&one_by_one, &[wish], &beating);
        }
        prop_assert_eq!(together, one_by_one);
    }

    #[test]
    fn what_is_taken_out_again_leaves_the_agents_of_others_as_they_were(
        document in any_document_without_blocks(),
        wishes in any_wishes_of_the_operator(),
        beating in any_beating(),
    ) {
        let before = roster(&document);
        let new: Vec<EntryWish> = wishes
            .into_iter()
            .filter(|wish| !before.contains_key(&wish.agent_id))
            .map(|wish| EntryWish { foreign_heartbeats: ForeignHeartbeats::Keep, ..wish })
            .collect();
        // Who is not in the roster does not beat, but for the agent that a gateway without a roster runs.
        let beating: BTreeSet<String> = beating.into_iter().filter(|id| before.contains_key(id)).collect();
        let wishes: Vec<&EntryWish> = new.iter().collect();
        let mut after = written(&document, &wishes, &beating);
        let kept = difference(&document, &wishes, &beating).kept;
        if !new.is_empty() {
            prop_assert_eq!(&kept, &beating);
        }
        prop_assert!(kept.is_empty() || release(&after, &kept).is_none(), "released beside ours");
        // The gateway's own deletion takes whole entries.
        if let Some(Value::Object(entries)) = after.pointer_mut("/agents/entries") {
            entries.retain(|id, _| before.contains_key(id));
        }
        let released = release(&after, &kept).unwrap();
        let after = patched(&after, &released.into_patch(), &BTreeSet::new()).unwrap();
        prop_assert_eq!(before, roster(&after));
        prop_assert!(release(&after, &kept).unwrap().is_empty());
    }

    #[test]
    fn a_release_takes_out_nothing_but_blocks_that_are_exactly_ours(
        document in any_document(), kept in any_beating()
    ) {
        let Some(released) = release(&document, &kept) else { return Ok(()); };
        let after = patched(&document, &released.into_patch(), &BTreeSet::new()).unwrap();
        let after = roster(&after);
        for (id, entry) in roster(&document) {
            let mut expected = entry;
            if kept.contains(&id) && expected.get("heartbeat") == Some(&json!({})) {
                expected.as_object_mut().unwrap().remove("heartbeat");
            }
            prop_assert_eq!(after.get(&id), Some(&expected));
        }
    }

    /// The model is written from the gateway; where both say the same it must be the standard.
    #[test]
    fn without_arrays_the_gateway_merges_as_rfc_7396_says(
        document in any_document(), patch in any_document()
    ) {
        let (document, patch) = (without_arrays(document), without_arrays(patch));
        let mut standard = document.clone();
        json_patch::merge(&mut standard, &patch);
        prop_assert_eq!(patched(&document, &patch, &BTreeSet::new()), Ok(standard));
    }
}

fn without_arrays(value: Value) -> Value {
    match value {
        Value::Array(_) => json!("list"),
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| (key, without_arrays(value)))
            .collect(),
        other => other,
    }
}

#[test]
fn the_model_merges_arrays_as_the_gateway_was_seen_to() {
    let patched = |document: &Value, patch: &Value, named: &[&str]| {
        let named = named.iter().map(|path| (*path).to_owned()).collect();
        patched(document, patch, &named)
    };
    let refused = |path: &str| Err(vec![path.to_owned()]);
    let words = json!({"tools": {"allow": ["a", "b"]}});
    // Items may be added, and taken out only where the path is named.
    let more = json!({"tools": {"allow": ["b", "c", "a"]}});
    assert_eq!(patched(&words, &more, &[]), Ok(more));
    let less = json!({"tools": {"allow": ["a"]}});
    assert_eq!(patched(&words, &less, &[]), refused("tools.allow"));
    assert_eq!(patched(&words, &less, &["tools.allow"]), Ok(less));
    for gone in [
        json!({"tools": null}),
        json!({"tools": {"allow": null}}),
        json!({"tools": "none"}),
    ] {
        assert_eq!(patched(&words, &gone, &[]), refused("tools.allow"));
    }
    // Items with ids are merged by them.
    let ids = json!({"bindings": [{"id": "x", "to": 1}, {"id": "y"}]});
    let patch = json!({"bindings": [{"id": "z"}, {"id": "x", "from": 2}]});
    let merged = json!({"bindings": [{"id": "x", "to": 1, "from": 2}, {"id": "y"}, {"id": "z"}]});
    assert_eq!(patched(&ids, &patch, &[]), Ok(merged));
    assert_eq!(patched(&ids, &patch, &["bindings"]), Ok(patch));
}
