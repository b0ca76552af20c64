//! The crash matrix: the operator is killed at every call that it makes, to the API server and to the gateway, before the call is carried
//! out and after it; a fresh operator over the same two worlds has to come to the same end.
//!
//! The operator is the real process and the API server a real one behind a proxy that stops at a chosen request; the gateway is the fake
//! one, which does the same. `matrix` says where it is killed, `team` what happens meanwhile, `snapshot` what is compared.

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

mod clean;
mod matrix;
mod runs;
mod site;
mod snapshot;
mod tap;
mod team;
mod world;
