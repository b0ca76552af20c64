//! How we talk to OpenClaw: one multiplexed connection per gateway, typed calls, and the one writer of its config document.
//!
//! Reading order: [`endpoint`] and [`link`] (a connection and its state), `call` (what can be asked), [`difference`] (what to
//! write, pure), [`writer`] (who writes), [`pool`] (all of it by key). `frame` and `dial` are the wire.
//!
//! No Kubernetes types here, and no text of the gateway's is matched outside `refusal`.

mod call;
pub mod config;
mod dial;
pub mod difference;
pub mod endpoint;
pub mod error;
#[cfg(test)]
mod fake;
mod frame;
pub mod hello;
pub mod journal;
pub mod link;
mod members;
mod models;
pub mod observed;
pub mod pool;
mod refusal;
pub mod reply;
pub mod wish;
pub mod writer;

pub use config::{Config, Issue};
pub use endpoint::{Credential, Endpoint};
pub use error::{CallError, Class, LinkError, WriteError};
pub use hello::{Capabilities, Hello};
pub use journal::{Journal, JournalError};
pub use link::{GatewayEvent, Link, LinkState};
pub use observed::Observed;
pub use pool::{Pool, PoolEvent, PoolEventKind, PoolOptions};
pub use reply::{AgentRow, CronJob, Deletion, FileInfo, Listing, Model, Patched, Roster, Scratch};
pub use wish::{EntryWish, ForeignHeartbeats};
pub use writer::{Applied, Deleted, Released, Writer};
