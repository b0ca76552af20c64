//! What becomes of a writer's jobs and of the pool's links when links and processes come and go.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::super::super::dial::{ByteStream, Dial};
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

/// A way to the gateway, and a journal, that panic once each.
#[derive(Debug)]
struct Stumbling {
    fake: Fake,
    dialled: AtomicBool,
    read: AtomicBool,
}

impl Dial for Stumbling {
    fn dial<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>> {
        assert!(self.dialled.swap(true, Relaxed), "panics while it dials");
        self.fake.dial(host, port)
    }
}

impl Journal for Stumbling {
    fn recorded(&self, _: Topic) -> BTreeSet<String> {
        assert!(self.read.swap(true, Relaxed), "panics while it reads");
        BTreeSet::new()
    }

    fn record<'a>(
        &'a self,
        _: Topic,
        _: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async { Ok(()) })
    }

    fn forget<'a>(
        &'a self,
        _: Topic,
        _: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_and_a_writer_whose_tasks_have_panicked_are_made_anew() {
    let fake = Fake::new();
    let stumbling = Arc::new(Stumbling {
        fake: fake.clone(),
        dialled: AtomicBool::new(false),
        read: AtomicBool::new(false),
    });
    let dial: Arc<dyn Dial> = Arc::clone(&stumbling) as _;
    let pool = Pool::with_dial(PoolOptions::default(), dial);
    let ensure = || pool.ensure("key", Fake::endpoint(), Arc::clone(&stumbling) as _);
    let ended = ensure().state().wait_for(|_| false).await.map(drop);
    ended.unwrap_err();
    let mut state = ensure().state();
    state
        .wait_for(|state| state.hello().is_some())
        .await
        .unwrap();

    let cut_off = pool.writer("key").unwrap().apply(wish("a")).await;
    assert_eq!(cut_off.unwrap_err().class(), Class::Transient);
    let again = pool.writer("key").unwrap().apply(wish("a")).await;
    assert!(again.unwrap().wrote);
    assert_eq!(fake.with(|state| state.connections), 1);
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
