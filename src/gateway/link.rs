//! A cheap handle on the actor of one connection, and the connection's state as others see it.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{Hello, LinkError};

/// Where a connection stands.
#[derive(Clone, Debug)]
pub enum LinkState {
    /// Not up; being opened, again and again, with growing pauses.
    Connecting {
        /// Since when there is no connection.
        down_since: Instant,
        /// Why the last try failed.
        last: Option<Arc<LinkError>>,
    },
    /// Calls go through.
    Up(Arc<Hello>),
    /// The gateway refuses us; people must change something. Tried again after minutes.
    Refused {
        /// Since when there is no connection.
        down_since: Instant,
        /// What it said.
        error: Arc<LinkError>,
        /// When the next try is made.
        retry_at: Instant,
    },
    /// Closed by us; this link never comes up again.
    Closed,
}

/// Handle on one connection. Clones share it.
#[derive(Clone, Debug)]
pub struct Link {}

impl Link {
    /// The connection's state, and its changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<LinkState> {
        todo!()
    }
}
