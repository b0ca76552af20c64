//! The fake gateway keeps what it promises: the same requests to it and to a real OpenClaw gateway, and the same answers, as far as
//! the operator or a test reads them. A fake that drifts fails here.
//!
//! `scenarios` asks, `wire` talks, `reduce` leaves out what must differ (ids, hashes, times, paths) and what nobody reads. `faults` tries
//! what only a fake can be made to do.

// Clippy takes only functions marked as tests for tests; here all functions are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../bed/mod.rs"]
mod bed;
#[path = "../fake/mod.rs"]
mod fake;

mod faults;
mod reduce;
mod scenarios;
mod wire;

use std::time::Duration;

use rustix::process::Signal;

use crate::bed::Bed;
use crate::bed::gateway::GatewayOptions;
use crate::fake::{Fake, FakeOptions};
use crate::wire::Subject;

/// Longer than all scenarios take on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(5);

#[test]
fn the_fake_gateway_answers_as_the_real_one_does() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let played = tokio::time::timeout(PATIENCE, async {
            let fake = Fake::start(FakeOptions {
                // Long enough to ask of a turn while it is under way.
                turn: Duration::from_millis(500),
                ..FakeOptions::default()
            })
            .unwrap();
            let of_fake = scenarios::play(
                Subject {
                    url: fake.url(),
                    token: fake.token(),
                    state_dir: fake.state_dir(),
                },
                async || fake.restart(Duration::from_millis(1500)),
            )
            .await;
            let options = GatewayOptions::new("contract");
            let gateway = Bed::from_env().gateway(options).await.unwrap();
            let of_real = scenarios::play(
                Subject {
                    url: gateway.url(),
                    token: gateway.secret().to_owned(),
                    state_dir: gateway.state_dir().display().to_string(),
                },
                async || {
                    let process = gateway.process().unwrap();
                    process.signal(Signal::USR2).unwrap();
                },
            )
            .await;
            gateway.stop().await.unwrap();
            (of_fake, of_real)
        });
        let (fake, real) = played.await.expect("the scenarios hang");
        assert!(!real.is_empty());
        assert_eq!(fake.len(), real.len());
        let differences: Vec<String> = fake
            .iter()
            .zip(&real)
            .filter(|(fake, real)| fake != real)
            .map(|((step, fake), (_, real))| format!("{step}\n  fake: {fake}\n  real: {real}"))
            .collect();
        assert!(
            differences.is_empty(),
            "{} of {} steps differ:\n{}",
            differences.len(),
            real.len(),
            differences.join("\n")
        );
    });
}
