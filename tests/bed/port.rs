//! Free ports on loopback.
//!
//! A number is taken by binding port 0 and letting go. Another process can take it before ours binds it, so whoever
//! starts a server on such a port starts it again on another one when it says that the address is in use.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context, Result};

/// Starts of a server that found its port taken before it is called a failure.
pub(crate) const ATTEMPTS: usize = 5;

/// A port of 127.0.0.1 that was free a moment ago.
pub(crate) fn free() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("taking a free port")?;
    Ok(listener.local_addr()?.port())
}

/// Whether `port` of 127.0.0.1 is free now.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The loopback address of `port`.
pub(crate) fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Whether a server's last words tell that its port was taken.
pub(crate) fn was_taken(log: &str) -> bool {
    [
        "address already in use",
        "EADDRINUSE",
        "Address already in use",
        "already listening",
    ]
    .iter()
    .any(|words| log.contains(words))
}
