//! Who may take over what, what stays of it, and what is kept, as tables.

use serde_json::json;

use super::*;
use crate::api::GatewaySpec;
use crate::api::gateway::{AllowedNamespaces, NamespacesFrom};

fn spec(spec: Value) -> AgentSpec {
    serde_json::from_value(spec).unwrap()
}

fn gateway(adoption: Option<bool>) -> Gateway {
    let allowed_namespaces = adoption.map(|adoption| AllowedNamespaces {
        from: NamespacesFrom::All,
        selector: None,
        adoption,
    });
    let spec = GatewaySpec {
        allowed_namespaces,
        ..GatewaySpec::default()
    };
    Gateway::new("main", spec)
}

#[test]
fn only_an_unmarked_agent_of_the_roster_is_taken_over_and_only_where_spec_and_gateway_say_so() {
    let theirs = json!({"name": "Theirs"});
    let mark = Mark {
        cluster_id: "here".parse().unwrap(),
        namespace: "team".into(),
        name: "other".into(),
        adopted: false,
    };
    let (never, unset) = (spec(json!({"adoptionPolicy": "Never"})), spec(json!({})));
    let willing = spec(json!({"adoptionPolicy": "IfUnmarked"}));
    for (spec, entry, mark, gateway, own_namespace, said) in [
        (&willing, &theirs, None, gateway(None), true, None),
        (&willing, &theirs, None, gateway(Some(true)), false, None),
        (
            &willing,
            &theirs,
            None,
            gateway(Some(false)),
            false,
            Some("adoption: true"),
        ),
        (
            &willing,
            &theirs,
            None,
            gateway(None),
            false,
            Some("adoption: true"),
        ),
        (
            &unset,
            &theirs,
            None,
            gateway(None),
            true,
            Some("adoptionPolicy: IfUnmarked"),
        ),
        (
            &never,
            &theirs,
            None,
            gateway(None),
            true,
            Some("adoptionPolicy: IfUnmarked"),
        ),
        (
            &willing,
            &theirs,
            Some(&mark),
            gateway(None),
            true,
            Some("carries the mark of another Agent"),
        ),
        (
            &willing,
            &Value::Null,
            None,
            gateway(None),
            true,
            Some("the gateway's own"),
        ),
    ] {
        let found = Found {
            agent_id: "team_a",
            entry,
            mark,
            is_readable: true,
        };
        let refused = judge(spec, found, &gateway, own_namespace).err();
        assert_eq!(refused.is_some(), said.is_some(), "{refused:?}");
        if let (Some(refused), Some(said)) = (refused, said) {
            assert_eq!(refused.reason, Reason::AgentExists);
            assert!(refused.message.contains(said), "{}", refused.message);
            assert!(
                refused.message.contains("\"team_a\" is on the gateway"),
                "{}",
                refused.message
            );
        }
    }
}

#[test]
fn an_agent_whose_mark_cannot_be_read_is_never_taken_over() {
    let found = Found {
        agent_id: "team_a",
        entry: &json!({"name": "Theirs"}),
        mark: None,
        is_readable: false,
    };
    let willing = spec(json!({"adoptionPolicy": "IfUnmarked"}));
    let refused = judge(&willing, found, &gateway(None), true).unwrap_err();
    assert_eq!(refused.reason, Reason::AgentExists);
    assert!(
        refused.message.contains("does not read its AGENTS.md"),
        "{}",
        refused.message
    );
}

#[test]
fn a_refusal_shows_name_model_and_heartbeat_of_what_is_there() {
    for (entry, said) in [
        (
            json!({"name": "A \"B\"", "model": "p/m", "heartbeat": {"every": "3h"}}),
            ": named \"A \\\"B\\\"\", with model p/m and a heartbeat every 3h",
        ),
        (
            json!({"model": {"primary": "p/m", "fallbacks": ["p/n"]}, "heartbeat": {}}),
            ": without a name, with model p/m and a heartbeat of its own",
        ),
        (
            json!({"name": "A"}),
            ": named \"A\", with the gateway's default model and no heartbeat of its own",
        ),
        (Value::Null, ""),
    ] {
        assert_eq!(described(&entry), said);
    }
}

#[test]
fn of_an_adopted_agent_only_what_the_spec_names_is_ours() {
    let keys = Keys::from(
        [
            "name",
            "model",
            "workspace",
            "heartbeat.every",
            "heartbeat.target",
            "heartbeat.prompt",
            "heartbeat.model",
            "heartbeat.activeHours",
        ]
        .map(|path| (path.to_owned(), json!("x"))),
    );
    let hours = json!({"start": "08:00", "end": "18:00"});
    for (given, left) in [
        (json!({}), &[][..]),
        (json!({"displayName": "A"}), &["name"]),
        (json!({"model": "p/m"}), &["model"]),
        (json!({"heartbeat": {"every": "1h"}}), &["heartbeat.every"]),
        (
            json!({"heartbeat": {"target": "none", "checklist": "x"}}),
            &["heartbeat.target"],
        ),
        (
            json!({"heartbeat": {"prompt": "p", "model": "p/m", "activeHours": hours}}),
            &[
                "heartbeat.activeHours",
                "heartbeat.model",
                "heartbeat.prompt",
            ],
        ),
    ] {
        let ours = named(&spec(given.clone()), keys.clone());
        assert_eq!(ours.keys().collect::<Vec<_>>(), left, "{given}");
    }
}

#[test]
fn a_pause_gives_back_what_was_not_ours_exactly() {
    let place = |adopted, replaced: Option<&str>| Place {
        adopted,
        replaced_every: replaced.map(str::to_owned),
        ..Place::default()
    };
    let beats = json!({"heartbeat": {"every": "3h"}});
    for (place, entry, replaced) in [
        (place(true, None), &beats, Some("3h")),
        (place(true, None), &json!({}), Some("")),
        (place(true, None), &json!({"heartbeat": {}}), Some("{}")),
        (
            place(true, None),
            &json!({"heartbeat": {"to": "x"}}),
            Some("{}"),
        ),
        // Ours: what is declared may not be known any more when the pause ends.
        (place(false, None), &beats, Some("3h")),
        (place(true, Some("2h")), &beats, None),
    ] {
        assert_eq!(replaced_by_pause(&place, entry).as_deref(), replaced);
    }
    for (replaced, keys_after, own_after) in [
        (None, json!({}), &[][..]),
        (Some("3h"), json!({"heartbeat.every": "3h"}), &[]),
        // It had none: ours is taken out again.
        (Some(""), json!({}), &["heartbeat.every"]),
        (Some("{}"), json!({}), &["heartbeat.every"]),
    ] {
        let (mut keys, mut own) = (Keys::new(), Vec::new());
        give_back(&place(true, replaced), &mut keys, &mut own);
        assert_eq!(json!(keys), keys_after);
        assert_eq!(own, own_after);
    }
    let mut keys = Keys::from([(EVERY.to_owned(), json!("1h"))]);
    give_back(&place(true, Some("3h")), &mut keys, &mut Vec::new());
    assert_eq!(keys[EVERY], "1h", "what is declared by now goes first");
}

#[test]
fn only_the_roster_says_that_an_agent_cannot_beat() {
    for (entry, others_beat, cannot) in [
        (json!({}), true, true),
        (json!({"heartbeat": null}), true, true),
        // By the gateway's default, as everybody.
        (json!({}), false, false),
        (json!({"heartbeat": {}}), true, false),
        (json!({"heartbeat": {"every": "3h"}}), false, false),
    ] {
        assert_eq!(cannot_beat(&entry, others_beat), cannot, "{entry}");
    }
}

#[test]
fn a_gateways_own_agent_is_never_taken_over_with_or_without_an_entry() {
    let willing = spec(json!({"adoptionPolicy": "IfUnmarked"}));
    for entry in [json!({}), json!({"name": "Main"}), Value::Null] {
        let found = Found {
            agent_id: "main",
            entry: &entry,
            mark: None,
            is_readable: true,
        };
        let refused = judge(&willing, found, &gateway(None), true).unwrap_err();
        assert_eq!(refused.reason, Reason::AgentExists);
        assert!(refused.message.contains("the gateway's own"), "{entry}");
    }
}

#[test]
fn an_agent_that_was_taken_off_again_says_why_and_what_to_do() {
    let said = marked_workspace("team_a");
    assert_eq!(said.reason, Reason::AgentExists);
    for words in [
        "\"team_a\" carries the mark of another",
        "no file was touched",
        "reconcile-now",
    ] {
        assert!(said.message.contains(words), "{}", said.message);
    }
}

#[test]
fn a_block_that_is_emptied_stays_where_it_was_empty_or_the_agent_would_fall_silent() {
    let silent = json!({"heartbeat": {"every": "0m"}});
    let every = || vec!["heartbeat.every".to_owned()];
    for (replaced, entry, own, keys, others_beat, keeps) in [
        (Some("{}"), &silent, every(), json!({}), false, true),
        (Some("{}"), &silent, every(), json!({}), true, true),
        (Some(""), &silent, every(), json!({}), true, true),
        (Some(""), &silent, every(), json!({}), false, false),
        // The spec does not name it any more.
        (None, &silent, every(), json!({}), true, true),
        (None, &silent, every(), json!({}), false, false),
        // After a crash: it was written, and not written down.
        (
            Some(""),
            &json!({"heartbeat": {}}),
            every(),
            json!({}),
            true,
            true,
        ),
        // Something stays in it anyway, or nothing of ours is in it, or somebody took it out.
        (
            Some("{}"),
            &json!({"heartbeat": {"every": "0m", "to": "x"}}),
            every(),
            json!({}),
            true,
            false,
        ),
        (
            Some("{}"),
            &silent,
            every(),
            json!({"heartbeat.target": "none"}),
            true,
            false,
        ),
        (
            None,
            &json!({"heartbeat": {}}),
            Vec::new(),
            json!({}),
            true,
            false,
        ),
        (
            Some("{}"),
            &json!({"name": "A"}),
            every(),
            json!({}),
            true,
            false,
        ),
    ] {
        let mut place = Place {
            adopted: true,
            replaced_every: replaced.map(str::to_owned),
            ..Place::default()
        };
        let keys: Keys = serde_json::from_value(keys).unwrap();
        let judged = keeps_empty_block(&place, &keys, &own, entry, others_beat);
        assert_eq!(judged, keeps, "{replaced:?} {entry} {keys:?}");
        place.adopted = false;
        assert!(!keeps_empty_block(&place, &keys, &own, entry, true));
    }
    let roster = json!({"a": {"heartbeat": {}}, "b": {}, "c": {"heartbeat": null}});
    let roster = roster.as_object();
    assert!(!others_beat(roster, "a"));
    assert!(others_beat(roster, "b"));
    assert!(!others_beat(None, "a"));
}

#[test]
fn a_checklist_that_was_there_stays_unless_the_spec_names_another() {
    for (heartbeat, is_there, was_written, writes) in [
        (json!(null), true, false, false),
        (json!(null), false, false, false),
        (json!({"every": "1h"}), true, false, false),
        (json!({"every": "1h"}), false, false, true),
        (json!({"every": "1h"}), true, true, true),
        (json!({"checklist": "x"}), true, false, true),
    ] {
        let spec = spec(json!({ "heartbeat": heartbeat }));
        assert_eq!(writes_checklist(&spec, is_there, was_written), writes);
    }
}

#[test]
fn a_file_that_was_never_ours_is_kept_whenever_it_is_overwritten() {
    for (state, ours) in [
        (None, false),
        (Some(FileState::Synced), true),
        // The agent's own, whether we have looked at it or not.
        (Some(FileState::Seeded), false),
        (Some(FileState::Drifted), false),
    ] {
        let files = state.map(|state| FileStatus {
            name: "SOUL.md".into(),
            sha256: "any".into(),
            size: 1,
            modified: None,
            state,
        });
        let files: Vec<_> = files.into_iter().collect();
        assert_eq!(is_ours(&files, FileName::Soul), ours, "{state:?}");
        assert!(!is_ours(&files, FileName::User));
    }
}

#[test]
fn every_old_text_is_kept_once_and_none_is_ever_replaced() {
    let text = |file: &str, text: &str| (file.to_owned(), text.to_owned());
    let first = to_keep(
        &Kept::new(),
        &[text("AGENTS.md", "one"), text("SOUL.md", "soul")],
    )
    .unwrap();
    let names = |kept: &Kept| kept.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&first), ["AGENTS.md", "SOUL.md"]);
    assert_eq!(
        to_keep(&first, &[text("AGENTS.md", "one")]),
        Some(Kept::new())
    );

    let second = to_keep(&first, &[text("AGENTS.md", "two")]).unwrap();
    let [name] = &names(&second)[..] else {
        panic!("one more: {second:?}")
    };
    assert!(name.starts_with("AGENTS.md."), "{name}");
    let mut both = first;
    both.extend(second);
    assert_eq!(both["AGENTS.md"], b"one");
    for known in ["one", "two"] {
        assert_eq!(
            to_keep(&both, &[text("AGENTS.md", known)]),
            Some(Kept::new())
        );
    }
}

#[test]
fn what_does_not_fit_is_refused_as_a_whole() {
    let text = |file: &str, bytes: usize| (file.to_owned(), "\u{e9}".repeat(bytes / 2));
    let half = to_keep(&Kept::new(), &[text("AGENTS.md", MOST_KEPT / 2)]).unwrap();
    assert_eq!(to_keep(&Kept::new(), &[text("AGENTS.md", MOST_KEPT)]), None);
    assert_eq!(to_keep(&half, &[text("SOUL.md", MOST_KEPT / 2)]), None);
    assert!(to_keep(&half, &[text("SOUL.md", MOST_KEPT / 4)]).is_some());
}
