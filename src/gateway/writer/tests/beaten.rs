//! Others who write between our look at the document and our patch.

use super::super::send::MOST_TRIES;
use super::*;

#[tokio::test(start_paused = true)]
async fn a_patch_that_somebody_elses_write_has_beaten_is_followed_by_the_whole_document() {
    let fake = Fake::new();
    let (_pool, writer) = pool(&fake).await;
    fake.meanwhile("config.patch", |state| {
        state.document["theirs"] = json!({"written": "meanwhile"});
        state.revision += 1;
    });
    fake.meanwhile("config.set", |state| {
        state.document["theirs"]["written"] = json!("and again");
        state.revision += 1;
    });
    assert!(writer.apply(wish("a")).await.unwrap().wrote);
    assert_eq!(fake.count("config.patch"), 1);
    assert_eq!(fake.count("config.set"), 2);
    assert_eq!(
        fake.with(|state| state.document.clone()),
        json!({
            "agents": {"ownership": "explicit", "entries": {"main": {}, "a": {"name": "a"}}},
            "theirs": {"written": "and again"},
        })
    );

    // The next turn begins with a patch again.
    assert!(writer.apply(wish("b")).await.unwrap().wrote);
    assert_eq!(fake.count("config.patch"), 2);
    assert_eq!(fake.count("config.set"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_whole_document_that_is_refused_for_parts_of_others_blames_nobody() {
    let fake = Fake::new();
    let (_pool, writer) = pool(&fake).await;
    let conflict = json!({"code": "INVALID_REQUEST", "message": "config changed since last load; re-run config.get and retry"});
    let refusal = json!({"code": "INVALID_REQUEST", "message": "invalid config: tools: Unrecognized key: \"$include\"", "details": {"issues": [{"path": "tools", "message": "Unrecognized key: \"$include\""}]}});
    for agent_id in ["a", "b"] {
        fake.fault("config.patch", Fault::Refuse(conflict.clone()));
        fake.fault("config.set", Fault::Refuse(refusal.clone()));
        assert!(writer.apply(wish(agent_id)).await.unwrap().wrote);
    }
    assert_eq!(fake.count("config.patch"), 4);
    assert_eq!(fake.count("config.set"), 1, "and it is not tried again");
}

#[tokio::test(start_paused = true)]
async fn who_is_beaten_does_not_spend_the_writes_that_the_gateway_counts() {
    let fake = Fake::new();
    let (_pool, writer) = pool(&fake).await;
    let conflict = json!({"code": "INVALID_REQUEST", "message": "config changed since last load; re-run config.get and retry"});
    fake.fault("config.patch", Fault::Refuse(conflict.clone()));
    for _ in 0..MOST_TRIES - 2 {
        fake.fault("config.set", Fault::Refuse(conflict.clone()));
    }
    assert!(writer.apply(wish("a")).await.unwrap().wrote);
    assert_eq!(fake.count("config.patch"), 1);

    fake.fault("config.set", Fault::LoseAnswer);
    fake.fault("config.patch", Fault::Refuse(conflict));
    assert!(writer.apply(wish("b")).await.unwrap().wrote);
    assert_eq!(fake.count("config.patch"), 2);
    assert_eq!(fake.entries()["b"], json!({"name": "b"}));
}
