//! The calls over a real socket, as they are served: what only a connection shows.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::server::listen::{self, Bounds};

/// Sends a text on a connection of its own; the status and the problem that are answered before the other end closes.
async fn sent(address: SocketAddr, text: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).await.unwrap();
    let (head, body) = told.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let kind = if status < 400 { "json" } else { "problem+json" };
    assert!(
        head.contains(&format!("content-type: application/{kind}")),
        "{head}"
    );
    assert!(head.contains("x-request-id: "), "{head}");
    assert_eq!(head.contains("retry-after: "), status == 429, "{head}");
    (status, serde_json::from_str(body).unwrap())
}

fn call(line: &str, who: &str, length: usize, body: &str) -> String {
    let (method, path) = line.split_once(' ').unwrap();
    format!(
        "{method} {ROOT}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Agent-Token: {}\r\nContent-Length: {length}\r\n\r\n{body}",
        token(who)
    )
}

#[tokio::test]
async fn what_is_too_large_too_late_wrong_or_too_often_is_a_problem_on_the_wire_too() {
    let world = World::with(Limits {
        agent: Rate::new(1, 4),
        patience: Duration::from_millis(100),
        ..Limits::default()
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let served = listen::serve(
        listener,
        world.router.clone(),
        Bounds::default(),
        stop.clone(),
    );
    let served = tokio::spawn(served);
    let large = " ".repeat(160 * 1024 + 1);
    // No more comes than is read: a connection that is closed before would take the answer with it.
    let chunks = format!(
        "POST {ROOT}/heartbeat HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Agent-Token: {}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}",
        token("helper"),
        large.len() + 1000
    );
    for (text, status, slug) in [
        (call(HEARTBEAT, "analyst", 2, "{}"), 200, ""),
        (call(HEARTBEAT, "analyst", 4, "[{}]"), 422, "invalid-field"),
        // The rest does not come.
        (call(HEARTBEAT, "analyst", 9, "{"), 408, "slow"),
        // Told before any of it comes.
        (
            call(HEARTBEAT, "analyst", large.len(), ""),
            413,
            "too-large",
        ),
        (
            call(HEARTBEAT, "analyst", 2, "{}"),
            429,
            "too-many-requests",
        ),
        (chunks, 413, "too-large"),
        (call(ME, "nobody", 0, ""), 401, "unauthenticated"),
        (
            call("GET /agents/%FF", "nobody", 0, ""),
            405,
            "no-such-method",
        ),
    ] {
        let (code, told) = sent(address, &text).await;
        let head = text.split("\r\n\r\n").next().unwrap();
        assert_eq!(code, status, "{head} {told}");
        if status >= 400 {
            assert_eq!(told["type"], format!("urn:mission-operator:problem:{slug}"));
            assert_eq!(told["status"], status);
        }
    }
    stop.cancel();
    served.await.unwrap();
}
