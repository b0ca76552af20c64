//! The running operator on real parts: what a user applies, what the gateway holds then, and what the objects say about it.
//!
//! One operator, with the chart's rights, and two gateways serve all tests; each test has a namespace of its own. Tests that count,
//! restart or kill are in `alone`.

// Clippy takes only functions marked as tests for tests; here all functions are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../bed/mod.rs"]
mod bed;

mod adoption;
mod agent_api;
mod boards;
mod bootstrap;
mod calls;
mod credential;
mod drift;
mod ending;
mod foreign;
mod gateways;
mod input;
mod invalid;
mod life;
mod lifecycle;
mod marks;
mod moves;
mod orphans;
mod pausing;
mod remote;
mod roles;
mod samples;
mod secrets;
mod team;
mod templates;
mod tenancy;
mod tokens;
mod turns;
mod waking;
mod world;
