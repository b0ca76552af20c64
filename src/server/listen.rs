//! Serving a router on a port, so that no peer can hold it up: heads are small and come in time, connections are bounded in all and for each
//! peer, and the end is bounded too.
//!
//! `axum::serve` has none of these. What a router answers within is its own to bound.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    serve::Listener,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::share::Shares;

/// Bytes of the head of a request, which are kept before anything is known of the peer. The default would be 408 KiB a connection.
const HEAD: usize = 16 * 1024;

/// What peers may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How long the head of a request may take to come, and how long a connection may be idle.
    pub head: Duration,
    /// How long a connection may be used. A peer that does not read its answers is rid of by it.
    pub connection: Duration,
    /// Connections at once. More wait until one ends.
    pub connections: usize,
    /// Connections at once of one address, or of one network of IPv6. More are closed at once, so that others have a place.
    pub of_one_peer: usize,
    /// How long requests may take to end once it is stopped. What is under way then is cut off.
    pub end: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            connection: Duration::from_mins(10),
            connections: 1024,
            // All agents of a gateway share an address, and call for milliseconds each.
            of_one_peer: 256,
            // As long as reconciles have, which end at the same time.
            end: Duration::from_secs(10),
        }
    }
}

/// Serves `router` until `stop`, and then until the requests that were begun are answered, or the time for that is over. Each request carries
/// the address of its peer as [`ConnectInfo`].
pub async fn serve(
    mut listener: TcpListener,
    router: Router,
    bounds: Bounds,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(bounds.connections));
    let shares = Shares::default();
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            // Nobody closes the semaphore.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (place, Listener::accept(&mut listener).await)
        };
        let (place, (stream, peer)) = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accepted => accepted,
        };
        let Some(share) = shares.take(peer.ip(), bounds.of_one_peer) else {
            tracing::debug!(%peer, "a connection is closed: its peer has as many as it may");
            continue;
        };
        let (router, stop) = (router.clone(), stop.clone());
        connections.spawn(async move {
            let _held = (place, share);
            connection(stream, peer, router, bounds, &stop).await;
        });
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(bounds.end, all).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            seconds = bounds.end.as_secs_f64(),
            "requests were not answered, or not sent to the end, in the time that there is when the program ends; they are cut off"
        );
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    bounds: Bounds,
    stop: &CancellationToken,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stop.cancelled() => None,
        () = tokio::time::sleep(bounds.connection) => None,
    };
    if ended.is_none() {
        connection.as_mut().graceful_shutdown();
        ended = tokio::time::timeout(bounds.end, connection).await.ok();
    }
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(%error, "a connection ended early"),
        None => tracing::debug!("a connection did not end in time, and is cut off"),
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpSocket,
        task::JoinHandle,
        time::Instant,
    };

    use super::*;

    /// Far longer than anything here takes, and far shorter than a test may.
    const LONG: Duration = Duration::from_mins(1);
    const SHORT: Duration = Duration::from_millis(200);

    fn bounds() -> Bounds {
        Bounds {
            head: LONG,
            connection: LONG,
            connections: 8,
            of_one_peer: 8,
            end: LONG,
        }
    }

    struct Served {
        address: SocketAddr,
        stop: CancellationToken,
        ended: JoinHandle<()>,
    }

    impl Served {
        async fn with(bounds: Bounds) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let router = Router::new()
                .route(
                    "/",
                    get(async |peer: ConnectInfo<SocketAddr>| peer.ip().to_string()),
                )
                .route("/never", get(std::future::pending::<()>));
            let stop = CancellationToken::new();
            let ended = tokio::spawn(serve(listener, router, bounds, stop.clone()));
            Self {
                address,
                stop,
                ended,
            }
        }

        async fn send(&self, text: &str) -> TcpStream {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
            stream
        }

        /// Stops it; how long the end took.
        async fn end(self) -> Duration {
            let began = Instant::now();
            self.stop.cancel();
            self.ended.await.unwrap();
            began.elapsed()
        }
    }

    /// All that comes until the other end closes.
    async fn rest(mut stream: TcpStream) -> String {
        let mut text = String::new();
        let read = stream.read_to_string(&mut text);
        match tokio::time::timeout(LONG, read).await.unwrap() {
            Ok(_) => text,
            // Cut off.
            Err(error) => format!("{text}{error}"),
        }
    }

    const WHOLE: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    const HALF: &str = "GET / HTTP/1.1\r\nHost:";

    #[tokio::test]
    async fn a_request_is_answered_and_knows_its_peer() {
        let served = Served::with(bounds()).await;
        let told = rest(served.send(WHOLE).await).await;
        assert!(
            told.starts_with("HTTP/1.1 200") && told.ends_with("127.0.0.1"),
            "{told}"
        );
        assert!(served.end().await < LONG / 2);
    }

    #[tokio::test]
    async fn half_a_request_holds_up_the_end_no_longer_than_it_may() {
        for text in [HALF, "GET /never HTTP/1.1\r\nHost: x\r\n\r\n"] {
            let served = Served::with(Bounds {
                end: SHORT,
                ..bounds()
            })
            .await;
            let half = served.send(text).await;
            // Answered, so the one before it was accepted.
            rest(served.send(WHOLE).await).await;
            let took = served.end().await;
            assert!(took < LONG / 2, "{text:?} {took:?}");
            drop(half);
        }
    }

    #[tokio::test]
    async fn a_head_that_does_not_come_ends_its_connection() {
        let served = Served::with(Bounds {
            head: SHORT,
            ..bounds()
        })
        .await;
        for text in ["", HALF, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"] {
            // The last is answered, and then idle.
            let told = rest(served.send(text).await).await;
            assert_eq!(
                told.contains("200 OK"),
                text.ends_with("\r\n\r\n"),
                "{told}"
            );
        }
    }

    #[tokio::test]
    async fn more_connections_than_there_may_be_wait_for_one_to_end() {
        let served = Served::with(Bounds {
            connections: 1,
            ..bounds()
        })
        .await;
        let first = served.send(HALF).await;
        let mut second = served.send(WHOLE).await;
        let mut byte = [0];
        let early = tokio::time::timeout(SHORT, second.read(&mut byte)).await;
        assert!(early.is_err(), "it was served beside the first");
        drop(first);
        assert!(rest(second).await.contains("200 OK"));
    }

    #[tokio::test]
    async fn a_peer_with_as_many_connections_as_it_may_have_leaves_places_to_others() {
        let served = Served::with(Bounds {
            of_one_peer: 1,
            ..bounds()
        })
        .await;
        let first = served.send(HALF).await;
        let refused = TcpStream::connect(served.address).await.unwrap();
        assert_eq!(rest(refused).await, "");
        // Another address of loopback.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut other = socket.connect(served.address).await.unwrap();
        other.write_all(WHOLE.as_bytes()).await.unwrap();
        assert!(rest(other).await.ends_with("127.0.0.2"));
        drop(first);
    }

    #[tokio::test]
    async fn a_head_that_is_too_large_is_not_kept() {
        let served = Served::with(bounds()).await;
        let fits = format!(
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: {}\r\n\r\n",
            "x".repeat(HEAD / 2)
        );
        assert!(rest(served.send(&fits).await).await.contains("200 OK"));
        let endless = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(HEAD + 4096));
        let ended = rest(served.send(&endless).await);
        // Long before the time that it has to come.
        let ended = tokio::time::timeout(LONG / 2, ended).await;
        assert!(ended.is_ok(), "more of a head is waited for");
    }

    #[tokio::test]
    async fn a_connection_is_used_no_longer_than_it_may() {
        let bounds = Bounds {
            connection: SHORT,
            end: SHORT,
            ..bounds()
        };
        let served = Served::with(bounds).await;
        rest(served.send("GET /never HTTP/1.1\r\nHost: x\r\n\r\n").await).await;
    }
}
