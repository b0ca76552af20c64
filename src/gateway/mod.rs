//! How we talk to OpenClaw: one multiplexed connection per gateway, typed calls, and the one writer of its config document.
//!
//! Reading order: [`endpoint`] and [`link`] (a connection and its state), `call` (what can be asked), [`difference`] (what to
//! write, pure), [`writer`] (who writes), [`pool`] (all of it by key). `frame`, `dial` and [`tls`] are the wire; [`device`] and
//! `pairing` are who we are to a gateway.
//!
//! No Kubernetes types here, and no text of the gateway's is matched outside `refusal`.

mod call;
pub mod config;
pub mod device;
mod dial;
pub mod difference;
pub mod endpoint;
pub mod error;
#[cfg(test)]
mod fake;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod hello;
pub mod journal;
pub mod link;
mod members;
mod models;
pub mod observed;
mod pairing;
pub mod pool;
mod refusal;
pub mod reply;
pub mod tls;
pub mod wish;
pub mod writer;

pub use config::{Config, Issue};
pub use device::Device;
pub use endpoint::{Credential, Endpoint, Pairing};
pub use error::{CallError, Class, LinkError, WriteError};
pub use hello::{Capabilities, Hello};
pub use journal::{Journal, JournalError, Topic};
pub use link::{GatewayEvent, Link, LinkState};
pub use observed::Observed;
pub use pool::{Pool, PoolEvent, PoolEventKind, PoolOptions};
pub use reply::{
    AgentRow, CronJob, Deletion, FileInfo, Listing, Model, Patched, Roster, Scratch, Sent, Session,
};
pub use tls::{CertificateProblem, TlsOptions, Trust};
pub use wish::{EntryWish, ForeignHeartbeats};
pub use writer::{Applied, Deleted, Released, Writer};
