//! Tables for what each rule does.

use super::*;

fn wish(agent_id: &str, set: Value, unset: &[&str]) -> EntryWish {
    let Value::Object(set) = set else {
        panic!("set is an object")
    };
    EntryWish {
        set: set.into_iter().collect(),
        unset: unset.iter().map(|path| (*path).to_owned()).collect(),
        ..EntryWish::of(agent_id)
    }
}

fn of(parsed: &Value, wishes: &[EntryWish], beating: &[&str]) -> Difference {
    let beating = beating.iter().map(|id| (*id).to_owned()).collect();
    difference(parsed, &wishes.iter().collect::<Vec<_>>(), &beating)
}

fn patch_of(parsed: &Value, wishes: &[EntryWish]) -> Value {
    of(parsed, wishes, &[]).into_patch()
}

fn explicit(entries: &Value) -> Value {
    json!({"agents": {"ownership": "explicit", "entries": entries}})
}

#[test]
fn only_what_differs_is_written() {
    let parsed = explicit(&json!({
        "main": {},
        "a": {"name": "A", "model": "p/m", "heartbeat": {"every": "10m", "prompt": "theirs"}, "tools": {"x": 1}},
    }));
    let wishes = [wish(
        "a",
        json!({"name": "A", "model": "p/n", "heartbeat.every": "10m", "heartbeat.target": "none"}),
        &[],
    )];
    assert_eq!(
        patch_of(&parsed, &wishes),
        json!({"agents": {"entries": {"a": {"model": "p/n", "heartbeat": {"target": "none"}}}}})
    );
}

#[test]
fn a_fulfilled_wish_writes_nothing() {
    let parsed = explicit(&json!({"main": {}, "a": {"name": "A", "extra": true}}));
    let difference = of(&parsed, &[wish("a", json!({"name": "A"}), &["model"])], &[]);
    assert!(difference.is_empty(), "{difference:?}");
}

#[test]
fn a_missing_entry_is_made_even_when_nothing_is_set() {
    assert_eq!(
        patch_of(
            &explicit(&json!({"main": {}})),
            &[wish("a", json!({}), &["model"])]
        ),
        json!({"agents": {"entries": {"a": {}}}})
    );
}

#[test]
fn ownership_is_said_when_the_roster_grows_beyond_one_agent() {
    let wishes = [wish("a", json!({}), &[])];
    let with = json!({"agents": {"ownership": "explicit", "entries": {"a": {}}}});
    let without = json!({"agents": {"entries": {"a": {}}}});
    for (parsed, expected) in [
        (json!({}), &with),
        (json!({"agents": {"defaults": {}}}), &with),
        (json!({"agents": {"entries": {}}}), &with),
        (json!({"agents": {"entries": {"main": {}}}}), &with),
        (
            json!({"agents": {"entries": {"main": {"default": true}, "b": {}}}}),
            &with,
        ),
        (explicit(&json!({"main": {}, "b": {}})), &without),
    ] {
        assert_eq!(&patch_of(&parsed, &wishes), expected, "{parsed}");
    }
    // The implicit agent's own entry does not make a second one.
    assert_eq!(
        patch_of(&json!({}), &[wish("main", json!({"name": "M"}), &[])]),
        json!({"agents": {"entries": {"main": {"name": "M"}}}})
    );
}

#[test]
fn an_object_becomes_exactly_what_is_wished() {
    let parsed = explicit(&json!({
        "a": {"heartbeat": {"activeHours": {"start": "08:00", "end": "20:00", "timezone": "UTC"}}},
        "b": {},
    }));
    let wishes = [wish(
        "a",
        json!({"heartbeat.activeHours": {"start": "09:00", "end": "20:00"}}),
        &[],
    )];
    assert_eq!(
        patch_of(&parsed, &wishes),
        json!({"agents": {"entries": {"a": {"heartbeat": {"activeHours": {"start": "09:00", "timezone": null}}}}}})
    );
}

#[test]
fn arrays_that_go_are_named() {
    let parsed = explicit(
        &json!({"a": {"model": {"primary": "p/m", "fallbacks": ["p/n"]}, "tools": ["t"]}, "b": {}}),
    );
    let difference = of(&parsed, &[wish("a", json!({"model": "p/m"}), &[])], &[]);
    assert_eq!(
        difference.replace_paths,
        BTreeSet::from(["agents.entries.a.model.fallbacks".to_owned()])
    );
    assert_eq!(
        difference.into_patch(),
        json!({"agents": {"entries": {"a": {"model": "p/m"}}}})
    );
}

#[test]
fn the_last_own_key_takes_the_block_along_only_when_nothing_foreign_is_left() {
    let unset = ["heartbeat.every", "heartbeat.activeHours"];
    for (block, expected) in [
        (json!({"every": "1m"}), json!(null)),
        (
            json!({"every": "1m", "activeHours": {"start": "08:00", "end": "09:00"}}),
            json!(null),
        ),
        (
            json!({"every": "1m", "prompt": "theirs"}),
            json!({"every": null}),
        ),
    ] {
        let parsed = explicit(&json!({"a": {"heartbeat": block}, "b": {}}));
        assert_eq!(
            patch_of(&parsed, &[wish("a", json!({}), &unset)]),
            json!({"agents": {"entries": {"a": {"heartbeat": expected}}}}),
            "{parsed}"
        );
    }
    for block in [json!({}), json!({"prompt": "theirs"})] {
        let parsed = explicit(&json!({"a": {"heartbeat": block}, "b": {}}));
        assert_eq!(
            patch_of(&parsed, &[wish("a", json!({}), &unset)]),
            json!({})
        );
    }
    // A block that is wished for stays, whatever goes out of it.
    let parsed = explicit(&json!({"a": {"heartbeat": {"every": "1m"}}, "b": {}}));
    assert_eq!(
        patch_of(
            &parsed,
            &[wish(
                "a",
                json!({"heartbeat.target": "none"}),
                &["heartbeat.every"]
            )]
        ),
        json!({"agents": {"entries": {"a": {"heartbeat": {"every": null, "target": "none"}}}}})
    );
}

#[test]
fn a_block_goes_whole_whatever_is_said_of_its_keys() {
    let parsed = explicit(&json!({"a": {"heartbeat": {"every": "1m", "to": "x"}}, "b": {}}));
    assert_eq!(
        patch_of(
            &parsed,
            &[wish("a", json!({}), &["heartbeat", "heartbeat.every"])]
        ),
        json!({"agents": {"entries": {"a": {"heartbeat": null}}}})
    );
}

#[test]
fn what_is_set_and_unset_at_once_is_set() {
    let parsed = explicit(&json!({"a": {"model": "p/m"}, "b": {}}));
    assert_eq!(
        patch_of(&parsed, &[wish("a", json!({"model": "p/m"}), &["model"])]),
        json!({})
    );
}

#[test]
fn agents_that_beat_by_default_are_kept_when_the_first_block_comes() {
    let beats = wish("a", json!({"heartbeat.every": "10m"}), &[]);
    let parsed = explicit(&json!({"main": {"workspace": "/w"}, "b": {}}));
    let kept = of(&parsed, std::slice::from_ref(&beats), &["main"]);
    assert_eq!(kept.kept, BTreeSet::from(["main".to_owned()]));
    assert_eq!(
        kept.into_patch(),
        json!({"agents": {"entries": {"a": {"heartbeat": {"every": "10m"}}, "main": {"heartbeat": {}}}}})
    );

    let stop = EntryWish {
        foreign_heartbeats: ForeignHeartbeats::Stop,
        ..beats.clone()
    };
    assert!(of(&parsed, &[stop], &["main"]).kept.is_empty());
    // No block of ours comes, or one is there already: nobody is silenced by us.
    let quiet = wish("a", json!({"name": "A"}), &[]);
    assert!(of(&parsed, &[quiet], &["main"]).kept.is_empty());
    let parsed = explicit(&json!({"main": {}, "b": {"heartbeat": {}}}));
    assert!(of(&parsed, &[beats], &["b"]).kept.is_empty());
}

#[test]
fn kept_heartbeats_go_only_where_they_are_still_exactly_ours_and_nobody_falls_silent() {
    let kept = ["main", "b", "c", "gone"].map(str::to_owned).into();
    let of = |roster: Value| release(&explicit(&roster), &kept);
    let last = of(json!({"main": {"heartbeat": {}}, "b": {}, "c": {"heartbeat": null}}));
    assert_eq!(
        last.unwrap().into_patch(),
        json!({"agents": {"entries": {"main": {"heartbeat": null}}}})
    );
    for still_beats in [
        json!({"main": {"heartbeat": {}}, "ours": {"heartbeat": {"every": "5m"}}}),
        json!({"main": {"heartbeat": {}}, "theirs": {"heartbeat": {}}}),
        json!({"main": {"heartbeat": {}}, "b": {"heartbeat": {"every": "1h"}}}),
    ] {
        assert_eq!(of(still_beats), None);
    }
    for nothing_left in [json!({"main": {}, "ours": {"heartbeat": {}}}), json!({})] {
        assert_eq!(of(nothing_left), Some(Difference::default()));
    }
}

#[test]
fn what_is_not_as_wished_is_named() {
    let parsed = explicit(&json!({"a": {"heartbeat": {"every": "1m"}}}));
    let want = wish(
        "a",
        json!({"name": "A", "heartbeat.every": "2m"}),
        &["model"],
    );
    assert_eq!(unmet(&parsed, &want), ["heartbeat.every", "name"]);
    assert_eq!(
        unmet(&parsed, &wish("z", json!({}), &[])),
        ["agents.entries.z"]
    );
}
