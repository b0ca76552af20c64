//! Agents that come back under an id that the gateway has deleted: it forgets that by `agents.create` alone, and everything can happen
//! between that call and the patch that makes the entry what it should be.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_agent_that_comes_back_is_created_and_stands_there_as_wished() {
    let fake = Fake::new();
    let (_pool, writer) = pool(&fake).await;
    writer.apply(beating("a")).await.unwrap();
    writer.delete("a", true).await.unwrap();
    let before = fake.count("config.patch");
    let (back, other) = tokio::join!(writer.apply(beating("a")), writer.apply(beating("b")));
    assert_eq!(back.unwrap().heartbeat_job.as_deref(), Some("job-a"));
    assert!(other.unwrap().wrote);
    assert_eq!(fake.count("agents.create"), 1);
    assert_eq!(fake.count("config.patch") - before, 1);
    let entries = fake.entries();
    assert_eq!(
        entries["a"],
        json!({"name": "a", "heartbeat": {"every": "10m"}})
    );

    // Somebody else deletes it, and it is known that it was there.
    fake.with(|state| state.execute("agents.delete", &json!({"agentId": "a"}), 0))
        .unwrap();
    let mut known = beating("a");
    known.must_be_absent = false;
    known.was_confirmed = true;
    let back = writer.apply(known).await.unwrap();
    assert_eq!(back.heartbeat_job.as_deref(), Some("job-a"));
    assert_eq!(fake.count("agents.create"), 2);
}

#[tokio::test(start_paused = true)]
async fn one_that_was_created_and_then_refused_is_still_ours_to_mend() {
    for fault in [
        Fault::Refuse(
            json!({"code": "INVALID_REQUEST", "message": "invalid config", "details": {"issues": [
                {"path": "agents.entries.a.heartbeat", "message": "unknown target"}
            ]}}),
        ),
        Fault::Refuse(json!({"code": "FORBIDDEN", "message": "missing scope"})),
    ] {
        let fake = Fake::new();
        let (pool, writer) = pool(&fake).await;
        writer.apply(beating("a")).await.unwrap();
        writer.delete("a", true).await.unwrap();
        fake.fault("config.patch", fault);
        writer.apply(beating("a")).await.unwrap_err();
        assert!(pool.has_created("key", "a"));
        assert!(!pool.has_created("key", "b"));

        assert!(writer.apply(beating("a")).await.unwrap().wrote);
        assert_eq!(
            fake.entries()["a"],
            json!({"name": "a", "heartbeat": {"every": "10m"}})
        );
        assert!(!pool.has_created("key", "a"));
    }
}

#[tokio::test(start_paused = true)]
async fn one_whose_creation_was_not_answered_is_judged_by_what_is_there() {
    for fault in [Fault::LoseAnswer, Fault::LoseRequest] {
        let fake = Fake::new();
        let (pool, writer) = pool(&fake).await;
        writer.apply(wish("a")).await.unwrap();
        writer.delete("a", true).await.unwrap();
        fake.fault("agents.create", fault);
        assert_eq!(
            writer.apply(wish("a")).await.unwrap_err().class(),
            Class::Transient
        );
        assert!(pool.has_created("key", "a"));
        assert!(writer.apply(wish("a")).await.unwrap().wrote);
        assert_eq!(fake.entries()["a"], json!({"name": "a"}));
        assert!(!pool.has_created("key", "a"));
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_somebody_else_creates_a_moment_earlier_is_theirs() {
    let fake = Fake::new();
    let (pool, writer) = pool(&fake).await;
    writer.apply(wish("a")).await.unwrap();
    writer.delete("a", true).await.unwrap();
    let theirs = json!({"name": "Theirs"});
    let entry = theirs.clone();
    fake.meanwhile("agents.create", move |state| {
        state.document["agents"]["entries"]["a"] = entry;
        state.revision += 1;
    });
    assert!(matches!(
        writer.apply(wish("a")).await,
        Err(WriteError::Exists)
    ));
    assert!(!pool.has_created("key", "a"));
    assert_eq!(fake.entries()["a"], theirs);
}
