//! A gateway of our own for faults and for numbers: the protocol as OpenClaw 2026.9.6 speaks it, as far as the operator uses it.
//!
//! Each fake is a WebSocket server on loopback; all of them share one thread, and their state is in memory, so that one process
//! carries a hundred of them with a hundred agents each. What a fake promises is held against a real gateway by `tests/contract`:
//! nothing may be built in here that is not compared there. It shares no code with the operator's client.
//!
//! `server` and `connection` move frames, `handshake` and `device` decide who may do what, `state` answers requests with the help of
//! `document`, `schema`, `roster`, `files`, `sessions` and `cron`; `fault` is what a test does to it, and `seen` what a test sees of it.

#![allow(
    dead_code,
    unused_imports,
    reason = "every test binary compiles these modules and uses a part"
)]
#![allow(
    clippy::indexing_slicing,
    reason = "only JSON values are indexed, which answer null for what is not there"
)]

mod connection;
mod cron;
mod device;
mod document;
mod fault;
mod files;
mod handshake;
mod options;
mod params;
mod refusal;
mod roster;
mod schema;
mod seen;
mod server;
mod sessions;
mod state;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::AbortHandle;

pub(crate) use self::fault::{Fault, Traffic};
pub(crate) use self::options::{FakeOptions, default_document};
pub(crate) use self::refusal::{hash_conflict, rate_limited, starting};
use self::seen::Hook;
pub(crate) use self::seen::{Call, Moment, Seen, Verdict};
use self::server::{Connections, Door};
pub(crate) use self::sessions::SessionSeen;
use self::state::State;

/// The thread of all fakes: it outlives the runtime of a single test.
static RUNTIME: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("fake-gateways")
        .enable_all()
        .build()
});

/// A running fake gateway; it ends when the handle is dropped.
#[derive(Debug)]
pub(crate) struct Fake {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: AbortHandle,
}

/// What the handle, the acceptor and all connections share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    connections: Connections,
    traffic: watch::Sender<Traffic>,
    door: watch::Sender<Door>,
    seen: watch::Sender<Seen>,
    hook: Hook,
    /// How often held requests were released; none when the fake is gone.
    released: watch::Sender<Option<u64>>,
    /// The revision of the document that the running gateway goes by.
    applied: watch::Sender<u64>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fake {
    /// Starts a fake on a free port of loopback.
    pub(crate) fn start(options: FakeOptions) -> io::Result<Self> {
        let runtime = RUNTIME
            .as_ref()
            .map_err(|error| io::Error::other(error.to_string()))?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(options)),
            connections: Connections::default(),
            traffic: watch::Sender::new(Traffic::Open),
            door: watch::Sender::default(),
            seen: watch::Sender::default(),
            hook: Hook::default(),
            released: watch::Sender::new(Some(0)),
            applied: watch::Sender::new(0),
        });
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let acceptor = runtime.spawn(server::accept(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            acceptor: acceptor.abort_handle(),
        })
    }

    /// `ws://` URL.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The shared token.
    pub(crate) fn token(&self) -> String {
        self.shared.state().options.token.clone()
    }

    /// Where it says that its state is: a path that nothing is ever written to.
    pub(crate) fn state_dir(&self) -> String {
        self.shared.state().home.clone()
    }

    /// What was seen so far.
    pub(crate) fn seen(&self) -> Seen {
        self.shared.seen.borrow().clone()
    }

    /// Waits until what was seen is as `fits` says.
    pub(crate) async fn until(&self, fits: impl Fn(&Seen) -> bool) -> Seen {
        let mut seen = self.shared.seen.subscribe();
        match seen.wait_for(|seen| fits(seen)).await {
            Ok(seen) => seen.clone(),
            // The sender is in this very handle.
            Err(_) => std::future::pending().await,
        }
    }

    /// The config document.
    pub(crate) fn document(&self) -> Value {
        self.shared.state().document.parsed().clone()
    }

    /// The text of a workspace file of an agent of the running gateway.
    pub(crate) fn file(&self, agent_id: &str, name: &str) -> Option<String> {
        self.shared.state().file(agent_id, name)
    }

    /// The texts of all workspace files by path, also of workspaces that no agent has any more.
    pub(crate) fn files(&self) -> BTreeMap<String, String> {
        self.shared.state().all_files()
    }

    /// The heartbeat instructions of every agent that has a heartbeat's job.
    pub(crate) fn scratches(&self) -> BTreeMap<String, Option<String>> {
        self.shared.state().scratches()
    }

    /// What was said in every session, and how often it was reset, by key.
    pub(crate) fn sessions(&self) -> BTreeMap<String, SessionSeen> {
        self.shared.state().all_sessions()
    }

    /// Somebody edits the config file by hand; the gateway applies it after its lag.
    pub(crate) fn edit(&self, edit: impl FnOnce(&mut Value)) {
        let revision = {
            let mut state = self.shared.state();
            state.document.edit(edit);
            state.changed()
        };
        self.on_its_thread(|shared| server::apply_later(shared, revision));
    }

    /// Somebody writes a workspace file by hand.
    pub(crate) fn write_file(&self, agent_id: &str, name: &str, content: &str) {
        self.shared.state().put_file(agent_id, name, content);
    }

    /// The next request of `method` that has no other fault before it meets this one.
    pub(crate) fn fault(&self, method: &str, fault: Fault) {
        self.shared.state().faults.push(method, fault);
    }

    /// Whether all faults have been met.
    pub(crate) fn all_met(&self) -> bool {
        self.shared.state().faults.is_empty()
    }

    /// From now on `judge` is told of every request, before anything is done and again before the answer is sent, and says what becomes of
    /// it. It takes the place of the one before. It is called on the one thread of all fakes, so it must not wait.
    pub(crate) fn on_call(&self, judge: impl Fn(&Call) -> Verdict + Send + Sync + 'static) {
        self.shared.hook.set(Some(Arc::new(judge)));
    }

    /// Nobody is told of requests any more. What is held stays held.
    pub(crate) fn off_call(&self) {
        self.shared.hook.set(None);
    }

    /// Lets all requests go on that are held, also those whose client is gone: they were sent.
    pub(crate) fn release(&self) {
        self.shared
            .released
            .send_modify(|times| *times = times.map(|times| times + 1));
    }

    /// How connections are treated from now on.
    pub(crate) fn traffic(&self, traffic: Traffic) {
        self.shared.traffic.send_replace(traffic);
    }

    /// Ends all connections without a word; new ones are welcome.
    pub(crate) fn drop_connections(&self) {
        self.shared.connections.drop_all();
    }

    /// Changes how long the running gateway lags behind its document.
    pub(crate) fn set_lag(&self, lag: Duration) {
        self.shared.state().options.lag = lag;
    }

    /// Restarts as the real one does in its process: farewell, close 1012, and after `downtime` another `bootId`. Meanwhile nobody listens,
    /// then there is HTTP 503, then `connect` is answered that it is starting.
    pub(crate) fn restart(&self, downtime: Duration) {
        self.on_its_thread(|shared| server::restart(shared, downtime));
    }

    fn on_its_thread(&self, act: impl FnOnce(&Arc<Shared>)) {
        if let Ok(runtime) = RUNTIME.as_ref() {
            let _entered = runtime.enter();
            act(&self.shared);
        }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.acceptor.abort();
        self.shared.released.send_replace(None);
        self.shared.connections.drop_all();
    }
}
