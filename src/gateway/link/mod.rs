//! One connection to one gateway: a cheap handle here, the actor that owns the socket behind it.
//!
//! `actor` keeps the connection, `open` makes one, `session` holds who waits for an answer, `liveness` and `backoff` decide
//! about time, `handshake` and `closing` read what the gateway says of itself, `agent_event` what it says of its agents. Typed calls are in
//! `call`.

mod actor;
mod agent_event;
mod backoff;
mod closing;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod handshake;
mod liveness;
mod open;
mod session;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

pub(super) use self::open::open_stream;
use self::session::Request;
use super::dial::{Dial, Tcp};
use super::{CallError, Endpoint, Hello, LinkError};

/// Calls of one link that the gateway works on at once. Its own queue holds 256 for all its clients.
const IN_FLIGHT: usize = 32;
/// Largest request. The gateway would take 25 MiB; ours are far smaller, and the socket's buffer is bounded.
const LARGEST_REQUEST: usize = open::WRITE_BUFFER - (1 << 20);
/// Events kept for a slow reader; who misses some is told so and looks again.
const EVENTS_KEPT: usize = 64;

/// Where a connection stands.
#[derive(Clone, Debug)]
pub enum LinkState {
    /// Not up; being opened, again and again, with growing pauses.
    Connecting {
        /// Since when there is no connection.
        down_since: Instant,
        /// Why the last try failed, or why the last connection ended.
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

impl LinkState {
    /// The hello of the connection, while it is up.
    #[must_use]
    pub fn hello(&self) -> Option<&Arc<Hello>> {
        match self {
            Self::Up(hello) => Some(hello),
            _ => None,
        }
    }
}

/// What the gateway tells without being asked, as far as it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayEvent {
    /// The config document changed, and the running gateway has applied it. Several changes may come as one.
    ConfigChanged,
    /// A heartbeat or another turn of this agent ended well.
    Alive(Arc<str>),
    /// The heartbeat of this agent has its monitor, which holds its checklist.
    MonitorMade(Arc<str>),
}

/// Handle on one connection. Clones share it; when the last one goes, the connection is closed.
#[derive(Clone, Debug)]
pub struct Link {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    requests: mpsc::Sender<Request>,
    slots: Arc<Semaphore>,
    state: watch::Receiver<LinkState>,
    events: broadcast::Sender<GatewayEvent>,
    closed: CancellationToken,
    _close_on_drop: DropGuard,
}

impl Link {
    /// Starts a connection to `endpoint` as a task of the current tokio runtime.
    #[must_use]
    pub fn open(endpoint: Endpoint) -> Self {
        Self::open_with(endpoint, Arc::new(Tcp))
    }

    pub(super) fn open_with(endpoint: Endpoint, dial: Arc<dyn Dial>) -> Self {
        let (requests, inbox) = mpsc::channel(IN_FLIGHT);
        let (publish, state) = watch::channel(LinkState::Connecting {
            down_since: Instant::now(),
            last: None,
        });
        let (events, _) = broadcast::channel(EVENTS_KEPT);
        let closed = CancellationToken::new();
        tokio::spawn(
            actor::Actor::new(
                endpoint,
                dial,
                inbox,
                publish,
                events.clone(),
                closed.clone(),
            )
            .run(),
        );
        Self {
            shared: Arc::new(Shared {
                requests,
                slots: Arc::new(Semaphore::new(IN_FLIGHT)),
                state,
                events,
                _close_on_drop: closed.clone().drop_guard(),
                closed,
            }),
        }
    }

    /// Its task is over: it was closed, or has panicked.
    pub(super) fn has_ended(&self) -> bool {
        self.shared.requests.is_closed()
    }

    /// The connection's state, and its changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.shared.state.clone()
    }

    /// The hello of the connection, while it is up.
    #[must_use]
    pub fn hello(&self) -> Option<Arc<Hello>> {
        self.shared.state.borrow().hello().cloned()
    }

    /// What the gateway tells from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<GatewayEvent> {
        self.shared.events.subscribe()
    }

    /// Closes the connection for good. Calls in flight end with `Disconnected`.
    pub fn close(&self) {
        self.shared.closed.cancel();
    }

    /// One call: waits for a free slot, sends, and reads the answer, all within `allowed`.
    pub(super) async fn call<P: Serialize, R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &P,
        allowed: Duration,
    ) -> Result<R, CallError> {
        let unreadable = |source: serde_json::Error| CallError::Unreadable {
            method,
            source: Arc::new(source),
        };
        let params = serde_json::value::to_raw_value(params).map_err(unreadable)?;
        if params.get().len() > LARGEST_REQUEST {
            return Err(CallError::Rejected {
                message: format!("{method}: more than {LARGEST_REQUEST} bytes in one request"),
                issues: Vec::new(),
            });
        }
        if self.hello().is_none() {
            return Err(CallError::Disconnected { sent: false });
        }
        let started = Instant::now();
        let slot = timeout_at(
            started + allowed,
            Arc::clone(&self.shared.slots).acquire_owned(),
        )
        .await;
        let Ok(Ok(permit)) = slot else {
            return Err(CallError::Unavailable {
                message: format!("it has not answered {IN_FLIGHT} earlier calls yet"),
                retry_after: None,
            });
        };
        let (reply, answer) = oneshot::channel();
        let request = Request {
            method,
            params,
            started,
            allowed,
            permit,
            reply,
        };
        if self.shared.requests.send(request).await.is_err() {
            return Err(CallError::Disconnected { sent: false });
        }
        // The actor answers every request that it took, also when the time is over. Only its own end is seen as an error here.
        let payload = answer
            .await
            .unwrap_or(Err(CallError::Disconnected { sent: true }))?;
        serde_json::from_str(payload.get()).map_err(unreadable)
    }
}
