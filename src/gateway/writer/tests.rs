//! The writer over a pipe with paused time: lost answers, conflicts, lag and refusals at a chosen moment.

mod beaten;
mod comeback;
mod members;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use serde_json::json;
use tokio::time::Instant;

use super::super::fake::{Fake, Fault};
use super::super::{Class, Journal, JournalError, Pool, PoolOptions, Topic};
use super::*;

#[derive(Debug, Default)]
struct Notebook {
    kept: Mutex<BTreeSet<String>>,
    deleted: Mutex<BTreeSet<String>>,
    full: bool,
}

impl Notebook {
    fn page(&self, topic: Topic) -> MutexGuard<'_, BTreeSet<String>> {
        match topic {
            Topic::KeptHeartbeats => self.kept.lock().unwrap(),
            Topic::DeletedAgents => self.deleted.lock().unwrap(),
        }
    }
}

impl Journal for Notebook {
    fn recorded(&self, topic: Topic) -> BTreeSet<String> {
        self.page(topic).clone()
    }

    fn record<'a>(
        &'a self,
        topic: Topic,
        ids: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            if self.full {
                return Err(JournalError {
                    message: "no page left".to_owned(),
                    source: None,
                });
            }
            self.page(topic).extend(ids.iter().cloned());
            Ok(())
        })
    }

    fn forget<'a>(
        &'a self,
        topic: Topic,
        ids: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            self.page(topic).retain(|id| !ids.contains(id));
            Ok(())
        })
    }
}

async fn pool_with(fake: &Fake, journal: impl Into<Arc<Notebook>>) -> (Pool, Writer) {
    let journal: Arc<Notebook> = journal.into();
    let pool = Pool::with_dial(PoolOptions::default(), Arc::new(fake.clone()));
    let link = pool.ensure("key", Fake::endpoint(), journal);
    link.state()
        .wait_for(|state| state.hello().is_some())
        .await
        .unwrap();
    let writer = pool.writer("key").unwrap();
    (pool, writer)
}

async fn pool(fake: &Fake) -> (Pool, Writer) {
    pool_with(fake, Notebook::default()).await
}

fn wish(agent_id: &str) -> EntryWish {
    EntryWish {
        set: BTreeMap::from([("name".to_owned(), json!(agent_id))]),
        must_be_absent: true,
        ..EntryWish::of(agent_id)
    }
}

fn beating(agent_id: &str) -> EntryWish {
    let mut wish = wish(agent_id);
    wish.set.insert("heartbeat.every".to_owned(), json!("10m"));
    wish
}

#[tokio::test(start_paused = true)]
async fn wishes_are_collected_into_one_patch_and_answered_one_by_one() {
    let fake = Fake::new();
    let (_pool, writer) = pool(&fake).await;
    let start = Instant::now();
    let outcomes = join_all((0..25).map(|n| {
        let writer = writer.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(n * 40)).await;
            writer.apply(wish(&format!("a{n}"))).await
        }
    }))
    .await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.as_ref().unwrap().wrote)
    );
    assert_eq!(fake.count("config.patch"), 1);
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_steady_stream_of_wishes_is_written_every_few_seconds_all_the_same() {
    let fake = Fake::new();
    let (_pool, writer) = pool(&fake).await;
    join_all((0..50).map(|n| {
        let writer = writer.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(n * 200)).await;
            let start = Instant::now();
            writer.apply(wish(&format!("a{n}"))).await.unwrap();
            assert!(start.elapsed() < Duration::from_millis(4500));
        }
    }))
    .await;
    assert!((3..=4).contains(&fake.count("config.patch")));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_wishes_that_come_over_five_seconds_are_one_patch() {
    let fake = Fake::new();
    let (_pool, writer) = pool(&fake).await;
    join_all((0..100).map(|n| {
        let writer = writer.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(n * 50)).await;
            writer.apply(wish(&format!("a{n}"))).await.unwrap();
        }
    }))
    .await;
    assert_eq!(fake.count("config.patch"), 1);
}

#[tokio::test(start_paused = true)]
async fn no_stream_of_wishes_keeps_the_first_waiting_for_more_than_ten_seconds() {
    let fake = Fake::new();
    let (_pool, writer) = pool(&fake).await;
    join_all((0..600).map(|n| {
        let writer = writer.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(n * 20)).await;
            let start = Instant::now();
            writer.apply(wish(&format!("a{n}"))).await.unwrap();
            assert!(start.elapsed() < Duration::from_millis(10_500));
        }
    }))
    .await;
    assert_eq!(fake.count("config.patch"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_is_judged_by_what_is_there() {
    let fake = Fake::new();
    let (_pool, writer) = pool(&fake).await;
    fake.fault("config.patch", Fault::LoseAnswer);
    let applied = writer.apply(wish("a")).await.unwrap();
    assert!(applied.wrote);
    assert_eq!(fake.count("config.patch"), 1);

    fake.fault("config.patch", Fault::LoseRequest);
    assert!(writer.apply(wish("b")).await.unwrap().wrote);
    assert_eq!(fake.count("config.patch"), 3);
    // What was really there before is still refused.
    assert!(matches!(
        writer.apply(wish("b")).await,
        Err(WriteError::Exists)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_deletion_whose_answer_was_lost_is_a_deletion() {
    let fake = Fake::new();
    let (_pool, writer) = pool(&fake).await;
    writer.apply(wish("a")).await.unwrap();
    fake.fault("agents.delete", Fault::LoseAnswer);
    assert_eq!(writer.delete("a", true).await.unwrap(), Deleted::Deleted);
    assert_eq!(writer.delete("a", true).await.unwrap(), Deleted::Missing);
    assert_eq!(fake.count("agents.delete"), 1);
}

#[tokio::test(start_paused = true)]
async fn only_the_first_deletion_leaves_time_to_one_that_nobody_waits_for_any_more() {
    let fake = Fake::new();
    let (_pool, writer) = pool(&fake).await;
    for agent_id in ["a", "b"] {
        writer.apply(wish(agent_id)).await.unwrap();
    }
    let start = Instant::now();
    writer.delete("a", true).await.unwrap();
    let first = start.elapsed();
    let start = Instant::now();
    writer.delete("b", true).await.unwrap();
    let second = start.elapsed();
    assert!(first >= Duration::from_secs(4), "{first:?}");
    assert!(second < Duration::from_secs(1), "{second:?}");
}

#[tokio::test(start_paused = true)]
async fn no_change_is_sent_before_the_last_one_is_applied() {
    let fake = Fake::new();
    let (_pool, writer) = pool(&fake).await;
    join_all(["a", "b", "c", "d"].map(|id| writer.apply(wish(id)))).await;
    let lag = Duration::from_secs(20);
    fake.with(|state| state.lag = lag);
    let (deleted, applied) = tokio::join!(
        join_all(["a", "b", "c", "d"].map(|id| writer.delete(id, false))),
        join_all(["e", "f"].map(|id| writer.apply(wish(id)))),
    );
    assert!(deleted.iter().all(Result::is_ok) && applied.iter().all(Result::is_ok));
    let changes: Vec<Instant> = fake.with(|state| {
        state
            .requests
            .iter()
            .filter(|(method, _)| method == "agents.delete" || method == "config.patch")
            .map(|(_, at)| *at)
            .skip(1)
            .collect()
    });
    assert_eq!(changes.len(), 5);
    for pair in changes.windows(2) {
        assert!(pair[1].duration_since(pair[0]) >= lag, "{changes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_culprit_that_the_gateway_does_not_name_is_found_by_halving() {
    let fake = Fake::new();
    let (_pool, writer) = pool(&fake).await;
    fake.with(|state| state.unnamed_poison = Some("\"a5\"".to_owned()));
    let outcomes = join_all((0..16).map(|n| writer.apply(wish(&format!("a{n}"))))).await;
    for (n, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(applied) => assert!(n != 5 && applied.wrote),
            Err(error) => {
                assert_eq!(n, 5);
                assert!(error.to_string().contains("something in there is wrong"));
                assert_eq!(error.class(), Class::Rejected);
            }
        }
    }
    assert_eq!(fake.entries().as_object().unwrap().len(), 16);
    assert!(
        fake.count("config.patch") <= 9,
        "{}",
        fake.count("config.patch")
    );
}

#[tokio::test(start_paused = true)]
async fn a_value_that_the_gateway_spells_in_its_own_way_is_told_and_keeps_nobody_waiting() {
    let fake = Fake::new();
    let (_pool, writer) = pool(&fake).await;
    fake.with(|state| state.spelling = Some(("Fake/m", "fake/m")));
    let mut spelled = wish("a");
    spelled.set.insert("model".to_owned(), json!("Fake/m"));
    // Told at once, also in company.
    let (error, other) = tokio::join!(writer.apply(spelled.clone()), writer.apply(wish("c")));
    assert!(other.unwrap().wrote);
    let error = error.unwrap_err();
    let WriteError::KeptOtherwise { entry, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(entry.as_ref().unwrap()["model"], "fake/m");
    assert_eq!(error.class(), Class::Rejected);

    // And again, where nothing is left to write.
    let start = Instant::now();
    spelled.must_be_absent = false;
    let (error, other) = tokio::join!(writer.apply(spelled.clone()), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        writer.apply(wish("b")).await
    });
    assert!(other.unwrap().wrote);
    assert!(start.elapsed() < Duration::from_secs(3));
    let error = error.unwrap_err();
    assert_eq!(error.class(), Class::Rejected);
    let text = error.to_string();
    assert!(
        text.contains(r#"keeps "fake/m" where "Fake/m" was sent; write "fake/m""#),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_no_wish_caused_rejects_nobody() {
    let fake = Fake::new();
    let (_pool, writer) = pool(&fake).await;
    let refusal = json!({"code": "INVALID_REQUEST", "message": "invalid config: gateway.port: Invalid input", "details": {"issues": [{"path": "gateway.port", "message": "Invalid input"}]}});
    fake.fault("config.patch", Fault::Refuse(refusal));
    let error = writer.apply(wish("a")).await.unwrap_err();
    assert!(
        matches!(error, WriteError::ConfigInvalid { .. }),
        "{error:?}"
    );
    assert_eq!(error.class(), Class::Waiting);
    assert!(error.to_string().contains("gateway.port"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_gateways_rate_limit_is_waited_for() {
    let fake = Fake::new();
    let (_pool, writer) = pool(&fake).await;
    let refusal = json!({"code": "UNAVAILABLE", "message": "rate limit exceeded for config.patch; retry after 38s", "retryable": true, "retryAfterMs": 37456});
    fake.fault("config.patch", Fault::Refuse(refusal));
    let start = Instant::now();
    writer.apply(wish("a")).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(37456));
    assert_eq!(fake.count("config.patch"), 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_gateway_stored_and_cannot_apply_without_a_restart_is_ours_and_written_once() {
    for words in [
        "config.patch persisted and updated the active Gateway, but a recovery restart is required; wait for the Gateway to restart, then run config.get to confirm the active revision",
        "config.patch persisted and was accepted for restart; wait for the Gateway to restart, then run config.get to confirm the active revision",
        "config.patch persisted but was not applied to the active Gateway (failed); run config.get, then use config.apply to reapply the saved config",
    ] {
        let fake = Fake::new();
        let (_pool, writer) = pool(&fake).await;
        let refusal = json!({"code": "UNAVAILABLE", "message": words, "retryable": true});
        fake.fault("config.patch", Fault::RefuseAfterwards(refusal));
        let applied = writer.apply(wish("a")).await;
        assert!(
            applied.as_ref().is_ok_and(|it| it.wrote),
            "{applied:?}: {words}"
        );
        assert_eq!(fake.count("config.patch"), 1, "{words}");
    }
}

#[tokio::test(start_paused = true)]
async fn heartbeats_of_others_are_recorded_before_they_are_kept() {
    let fake = Fake::new();
    let (_pool, writer) = pool_with(
        &fake,
        Notebook {
            full: true,
            ..Notebook::default()
        },
    )
    .await;
    let error = writer.apply(beating("a")).await.unwrap_err();
    assert!(matches!(error, WriteError::Journal(_)), "{error:?}");
    assert_eq!(error.class(), Class::Transient);
    assert_eq!(fake.count("config.patch"), 0);

    let fake = Fake::new();
    let (_pool, writer) = pool(&fake).await;
    let applied = writer.apply(beating("a")).await.unwrap();
    assert_eq!(applied.heartbeat_job.as_deref(), Some("job-a"));
    assert_eq!(fake.entries()["main"], json!({"heartbeat": {}}));
    let kept = ["main".to_owned(), "gone".to_owned()].into();
    let still = writer.release_kept(&kept).await.unwrap();
    assert_eq!(still, Released::StillNeeded);
    assert_eq!(fake.entries()["main"], json!({"heartbeat": {}}));
    writer.delete("a", true).await.unwrap();
    for _ in 0..2 {
        let done = writer.release_kept(&kept).await.unwrap();
        assert_eq!(done, Released::Done);
    }
    assert_eq!(fake.entries(), json!({"main": {}}));
    assert_eq!(fake.count("config.patch"), 2);
}
