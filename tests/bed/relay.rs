//! A relay on loopback between a client and a gateway: forwards every byte, reads along what the client asks.
//!
//! It counts connections and the methods of the requests as they are on the wire, which is the count that a gateway would
//! make. Connections can be cut and refused, or left open with nothing coming through.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
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

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    connections: usize,
    open: usize,
    methods: BTreeMap<String, usize>,
}

/// A relay. It runs on a thread of its own until it is dropped, so that it outlives the runtime of a single test.
#[derive(Debug)]
pub(crate) struct Relay {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    seen: Arc<Mutex<Seen>>,
}

impl Relay {
    /// Starts a relay to the gateway on `port` of loopback.
    pub(crate) fn start(port: u16) -> Result<Self> {
        let listener = std::net::TcpListener::bind(super::port::loopback(0))
            .context("binding the relay's port")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (mode, modes) = watch::channel(Mode::Forward);
        let seen = Arc::new(Mutex::new(Seen::default()));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let shared = Arc::clone(&seen);
        std::thread::Builder::new()
            .name(format!("relay-{}", address.port()))
            .spawn(move || {
                // The only error is a listener that the runtime does not take; clients then find nobody there.
                runtime.block_on(accept(listener, port, modes, shared)).ok();
            })?;
        Ok(Self {
            address,
            mode,
            seen,
        })
    }

    /// `ws://` URL for the client.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Requests so far by method, `connect` included.
    pub(crate) fn counts(&self) -> BTreeMap<String, usize> {
        self.seen().methods.clone()
    }

    /// Requests of one method so far.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.seen().methods.get(method).copied().unwrap_or_default()
    }

    /// Connections so far that were not refused.
    pub(crate) fn connections(&self) -> usize {
        self.seen().connections
    }

    /// Connections that are open now.
    pub(crate) fn open_connections(&self) -> usize {
        self.seen().open
    }

    /// Closes all connections, and new ones as soon as they come.
    pub(crate) fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    /// Leaves connections open and lets nothing through: what a client sees of a peer that vanished without a word.
    pub(crate) fn stall(&self) {
        self.mode.send_replace(Mode::Stall);
    }

    /// Forwards again. Bytes held back while stalled go through now.
    pub(crate) fn restore(&self) {
        self.mode.send_replace(Mode::Forward);
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(
    listener: std::net::TcpListener,
    port: u16,
    mut modes: watch::Receiver<Mode>,
    seen: Arc<Mutex<Seen>>,
) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let client = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => client,
                Err(_) => continue,
            },
            // The handle was dropped.
            () = dropped(&mut modes) => return Ok(()),
        };
        if *modes.borrow() == Mode::Cut {
            continue;
        }
        // A gateway that is down closes the client's connection as well.
        if let Ok(gateway) = TcpStream::connect(super::port::loopback(port)).await {
            tokio::spawn(relay(client, gateway, modes.clone(), Arc::clone(&seen)));
        }
    }
}

async fn dropped(modes: &mut watch::Receiver<Mode>) {
    while modes.changed().await.is_ok() {}
}

/// Relays one connection until either side or a cut ends it.
async fn relay(
    client: TcpStream,
    gateway: TcpStream,
    modes: watch::Receiver<Mode>,
    seen: Arc<Mutex<Seen>>,
) {
    client.set_nodelay(true).ok();
    gateway.set_nodelay(true).ok();
    {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.connections += 1;
        seen.open += 1;
    }
    let (from_client, to_client) = client.into_split();
    let (from_gateway, to_gateway) = gateway.into_split();
    let mut reader = RequestReader::default();
    let counted = Arc::clone(&seen);
    let upward = copy(from_client, to_gateway, modes.clone(), move |bytes| {
        for method in reader.read(bytes) {
            let mut seen = counted.lock().unwrap_or_else(PoisonError::into_inner);
            *seen.methods.entry(method).or_default() += 1;
        }
    });
    let downward = copy(from_gateway, to_client, modes.clone(), |_| {});
    let mut cut = modes;
    tokio::select! {
        () = upward => {}
        () = downward => {}
        _ = cut.wait_for(|mode| *mode == Mode::Cut) => {}
    }
    seen.lock().unwrap_or_else(PoisonError::into_inner).open -= 1;
}

/// Copies until the source ends or the target is gone; holds bytes back while stalled.
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
        if bytes.is_empty() || modes.wait_for(|mode| *mode != Mode::Stall).await.is_err() {
            return;
        }
        look(bytes);
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
