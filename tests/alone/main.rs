//! What can only be counted, restarted and killed by whoever has it to himself: each test here has a control plane, a gateway and
//! an operator of its own, and at the end the audit log of its plane shows no request that RBAC forbade.
//!
//! `world` starts and stops them; what a single object does on parts that others use too is in `tests/operator`.

// Clippy takes only functions marked as tests for tests; here all functions are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../bed/mod.rs"]
mod bed;

mod api_faults;
mod api_server;
mod command_line;
mod converged;
mod counts;
mod deletion;
mod edits;
mod foreign;
mod kill;
mod life;
mod manifest;
mod outage;
mod presence;
mod remote;
mod restart;
mod trials;
mod world;
