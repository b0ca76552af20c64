//! Opens the byte stream under a WebSocket: TCP here, a pipe in tests. TLS goes over it.

use std::fmt::Debug;
use std::io;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Time for name resolution and the TCP handshake together.
const DIAL_DEADLINE: Duration = Duration::from_secs(10);

/// A connected byte stream.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// Opens byte streams to gateways.
pub(super) trait Dial: Send + Sync + Debug {
    /// Connects to `host:port`.
    fn dial<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>>;
}

/// Plain TCP.
#[derive(Debug)]
pub(super) struct Tcp;

impl Dial for Tcp {
    fn dial<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>> {
        Box::pin(async move {
            let stream = tokio::time::timeout(DIAL_DEADLINE, TcpStream::connect((host, port)))
                .await
                .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer within 10 s"))??;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn ByteStream>)
        })
    }
}
