//! What can only be counted, restarted and killed by whoever has it to himself: each test here has a control plane, a gateway and
//! an operator of its own, and at the end the audit log of its plane shows no request that RBAC forbade.
//!
//! `world` starts and stops them; what a single object does on parts that others use too is in `tests/operator`.

#![allow(
    clippy::indexing_slicing,
    reason = "only JSON values are indexed, which answer null for what is not there"
)]

#[path = "../bed/mod.rs"]
mod bed;

mod converged;
mod counts;
mod manifest;
mod world;
