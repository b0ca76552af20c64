//! Mission Operator: `Gateway`, `Board` and `Agent` resources, reconciled against live OpenClaw gateways.
//!
//! The house has layers, and one word per resource in each:
//!
//! - [`api`]: what users write. Types, schema, CEL, conditions. No async, no I/O.
//! - [`plan`]: what should happen, as a pure function of what is desired and what was observed.
//! - [`gateway`]: how we talk to OpenClaw. No Kubernetes types.
//! - [`kube`]: how we talk to Kubernetes.
//! - [`controller`]: the shell: gather, plan, execute, status.
//! - [`server`]: HTTP for probes and metrics, and the API that agents call.
//! - [`presence`] and [`metrics`]: what server and controller share. [`unwind`]: panics, caught and told.
//!
//! Arrows: api <- plan <- controller -> gateway, kube, server; kube -> api; server -> api, plan. `gateway`, `kube` and `plan` do not know each
//! other. `tests/architecture.rs` holds the code to this.

pub mod api;
pub mod cli;
pub mod controller;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod gateway;
pub mod kube;
pub mod metrics;
pub mod plan;
pub mod presence;
pub mod server;
pub mod settings;
pub mod telemetry;
pub mod unwind;
