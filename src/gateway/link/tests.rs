//! The actor over a pipe with paused time: what is hard to bring about on a real gateway.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Instant, advance, timeout};

use super::super::fake::{Fake, Fault};
use super::super::{CallError, LinkError};
use super::*;

const HOUR: Duration = Duration::from_hours(1);

fn open(fake: &Fake) -> Link {
    Link::open_with(Fake::endpoint(), Arc::new(fake.clone()))
}

async fn until(link: &Link, fits: impl Fn(&LinkState) -> bool) -> LinkState {
    timeout(HOUR, link.state().wait_for(fits))
        .await
        .expect("the link never gets there")
        .unwrap()
        .clone()
}

async fn up(link: &Link) -> Arc<Hello> {
    let state = until(link, |state| state.hello().is_some()).await;
    Arc::clone(state.hello().unwrap())
}

#[tokio::test(start_paused = true)]
async fn big_requests_and_answers_through_a_tiny_pipe_do_not_wait_for_each_other() {
    // One megabyte each way, through two kilobytes, with a peer that reads nothing while it writes.
    let fake = Fake::new().pipe(2048);
    let link = open(&fake);
    up(&link).await;
    let long = "a".repeat(32 << 10);
    let answers = join_all((0..32).map(|_| link.models_list(&long))).await;
    for answer in answers {
        assert_eq!(answer.unwrap()[0].id.len(), long.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_does_not_hold_up_a_fast_one() {
    let fake = Fake::new();
    let link = open(&fake);
    up(&link).await;
    fake.fault("cron.list", Fault::Delay(Duration::from_secs(10)));
    let start = Instant::now();
    let (slow, fast) = tokio::join!(
        async {
            link.cron_list().await.unwrap();
            start.elapsed()
        },
        async {
            link.config_get().await.unwrap();
            start.elapsed()
        },
    );
    assert!(fast < Duration::from_secs(1) && slow >= Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_ends_at_its_deadline_and_the_link_stays_up() {
    let fake = Fake::new();
    let link = open(&fake);
    let before = up(&link).await;
    fake.fault("config.get", Fault::Ignore);
    let start = Instant::now();
    let error = link.config_get().await.unwrap_err();
    assert!(
        matches!(
            error,
            CallError::Deadline {
                method: "config.get",
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.outcome_unknown());
    assert_eq!(start.elapsed().as_secs(), 15);
    link.config_get().await.unwrap();
    assert_eq!(up(&link).await.conn_id, before.conn_id);
}

#[tokio::test(start_paused = true)]
async fn what_was_in_flight_when_the_connection_ended_may_have_been_executed() {
    let fake = Fake::new();
    let link = open(&fake);
    let before = up(&link).await;
    fake.fault("config.get", Fault::LoseAnswer);
    let (lost, ignored) = tokio::join!(link.config_get(), async {
        fake.fault("cron.list", Fault::Ignore);
        link.cron_list().await
    });
    assert!(matches!(lost, Err(CallError::Disconnected { sent: true })));
    assert!(ignored.is_err());
    // It is not up at once, and says so without waiting.
    assert!(link.hello().is_none());
    assert!(matches!(
        link.config_get().await,
        Err(CallError::Disconnected { sent: false })
    ));
    let after = up(&link).await;
    assert_ne!(after.conn_id, before.conn_id);
    assert_eq!(after.boot_id, before.boot_id);
    link.config_get().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_has_fallen_silent_is_noticed_within_a_minute() {
    let fake = Fake::new();
    let link = open(&fake);
    up(&link).await;
    let start = Instant::now();
    // The fake answers pings but sends no tick.
    let state = until(&link, |state| {
        matches!(state, LinkState::Connecting { last: Some(_), .. })
    })
    .await;
    assert!(start.elapsed() <= Duration::from_secs(61), "{state:?}");
    up(&link).await;
}

#[tokio::test(start_paused = true)]
async fn ticks_keep_a_quiet_link_up() {
    let fake = Fake::new();
    let link = open(&fake);
    let before = up(&link).await;
    for _ in 0..20 {
        advance(Duration::from_secs(30)).await;
        fake.tell("tick", &json!({"ts": 1}));
        // A round trip, so that the tick has been read.
        link.config_get().await.unwrap();
    }
    assert_eq!(up(&link).await.conn_id, before.conn_id);
}

#[tokio::test(start_paused = true)]
async fn a_restart_is_waited_for_as_long_as_it_was_announced() {
    let fake = Fake::new();
    let link = open(&fake);
    let before = up(&link).await;
    fake.tell(
        "shutdown",
        &json!({"reason": "gateway restarting", "restartExpectedMs": 20000}),
    );
    link.config_get().await.unwrap();
    fake.restart(1012);
    let start = Instant::now();
    let state = until(&link, |state| {
        matches!(state, LinkState::Connecting { last: Some(_), .. })
    })
    .await;
    let LinkState::Connecting {
        last: Some(error), ..
    } = state
    else {
        unreachable!()
    };
    assert!(matches!(&*error, LinkError::Lost { .. }), "{error}");
    let after = up(&link).await;
    assert!(start.elapsed() >= Duration::from_secs(20));
    assert_ne!(after.boot_id, before.boot_id);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_is_starting_is_asked_again_when_it_wants_to_be() {
    let fake = Fake::new();
    for _ in 0..20 {
        fake.fault(
            "connect",
            Fault::Refuse(json!({"code": "UNAVAILABLE", "message": "gateway starting; retry shortly", "retryable": true, "retryAfterMs": 500})),
        );
    }
    let link = open(&fake);
    let start = Instant::now();
    let state = until(&link, |state| {
        matches!(state, LinkState::Connecting { last: Some(_), .. })
    })
    .await;
    assert!(matches!(
        state,
        LinkState::Connecting { last: Some(error), .. } if matches!(&*error, LinkError::Starting { .. })
    ));
    up(&link).await;
    assert_eq!(fake.count("connect"), 21);
    assert!(
        start.elapsed() >= Duration::from_secs(10) && start.elapsed() <= Duration::from_secs(30)
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_credential_is_shown_three_times_in_ten_minutes_at_most() {
    let fake = Fake::new();
    for _ in 0..1000 {
        fake.fault(
            "connect",
            Fault::Refuse(json!({"code": "INVALID_REQUEST", "message": "unauthorized: gateway token mismatch", "details": {"code": "AUTH_TOKEN_MISMATCH"}})),
        );
    }
    let link = open(&fake);
    until(&link, |state| matches!(state, LinkState::Refused { .. })).await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert!(fake.count("connect") <= 3, "{}", fake.count("connect"));
    assert!(matches!(
        link.config_get().await,
        Err(CallError::Disconnected { sent: false })
    ));
}

#[tokio::test(start_paused = true)]
async fn no_more_than_thirty_two_calls_are_in_flight_also_when_their_callers_have_gone() {
    let fake = Fake::new();
    let link = open(&fake);
    up(&link).await;
    for _ in 0..100 {
        fake.fault("cron.list", Fault::Ignore);
    }
    let calls = join_all((0..100).map(|_| link.cron_list()));
    // All of them are dropped after a second; the gateway may still be working on them.
    timeout(Duration::from_secs(1), calls).await.unwrap_err();
    assert_eq!(fake.count("cron.list"), IN_FLIGHT);
    let blocked = timeout(Duration::from_secs(10), link.config_get()).await;
    assert!(blocked.is_err(), "{blocked:?}");
    // At their deadlines the places are free again.
    tokio::time::sleep(Duration::from_secs(5)).await;
    link.config_get().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_closed_link_fails_calls_and_stays_closed() {
    let fake = Fake::new();
    let link = open(&fake);
    up(&link).await;
    fake.fault("config.get", Fault::Ignore);
    let (outcome, ()) = tokio::join!(link.config_get(), async {
        while fake.count("config.get") == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        link.close();
    });
    assert!(
        matches!(outcome, Err(CallError::Disconnected { .. })),
        "{outcome:?}"
    );
    until(&link, |state| matches!(state, LinkState::Closed)).await;
    assert!(matches!(
        link.config_get().await,
        Err(CallError::Disconnected { sent: false })
    ));
}
