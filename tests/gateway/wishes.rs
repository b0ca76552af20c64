//! What agents wish for their entries, one bad one among good ones included.

use mission_operator::gateway::{Applied, Class, Deleted, WriteError};
use serde_json::json;

use crate::world::{run, shared, wish, wish_with};

#[test]
fn a_fulfilled_wish_costs_no_write() {
    run(async {
        let writer = shared().await.writer();
        let wish = wish_with("wishes-same", &[("model", json!("fake/fake-1"))]);
        assert!(writer.apply(wish.clone()).await.unwrap().wrote);
        assert!(!writer.apply(wish).await.unwrap().wrote);
    });
}

#[test]
fn an_entry_that_must_be_new_is_not_touched_when_it_is_there() {
    run(async {
        let world = shared().await;
        let writer = world.writer();
        writer.apply(wish("wishes-taken")).await.unwrap();
        let mut second = wish_with("wishes-taken", &[("name", json!("mine"))]);
        second.must_be_absent = true;
        let error = writer.apply(second).await.unwrap_err();
        assert!(matches!(error, WriteError::Exists), "{error:?}");
        assert_eq!(
            world.entries().await["wishes-taken"]["name"],
            "wishes-taken"
        );
    });
}

#[test]
fn the_gateways_own_main_is_there_already() {
    run(async {
        let mut main = wish("main");
        main.must_be_absent = true;
        let error = shared().await.writer().apply(main).await.unwrap_err();
        assert!(matches!(error, WriteError::Exists), "{error:?}");
    });
}

#[test]
fn bad_wishes_are_refused_in_the_gateways_words_and_good_ones_go_through() {
    run(async {
        let world = shared().await;
        let writer = world.writer();
        let beat = |agent_id: &str, key: &str, value: &str| {
            wish_with(
                agent_id,
                &[
                    ("heartbeat.every", json!("45m")),
                    ("heartbeat.target", json!("none")),
                    (&format!("heartbeat.{key}"), json!(value)),
                ],
            )
        };
        // A schema error, which the gateway finds first; a semantic one, which it finds next; and two good ones.
        let (schema, semantic, one, two) = tokio::join!(
            writer.apply(beat("wishes-bad-every", "every", "often")),
            writer.apply(beat("wishes-bad-target", "target", "nosuch")),
            writer.apply(beat("wishes-good-1", "prompt", "look")),
            writer.apply(beat("wishes-good-2", "every", "50m")),
        );
        for (outcome, words) in [
            (schema, "invalid duration"),
            (semantic, "unknown heartbeat target: nosuch"),
        ] {
            let error = outcome.unwrap_err();
            assert_eq!(error.class(), Class::Rejected);
            assert!(error.to_string().contains(words), "{error}");
            let WriteError::Rejected { issues, .. } = error else {
                panic!("{error:?}")
            };
            assert_eq!(issues.len(), 1);
        }
        assert_eq!(one.unwrap().entry["heartbeat"]["prompt"], "look");
        assert_eq!(two.unwrap().entry["heartbeat"]["every"], "50m");
        let entries = world.entries().await;
        assert!(entries.get("wishes-bad-every").is_none());
        assert!(entries.get("wishes-bad-target").is_none());
    });
}

#[test]
fn a_model_that_the_gateway_spells_in_its_own_way_is_told_and_keeps_nobody_waiting() {
    run(async {
        let writer = shared().await.writer();
        let spelled = wish_with("wishes-spelled", &[("model", json!("Fake/fake-1"))]);
        let words = r#"keeps "fake/fake-1" where "Fake/fake-1" was sent"#;
        for is_new in [true, false] {
            let error = writer.apply(spelled.clone()).await.unwrap_err();
            let text = error.to_string();
            assert!(text.contains(words), "{text}");
            let WriteError::KeptOtherwise { entry, .. } = error else {
                panic!("{error:?}")
            };
            assert!(entry.is_some() || !is_new, "what was written is told");
        }
        let as_kept = wish_with("wishes-spelled", &[("model", json!("fake/fake-1"))]);
        assert!(!writer.apply(as_kept).await.unwrap().wrote);
    });
}

#[test]
fn keys_that_are_no_longer_wished_go_and_foreign_ones_stay() {
    run(async {
        let world = shared().await;
        let writer = world.writer();
        let agent = "wishes-unset";
        let full = wish_with(
            agent,
            &[
                ("model", json!("fake/fake-1")),
                ("heartbeat.every", json!("45m")),
                ("heartbeat.target", json!("none")),
                (
                    "heartbeat.activeHours",
                    json!({"start": "08:00", "end": "20:00", "timezone": "UTC"}),
                ),
            ],
        );
        writer.apply(full).await.unwrap();
        // Somebody else adds a key of their own and a list in a place of ours.
        let theirs = json!({"agents": {"entries": {agent: {
            "model": {"primary": "fake/fake-1", "fallbacks": ["fake/other"]},
            "heartbeat": {"lightContext": true},
        }}}});
        world.rpc().await.patch_config(&theirs).await.unwrap();

        let mut less = wish_with(
            agent,
            &[
                ("model", json!("fake/fake-1")),
                (
                    "heartbeat.activeHours",
                    json!({"start": "09:00", "end": "20:00"}),
                ),
            ],
        );
        less.unset = ["heartbeat.every".to_owned(), "heartbeat.target".to_owned()].into();
        let Applied { entry, wrote, .. } = writer.apply(less).await.unwrap();
        assert!(wrote);
        assert_eq!(
            entry,
            json!({
                "name": agent,
                "model": "fake/fake-1",
                "heartbeat": {"lightContext": true, "activeHours": {"start": "09:00", "end": "20:00"}},
            })
        );
        let mut none = wish(agent);
        none.unset = ["model".to_owned(), "heartbeat.activeHours".to_owned()].into();
        let entry = writer.apply(none).await.unwrap().entry;
        assert_eq!(
            entry,
            json!({"name": agent, "heartbeat": {"lightContext": true}})
        );
    });
}

#[test]
fn what_is_not_there_counts_as_deleted_and_main_is_never_deleted() {
    run(async {
        let writer = shared().await.writer();
        assert_eq!(
            writer.delete("wishes-nobody", true).await.unwrap(),
            Deleted::Missing
        );
        let error = writer.delete("main", true).await.unwrap_err();
        assert_eq!(error.class(), Class::Rejected);
        assert!(error.to_string().contains("cannot be deleted"), "{error}");
    });
}
