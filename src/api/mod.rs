//! What users write: the resources' types, their schema with CEL rules, conditions and reasons. No async, no I/O.
//!
//! One file per resource ([`gateway`], [`board`], [`agent`]), one per part that several of them share. Everything that can be
//! judged without looking at another object is judged by the schema, so that the API server refuses it with a message that
//! says what to write instead.

pub mod agent;
pub mod annotation;
pub mod board;
pub mod condition;
mod crd;
pub mod file;
pub mod gateway;
pub mod heartbeat;
pub mod identity;
pub mod owned;
pub mod owner;
pub mod reason;
pub mod reference;
mod rule;
mod schema;
pub mod session;
pub mod token;
pub mod user;
pub mod wake;

pub use agent::{Agent, AgentSpec, AgentStatus};
pub use board::{Board, BoardSpec, BoardStatus};
pub use crd::{CrdFile, crd_files, crds};
pub use gateway::{Gateway, GatewaySpec, GatewayStatus};

/// API group of every resource of this operator.
pub const GROUP: &str = "mission.openclaw.dev";

/// The one version that is served and stored.
pub const VERSION: &str = "v1alpha1";
