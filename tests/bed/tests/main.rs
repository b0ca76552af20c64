//! The bed's own tests. They are here and not beside the code, because every test binary compiles that code.

#![allow(
    clippy::indexing_slicing,
    reason = "only JSON values and maps of counts are indexed"
)]

#[path = "../mod.rs"]
mod bed;

mod audit;
mod chart;
mod disclosure;
mod failures;
mod frames;
mod gateway;
mod plane;
mod process;
mod provider;
mod tools;
