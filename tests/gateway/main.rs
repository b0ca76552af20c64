//! The gateway client and the config writer against real OpenClaw gateways, without Kubernetes.
//!
//! One gateway is shared by the tests that mind only their own agents (`shared`); tests that count, restart, or look at what others
//! have on a gateway use one of their own (`own`), one after the other.

#[path = "../bed/mod.rs"]
mod bed;

mod calls;
mod connect;
mod counted;
mod heartbeats;
mod implicit;
mod restart;
mod wishes;
mod world;
