//! The gateway client and the config writer against real OpenClaw gateways, without Kubernetes.
//!
//! One gateway is shared by the tests that mind only their own agents (`shared`); tests that count, restart, or look at what others
//! have on a gateway use one of their own (`own`), one after the other.

// Clippy takes only functions marked as tests for tests; here all functions are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../bed/mod.rs"]
mod bed;

mod beaten;
mod broken_config;
mod calls;
mod comeback;
mod connect;
mod counted;
mod heartbeats;
mod implicit;
mod remote;
mod restart;
mod sessions;
mod tls;
mod wishes;
mod world;
