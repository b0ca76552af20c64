//! What becomes of a writer's jobs and of the pool's links when links and processes come and go.

use super::super::super::{Credential, LinkState, PoolEventKind};
use super::*;

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_process_that_is_gone_is_told_to_come_again() {
    let fake = Fake::new();
    let (pool, writer) = pool(&fake).await;
    let mut events = pool.events();
    fake.fault("config.patch", Fault::Ignore);
    let (outcome, ()) = tokio::join!(writer.apply(wish("a")), async {
        while fake.count("config.patch") == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        fake.restart(1012);
    });
    let error = outcome.unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error:?}");
    let mut kinds = Vec::new();
    while let Ok(event) = events.try_recv() {
        kinds.push(event.kind);
    }
    assert_eq!(kinds, [PoolEventKind::Down, PoolEventKind::Restarted]);
    assert!(writer.apply(wish("a")).await.is_err());
    assert!(
        pool.writer("key")
            .unwrap()
            .apply(wish("a"))
            .await
            .unwrap()
            .wrote
    );
}

#[tokio::test(start_paused = true)]
async fn another_endpoint_under_a_key_is_another_link_and_the_same_one_is_not() {
    let fake = Fake::new();
    let (pool, _writer) = pool(&fake).await;
    let same = pool.ensure("key", Fake::endpoint(), Arc::new(Notebook::default()));
    assert!(same.hello().is_some());
    let mut other = Fake::endpoint();
    other.credential = Credential::Token("other".into());
    let link = pool.ensure("key", other, Arc::new(Notebook::default()));
    assert!(link.hello().is_none());
    same.state()
        .wait_for(|state| matches!(state, LinkState::Closed))
        .await
        .unwrap();
    link.state()
        .wait_for(|state| state.hello().is_some())
        .await
        .unwrap();
    assert_eq!(fake.with(|state| state.connections), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_observed_before_a_write_is_not_shown_after_it() {
    let fake = Fake::new();
    let (pool, writer) = pool(&fake).await;
    let before = pool.observe("key", None).await.unwrap();
    assert!(before.config.entry("a").is_none());
    writer.apply(wish("a")).await.unwrap();
    let after = pool.observe("key", None).await.unwrap();
    assert!(after.config.entry("a").is_some());
    let reads = fake.count("config.get");
    pool.observe("key", None).await.unwrap();
    assert_eq!(fake.count("config.get"), reads);
    tokio::time::sleep(Duration::from_secs(31)).await;
    pool.observe("key", None).await.unwrap();
    assert_eq!(fake.count("config.get"), reads + 1);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_goes_takes_its_links_and_writers_along() {
    let fake = Fake::new();
    let (pool, writer) = pool(&fake).await;
    let link = pool.get("key").unwrap();
    drop(pool);
    link.state()
        .wait_for(|state| matches!(state, LinkState::Closed))
        .await
        .unwrap();
    assert!(writer.apply(wish("a")).await.is_err());
    assert_eq!(fake.count("config.patch"), 0);
}
