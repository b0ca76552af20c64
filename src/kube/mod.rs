//! How we talk to Kubernetes: clients, watches, pruned caches with their index, status and finalizer patches, events, Secrets that
//! objects own.
//!
//! No decision about an Agent, a Board or a Gateway is made here, and nothing here knows OpenClaw.

pub mod apply;
pub mod cache;
pub mod client;
pub mod events;
pub mod index;
pub mod latest;
pub mod secret;
pub mod watch;
