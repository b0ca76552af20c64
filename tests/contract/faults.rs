//! What a test does to the fake is what the operator's own client feels of it. No real gateway can be made to do these.

use std::time::Duration;

use mission_operator::gateway::{CallError, Credential, Endpoint, Link, LinkError, LinkState};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::fake::{
    Call, Fake, FakeOptions, Fault, Moment, Traffic, Verdict, hash_conflict, rate_limited,
};

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// So long without an answer counts as none: on loopback one takes a millisecond.
const SILENCE: Duration = Duration::from_millis(300);
const SET: &str = "agents.files.set";

async fn patiently<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it takes too long")
}

fn started() -> (Fake, Link) {
    let fake = Fake::start(FakeOptions::default()).unwrap();
    let credential = Credential::Token(fake.token().into());
    let link = Link::open(Endpoint::new(fake.url(), credential));
    (fake, link)
}

async fn until(link: &Link, fits: impl Fn(&LinkState) -> bool) -> LinkState {
    let mut state = link.state();
    let found = patiently(state.wait_for(|state| fits(state))).await;
    found.unwrap().clone()
}

async fn up(link: &Link) {
    until(link, |state| state.hello().is_some()).await;
}

async fn set(link: &Link, content: &str) -> Result<(), CallError> {
    let set = link.files_set("main", "SOUL.md", content, None);
    patiently(set).await.map(drop)
}

#[tokio::test]
async fn a_fault_takes_effect_or_not_as_it_says_and_is_over_after_one_request() {
    type Fits = fn(&Result<(), CallError>) -> bool;
    let lost: Fits = |answer| matches!(answer, Err(CallError::Disconnected { sent: true }));
    let ok: Fits = |answer| answer.is_ok();
    let cases: [(&str, Fault, bool, Fits); 9] = [
        (
            "rate limit",
            Fault::Refuse(rate_limited(SET, 1500)),
            false,
            |answer| {
                let Err(CallError::RateLimited { retry_after, .. }) = answer else {
                    return false;
                };
                *retry_after == Some(Duration::from_millis(1500))
            },
        ),
        (
            "hash conflict",
            Fault::Refuse(hash_conflict()),
            false,
            |answer| matches!(answer, Err(CallError::HashConflict)),
        ),
        ("lost answer", Fault::LoseAnswer, true, lost),
        ("lost request", Fault::LoseRequest, false, lost),
        ("unreadable", Fault::Unreadable, true, |answer| {
            matches!(answer, Err(CallError::Unreadable { .. }))
        }),
        ("garbage", Fault::Garbage, true, ok),
        ("delay", Fault::Delay(Duration::from_millis(50)), true, ok),
        ("large", Fault::Oversize(1 << 20), true, ok),
        ("too large", Fault::Oversize(80 << 20), true, lost),
    ];
    let (fake, link) = started();
    for (what, fault, takes_effect, fits) in cases {
        up(&link).await;
        fake.fault(SET, fault);
        let answer = set(&link, what).await;
        assert!(fits(&answer), "{what}: {answer:?}");
        let is_there = fake.file("main", "SOUL.md").as_deref() == Some(what);
        assert_eq!(is_there, takes_effect, "{what}");
        assert!(fake.all_met(), "{what}");
        up(&link).await;
        set(&link, "afterwards").await.unwrap();
    }
}

#[tokio::test]
async fn a_request_is_held_before_it_takes_effect_and_before_it_is_answered() {
    let (fake, link) = started();
    up(&link).await;
    let (tell, mut told) = mpsc::unbounded_channel();
    fake.on_call(move |call: &Call| {
        if call.method != SET {
            return Verdict::Go;
        }
        tell.send((call.number, call.moment)).unwrap();
        Verdict::Hold
    });
    let writer = link.clone();
    let mut write = tokio::spawn(async move { set(&writer, "held").await });

    patiently(fake.until(|seen| seen.held == 1)).await;
    let (number, moment) = patiently(told.recv()).await.unwrap();
    assert_eq!(moment, Moment::Before);
    assert_eq!(fake.file("main", "SOUL.md"), None);
    patiently(link.agents_list())
        .await
        .expect("others go on meanwhile");
    fake.release();

    assert_eq!(patiently(told.recv()).await, Some((number, Moment::After)));
    patiently(fake.until(|seen| seen.held == 1)).await;
    assert_eq!(fake.file("main", "SOUL.md").as_deref(), Some("held"));
    assert!(
        timeout(SILENCE, &mut write).await.is_err(),
        "it is answered"
    );
    fake.off_call();
    fake.release();
    patiently(write).await.unwrap().unwrap();
    assert_eq!(fake.seen().held, 0);
}

#[tokio::test]
async fn a_request_that_is_dropped_before_or_after_ends_its_connection() {
    let (fake, link) = started();
    for (moment, takes_effect) in [(Moment::Before, false), (Moment::After, true)] {
        up(&link).await;
        fake.on_call(move |call: &Call| {
            if call.method == SET && call.moment == moment {
                Verdict::Drop
            } else {
                Verdict::Go
            }
        });
        let answer = set(&link, "dropped").await;
        assert!(
            matches!(answer, Err(CallError::Disconnected { sent: true })),
            "{answer:?}"
        );
        let is_there = fake.file("main", "SOUL.md").is_some();
        assert_eq!(is_there, takes_effect, "{moment:?}");
    }
}

#[tokio::test]
async fn nobody_comes_in_while_traffic_is_cut_refused_or_answered_with_an_error() {
    let (fake, link) = started();
    for (traffic, fits) in [
        (
            Traffic::Cut,
            (|error| !matches!(error, LinkError::Unauthorized { .. })) as fn(&LinkError) -> bool,
        ),
        (Traffic::Refuse, |error| {
            matches!(error, LinkError::Unreachable { .. })
        }),
        (Traffic::Http(503), |error| {
            matches!(error, LinkError::Starting { .. })
        }),
    ] {
        up(&link).await;
        fake.traffic(traffic);
        fake.drop_connections();
        until(
            &link,
            |state| matches!(state, LinkState::Connecting { last: Some(error), .. } if fits(error)),
        )
        .await;
        fake.traffic(Traffic::Open);
    }
    up(&link).await;
}

#[tokio::test]
async fn a_half_open_connection_is_silent_until_it_is_whole_again() {
    let (fake, link) = started();
    up(&link).await;
    fake.traffic(Traffic::HalfOpen);
    let mut call = Box::pin(link.agents_list());
    assert!(timeout(SILENCE, &mut call).await.is_err(), "it is answered");
    assert_eq!(fake.seen().count("agents.list"), 0);
    fake.traffic(Traffic::Open);
    patiently(call).await.unwrap();
    assert_eq!(fake.seen().connections, 1);
}

#[tokio::test]
async fn two_deletions_at_once_make_it_restart_and_one_after_the_other_do_not() {
    let fake = Fake::start(FakeOptions {
        lag: Duration::from_millis(200),
        ..FakeOptions::default()
    })
    .unwrap();
    fake.edit(|document| {
        for id in ["a", "b", "c"] {
            document["agents"]["entries"][id] = serde_json::json!({});
        }
    });
    let credential = Credential::Token(fake.token().into());
    let link = Link::open(Endpoint::new(fake.url(), credential));
    up(&link).await;
    let applied = async || loop {
        let config = patiently(link.config_get()).await.unwrap();
        if config.is_applied() {
            break;
        }
    };
    applied().await;
    patiently(link.agents_delete("a", true)).await.unwrap();
    applied().await;
    assert_eq!(fake.seen().self_restarts, 0);
    let (one, two) = tokio::join!(
        patiently(link.agents_delete("b", true)),
        patiently(link.agents_delete("c", true))
    );
    assert!(one.is_ok() || two.is_ok(), "{one:?}, {two:?}");
    patiently(fake.until(|seen| seen.self_restarts == 1)).await;
}
