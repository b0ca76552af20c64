//! A proxy on loopback between a client and an API server: forwards every request, streams watches, and counts what is asked.
//!
//! It can be slow, refuse, cut watches and drop connections as an API server in trouble does, and stop everything at a chosen request,
//! before the server hears of it or after it was carried out. It shows the API server's own certificate.

mod call;
mod fault;
mod halt;
mod serve;

use std::{
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

#[allow(
    unused_imports,
    reason = "every test binary compiles this and uses a part"
)]
pub(crate) use self::{
    call::Call,
    fault::{Fault, Share},
    halt::{Moment, Point},
};
use self::{
    fault::Rules,
    halt::Gate,
    serve::{Server, Tls},
};
use super::plane::Plane;

/// One request, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// When.
    pub(crate) at: Instant,
    /// What for.
    pub(crate) call: Call,
    /// Method and path with its query: what a client sends again when it tries again.
    pub(crate) line: String,
    /// HTTP status of the answer; none while there is none.
    pub(crate) code: Option<u16>,
    /// The answer was the proxy's own, and the API server has not heard of it.
    pub(crate) refused: bool,
}

/// What the handle and all connections share.
#[derive(Debug)]
struct Shared {
    asked: Mutex<Vec<Asked>>,
    /// Requests so far, for whoever waits for one.
    count: watch::Sender<usize>,
    rules: Mutex<Rules>,
    delay: watch::Sender<Duration>,
    /// Counts up with each cut of all watches.
    cuts: watch::Sender<usize>,
    /// Counts up whenever all connections are dropped.
    drops: watch::Sender<usize>,
    gate: Gate,
}

impl Shared {
    fn asked(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A proxy. It runs on a thread of its own until it is dropped, so that it outlives the runtime of a single test.
#[derive(Debug)]
pub(crate) struct ApiProxy {
    address: SocketAddr,
    shared: std::sync::Arc<Shared>,
    _stop: DropGuard,
}

impl ApiProxy {
    /// Starts a proxy to the API server of `plane`.
    pub(crate) fn start(plane: &Plane) -> Result<Self> {
        let listener = std::net::TcpListener::bind(super::port::loopback(0))
            .context("binding the proxy's port")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = std::sync::Arc::new(Shared {
            asked: Mutex::default(),
            count: watch::Sender::new(0),
            rules: Mutex::default(),
            delay: watch::Sender::new(Duration::ZERO),
            cuts: watch::Sender::new(0),
            drops: watch::Sender::new(0),
            gate: Gate::default(),
        });
        let server = Server {
            tls: Tls::of(plane)?,
            upstream: super::port::loopback(plane.port()),
            shared: std::sync::Arc::clone(&shared),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        std::thread::Builder::new()
            .name(format!("api-proxy-{}", address.port()))
            .spawn(move || {
                // The only error is a listener that the runtime does not take; clients then find nobody there.
                runtime.block_on(stopped.run_until_cancelled(server.accept(listener)));
            })?;
        Ok(Self {
            address,
            shared,
            _stop: stop.drop_guard(),
        })
    }

    /// `https://` URL for a kubeconfig.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// All requests so far, in the order in which they came.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked().clone()
    }

    /// Number of requests so far.
    pub(crate) fn count(&self) -> usize {
        *self.shared.count.borrow()
    }

    /// Waits until the requests are as `fits` says.
    pub(crate) async fn until(&self, fits: impl Fn(&[Asked]) -> bool) {
        let mut count = self.shared.count.subscribe();
        // The sender is in this very handle.
        count.wait_for(|_| fits(&self.shared.asked())).await.ok();
    }

    /// Answers every request so much later, from now on.
    pub(crate) fn delay(&self, delay: Duration) {
        self.shared.delay.send_replace(delay);
    }

    /// Does `fault` to a share of the requests that `which` chooses, until [`heal`](Self::heal).
    pub(crate) fn inject(
        &self,
        which: impl Fn(&Call) -> bool + Send + 'static,
        share: Share,
        fault: Fault,
    ) {
        self.shared.rules().push(Box::new(which), share, fault);
    }

    /// No delay and no faults any more.
    pub(crate) fn heal(&self) {
        self.shared.delay.send_replace(Duration::ZERO);
        self.shared.rules().clear();
    }

    /// Ends all watches that run as a server does whose history does not reach back far enough: with an event ERROR of code 410.
    pub(crate) fn expire_watches(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Ends all connections without a word; new ones are welcome.
    pub(crate) fn drop_connections(&self) {
        self.shared.drops.send_modify(|drops| *drops += 1);
    }

    /// Stops everything at `point`: from then on no request and no answer passes before [`resume`](Self::resume).
    pub(crate) fn halt_at(&self, point: Point) {
        self.shared.gate.halt_at(point);
    }

    /// Stops everything now.
    pub(crate) fn halt(&self) {
        self.shared.gate.halt();
    }

    /// Waits until the point is reached that [`halt_at`](Self::halt_at) named.
    pub(crate) async fn halted(&self) {
        self.shared.gate.halted().await;
    }

    /// Lets everything pass again.
    pub(crate) fn resume(&self) {
        self.shared.gate.resume();
    }
}
