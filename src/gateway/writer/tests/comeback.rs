//! Agents that come back under an id that the gateway has deleted: it forgets that by `agents.create` alone, and everything can happen
//! between that call and the patch that makes the entry what it should be.

use super::*;

/// A wish of one that may come back, and takes back what the gateway makes of it.
fn returning(wish: EntryWish) -> EntryWish {
    let made_by_the_gateway = ["name", "workspace", "agentDir", "identity.name"];
    EntryWish {
        unset: made_by_the_gateway.map(str::to_owned).into(),
        may_be_created: true,
        ..wish
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_created_before_the_wish_allows_it() {
    let fake = Fake::new();
    let (_pool, writer) = pool(&fake).await;
    writer.apply(wish("a")).await.unwrap();
    writer.delete("a", true).await.unwrap();
    let (refused, other) = tokio::join!(writer.apply(wish("a")), writer.apply(wish("b")));
    assert!(
        matches!(refused, Err(WriteError::WasDeleted)),
        "{refused:?}"
    );
    assert!(other.unwrap().wrote);
    assert_eq!(fake.count("agents.create"), 0);
    assert!(fake.entries().get("a").is_none());
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_comes_back_is_created_and_stands_there_as_wished() {
    let fake = Fake::new();
    let (_pool, writer) = pool(&fake).await;
    writer.apply(beating("a")).await.unwrap();
    writer.delete("a", true).await.unwrap();
    let before = fake.count("config.patch");
    let (first, other) = tokio::join!(
        writer.apply(returning(beating("a"))),
        writer.apply(beating("b"))
    );
    assert_eq!(first.unwrap().heartbeat_job.as_deref(), Some("job-a"));
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
    let mut known = returning(beating("a"));
    known.must_be_absent = false;
    known.was_there = true;
    let back = writer.apply(known).await.unwrap();
    assert_eq!(back.heartbeat_job.as_deref(), Some("job-a"));
    assert_eq!(fake.count("agents.create"), 2);
}

#[tokio::test(start_paused = true)]
async fn deletions_are_written_down_before_they_are_made_and_known_to_the_next_operator() {
    let fake = Fake::new();
    let journal = Arc::new(Notebook::default());
    let (pool, writer) = pool_with(&fake, Arc::clone(&journal)).await;
    let all = ["a", "b", "c"];
    join_all(all.map(|agent_id| writer.apply(wish(agent_id)))).await;
    fake.fault("agents.delete", Fault::LoseAnswer);
    join_all(["a", "b"].map(|agent_id| writer.delete(agent_id, true))).await;
    let written_down = ["a", "b"].map(str::to_owned).into();
    assert_eq!(journal.recorded(Topic::DeletedAgents), written_down);
    drop((pool, writer));

    let (_pool, writer) = pool_with(&fake, Arc::clone(&journal)).await;
    assert!(writer.apply(returning(wish("a"))).await.unwrap().wrote);
    assert_eq!(fake.count("agents.create"), 1);
    assert_eq!(
        journal.recorded(Topic::DeletedAgents),
        ["b".to_owned()].into()
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_down_is_not_deleted() {
    let fake = Fake::new();
    let full = Notebook {
        full: true,
        ..Notebook::default()
    };
    let (_pool, writer) = pool_with(&fake, full).await;
    writer.apply(wish("a")).await.unwrap();
    writer.apply(wish("b")).await.unwrap();
    let error = writer.delete("a", true).await.unwrap_err();
    assert!(matches!(error, WriteError::Journal(_)), "{error:?}");
    assert_eq!(fake.count("agents.delete"), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_was_created_and_then_refused_is_as_wished_at_the_next_try() {
    let fake = Fake::new();
    let (_pool, writer) = pool(&fake).await;
    writer.apply(beating("a")).await.unwrap();
    writer.delete("a", true).await.unwrap();
    let refusal = json!({"code": "INVALID_REQUEST", "message": "invalid config", "details": {"issues": [
        {"path": "agents.entries.a.heartbeat", "message": "unknown target"}
    ]}});
    fake.fault("config.patch", Fault::Refuse(refusal));
    let refused = writer.apply(returning(beating("a"))).await.unwrap_err();
    assert_eq!(refused.class(), Class::Rejected);
    assert_eq!(fake.entries()["a"]["agentDir"], "/agents");

    let mut claimed = returning(beating("a"));
    claimed.must_be_absent = false;
    assert!(writer.apply(claimed).await.unwrap().wrote);
    assert_eq!(
        fake.entries()["a"],
        json!({"name": "a", "heartbeat": {"every": "10m"}})
    );
    assert_eq!(fake.count("agents.create"), 1);
}

#[tokio::test(start_paused = true)]
async fn one_whose_creation_was_not_answered_is_judged_by_what_is_there() {
    for fault in [Fault::LoseAnswer, Fault::LoseRequest] {
        let fake = Fake::new();
        let (_pool, writer) = pool(&fake).await;
        writer.apply(wish("a")).await.unwrap();
        writer.delete("a", true).await.unwrap();
        fake.fault("agents.create", fault);
        let unknown = writer.apply(returning(wish("a"))).await.unwrap_err();
        assert_eq!(unknown.class(), Class::Transient);
        let mut claimed = returning(wish("a"));
        claimed.must_be_absent = false;
        assert!(writer.apply(claimed).await.unwrap().wrote);
        assert_eq!(fake.entries()["a"], json!({"name": "a"}));
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_somebody_else_creates_a_moment_earlier_is_theirs() {
    let fake = Fake::new();
    let (_pool, writer) = pool(&fake).await;
    writer.apply(wish("a")).await.unwrap();
    writer.delete("a", true).await.unwrap();
    let theirs = json!({"name": "Theirs"});
    let entry = theirs.clone();
    fake.meanwhile("agents.create", move |state| {
        state.document["agents"]["entries"]["a"] = entry;
        state.revision += 1;
    });
    assert!(matches!(
        writer.apply(returning(wish("a"))).await,
        Err(WriteError::Exists)
    ));
    assert_eq!(fake.entries()["a"], theirs);
}
