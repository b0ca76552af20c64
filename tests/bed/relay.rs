//! A relay on loopback between a client and a gateway: forwards every byte, reads along what the client asks.
//!
//! It counts connections and the methods of the requests as they are on the wire, which is the count that a gateway would
//! make, and when they came. Connections can be cut and refused, or left open with nothing coming through, from a chosen request on
//! if need be. It can be the proxy behind which a gateway sees clients from elsewhere.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Instant,
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
};

use super::frames::RequestReader;

/// What the relay does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Forward,
    /// Everything is closed, new connections at once.
    Cut,
    /// Connections stay and accept bytes, and nothing arrives.
    Stall,
}

/// What the relay has seen so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// Connections that were not refused.
    pub(crate) connections: usize,
    /// Connections that are open now.
    pub(crate) open: usize,
    /// Connections that were closed as soon as they came, because of a cut.
    pub(crate) refused: usize,
    /// Requests by method, `connect` included.
    pub(crate) methods: BTreeMap<String, usize>,
    /// Bytes that clients sent, the WebSocket's own included.
    pub(crate) bytes_up: usize,
    /// Bytes that the gateway sent.
    pub(crate) bytes_down: usize,
}

/// One request on the wire.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// When it passed the relay.
    pub(crate) at: Instant,
    /// What was asked.
    pub(crate) method: String,
}

impl Seen {
    /// Requests of one method.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.methods.get(method).copied().unwrap_or_default()
    }
}

/// A relay. It runs on a thread of its own until it is dropped, so that it outlives the runtime of a single test.
#[derive(Debug)]
pub(crate) struct Relay {
    address: SocketAddr,
    mode: Arc<watch::Sender<Mode>>,
    seen: Arc<watch::Sender<Seen>>,
    /// The method whose next request is held back, and everything after it.
    hold_at: Arc<watch::Sender<Option<String>>>,
    timeline: Arc<Mutex<Vec<Asked>>>,
}

/// What a relayed connection needs.
#[derive(Debug, Clone)]
struct Shared {
    modes: watch::Receiver<Mode>,
    /// Weak, so that the relay ends when its handle is dropped.
    mode: Weak<watch::Sender<Mode>>,
    seen: Arc<watch::Sender<Seen>>,
    hold_at: Arc<watch::Sender<Option<String>>>,
    /// A line that goes into the head of each connection's first HTTP request.
    header: Option<Arc<str>>,
    timeline: Arc<Mutex<Vec<Asked>>>,
}

impl Relay {
    /// Starts a relay to the gateway on `port` of loopback.
    pub(crate) fn start(port: u16) -> Result<Self> {
        Self::forwarding(port, None)
    }

    /// Starts a relay that tells the gateway, as a proxy it trusts, that its clients come from `address`.
    pub(crate) fn start_for_clients_at(address: &str, port: u16) -> Result<Self> {
        Self::forwarding(port, Some(format!("X-Forwarded-For: {address}\r\n")))
    }

    fn forwarding(port: u16, header: Option<String>) -> Result<Self> {
        let listener = std::net::TcpListener::bind(super::port::loopback(0))
            .context("binding the relay's port")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (mode, modes) = watch::channel(Mode::Forward);
        let mode = Arc::new(mode);
        let seen = Arc::new(watch::Sender::new(Seen::default()));
        let hold_at = Arc::new(watch::Sender::new(None));
        let timeline = Arc::<Mutex<Vec<Asked>>>::default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let shared = Shared {
            modes,
            mode: Arc::downgrade(&mode),
            seen: Arc::clone(&seen),
            hold_at: Arc::clone(&hold_at),
            header: header.map(Arc::from),
            timeline: Arc::clone(&timeline),
        };
        std::thread::Builder::new()
            .name(format!("relay-{}", address.port()))
            .spawn(move || {
                // The only error is a listener that the runtime does not take; clients then find nobody there.
                runtime.block_on(accept(listener, port, shared)).ok();
            })?;
        Ok(Self {
            address,
            mode,
            seen,
            hold_at,
            timeline,
        })
    }

    /// `ws://` URL for the client.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// What was seen so far.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// All requests so far, in the order in which they came.
    pub(crate) fn timeline(&self) -> Vec<Asked> {
        self.timeline
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until what was seen is as `is_as_wanted` says.
    pub(crate) async fn until(&self, is_as_wanted: impl Fn(&Seen) -> bool) -> Seen {
        let mut seen = self.seen.subscribe();
        match seen.wait_for(|seen| is_as_wanted(seen)).await {
            Ok(seen) => seen.clone(),
            // The sender is in this very handle.
            Err(_) => std::future::pending().await,
        }
    }

    /// Requests so far by method, `connect` included.
    pub(crate) fn counts(&self) -> BTreeMap<String, usize> {
        self.seen().methods
    }

    /// Requests of one method so far.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.seen.borrow().count(method)
    }

    /// Connections so far that were not refused.
    pub(crate) fn connections(&self) -> usize {
        self.seen.borrow().connections
    }

    /// Connections that are open now.
    pub(crate) fn open_connections(&self) -> usize {
        self.seen.borrow().open
    }

    /// Closes all connections, and new ones as soon as they come.
    pub(crate) fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    /// Leaves connections open and lets nothing through: what a client sees of a peer that vanished without a word.
    pub(crate) fn stall(&self) {
        self.mode.send_replace(Mode::Stall);
    }

    /// Stalls when the next request of `method` comes: it is counted, and the gateway never hears of it before
    /// [`restore`](Self::restore).
    pub(crate) fn stall_at(&self, method: &str) {
        self.hold_at.send_replace(Some(method.to_owned()));
    }

    /// Waits until the request comes that [`stall_at`](Self::stall_at) waits for.
    pub(crate) async fn stalled(&self) {
        let mut modes = self.mode.subscribe();
        // The sender is in this very handle.
        modes.wait_for(|mode| *mode == Mode::Stall).await.ok();
    }

    /// Forwards again. Bytes held back while stalled go through now, unless a [`cut`](Self::cut) has thrown them away.
    pub(crate) fn restore(&self) {
        self.hold_at.send_replace(None);
        self.mode.send_replace(Mode::Forward);
    }
}

async fn accept(listener: std::net::TcpListener, port: u16, mut shared: Shared) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let client = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => client,
                Err(_) => continue,
            },
            // The handle was dropped.
            () = dropped(&mut shared.modes) => return Ok(()),
        };
        if *shared.modes.borrow() == Mode::Cut {
            shared.seen.send_modify(|seen| seen.refused += 1);
            continue;
        }
        // A gateway that is down closes the client's connection as well.
        if let Ok(gateway) = TcpStream::connect(super::port::loopback(port)).await {
            tokio::spawn(relay(client, gateway, shared.clone()));
        }
    }
}

async fn dropped(modes: &mut watch::Receiver<Mode>) {
    while modes.changed().await.is_ok() {}
}

/// Relays one connection until either side or a cut ends it.
async fn relay(client: TcpStream, gateway: TcpStream, shared: Shared) {
    client.set_nodelay(true).ok();
    gateway.set_nodelay(true).ok();
    let seen = Arc::clone(&shared.seen);
    seen.send_modify(|seen| {
        seen.connections += 1;
        seen.open += 1;
    });
    let (mut from_client, to_client) = client.into_split();
    let (from_gateway, mut to_gateway) = gateway.into_split();
    if let Some(header) = &shared.header
        && forward_request_line(&mut from_client, &mut to_gateway, header)
            .await
            .is_err()
    {
        seen.send_modify(|seen| seen.open -= 1);
        return;
    }
    let mut cut = shared.modes.clone();
    let downward = copy(from_gateway, to_client, shared.modes.clone(), |bytes| {
        seen.send_modify(|seen| seen.bytes_down += bytes.len());
    });
    let mut reader = RequestReader::default();
    let modes = shared.modes.clone();
    let upward = copy(from_client, to_gateway, modes, move |bytes| {
        shared.seen.send_modify(|seen| seen.bytes_up += bytes.len());
        for method in reader.read(bytes) {
            shared.notice(method);
        }
    });
    tokio::select! {
        () = upward => {}
        () = downward => {}
        _ = cut.wait_for(|mode| *mode == Mode::Cut) => {}
    }
    seen.send_modify(|seen| seen.open -= 1);
}

/// Forwards the first line of an HTTP request, and `header` after it.
async fn forward_request_line(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    header: &str,
) -> std::io::Result<()> {
    loop {
        let byte = from.read_u8().await?;
        to.write_u8(byte).await?;
        if byte == b'\n' {
            return to.write_all(header.as_bytes()).await;
        }
    }
}

impl Shared {
    /// Counts a request, and stalls if it is the one that is waited for.
    fn notice(&self, method: String) {
        let is_awaited = |hold_at: &Option<String>| hold_at.as_ref() == Some(&method);
        let held = self.hold_at.send_if_modified(|hold_at| {
            let held = is_awaited(hold_at);
            if held {
                *hold_at = None;
            }
            held
        });
        if let (true, Some(mode)) = (held, self.mode.upgrade()) {
            mode.send_replace(Mode::Stall);
        }
        self.timeline
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Asked {
                at: Instant::now(),
                method: method.clone(),
            });
        self.seen
            .send_modify(|seen| *seen.methods.entry(method).or_default() += 1);
    }
}

/// Copies until the source ends or the target is gone; holds bytes back while stalled, throws them away when cut.
async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut modes: watch::Receiver<Mode>,
    mut look: impl FnMut(&[u8]),
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let Ok(length) = from.read(&mut buffer).await else {
            return;
        };
        let bytes = buffer.get(..length).unwrap_or_default();
        if bytes.is_empty() || !may_pass(&mut modes).await {
            return;
        }
        look(bytes);
        // What was just seen may be what everything stops at.
        if !may_pass(&mut modes).await || to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

/// Waits while stalled; false after a cut.
async fn may_pass(modes: &mut watch::Receiver<Mode>) -> bool {
    modes
        .wait_for(|mode| *mode != Mode::Stall)
        .await
        .is_ok_and(|mode| *mode == Mode::Forward)
}
