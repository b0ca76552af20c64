//! Sockets: accepts connections, moves frames, tells events, restarts. What is done with a frame is `connection`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{interval_at, sleep};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};

use super::Shared;
use super::connection::Connection;
use super::fault::Traffic;
use super::state::now_ms;

/// The gateway's own limit on a frame.
const LARGEST_FRAME: usize = 25 << 20;
const TICK: Duration = Duration::from_secs(30);
/// Allocated for each connection at once.
const BUFFER: usize = 16 << 10;

/// What is sent to a connection's task.
#[derive(Debug)]
pub(super) enum Order {
    Send(Message),
    /// Ends the connection without a word.
    Drop,
}

pub(super) type Out = mpsc::UnboundedSender<Order>;

/// The connections that are open, by number.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: Mutex<BTreeMap<u64, (Out, bool)>>,
}

impl Connections {
    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<u64, (Out, bool)>) -> T) -> T {
        look(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn drop_all(&self) {
        self.with(|open| {
            for (out, _) in open.values() {
                out.send(Order::Drop).ok();
            }
        });
    }

    /// Sends an event to all that have said hello.
    fn tell(&self, event: &str, payload: &Value) {
        let text = json!({"type": "event", "event": event, "payload": payload}).to_string();
        self.with(|open| {
            for (out, _) in open.values().filter(|(_, introduced)| *introduced) {
                out.send(Order::Send(Message::text(text.clone()))).ok();
            }
        });
    }

    /// The connection has said hello.
    pub(super) fn introduce(&self, number: u64) {
        self.with(|open| {
            if let Some((_, introduced)) = open.get_mut(&number) {
                *introduced = true;
            }
        });
    }

    fn close(&self, code: u16, reason: &str) {
        self.with(|open| {
            for (out, _) in open.values() {
                out.send(Order::Send(close_frame(code, reason))).ok();
            }
        });
    }
}

/// A close frame has no room for more of a reason than this, in bytes.
const LONGEST_REASON: usize = 123;

pub(super) fn close_frame(code: u16, reason: &str) -> Message {
    let reason = &reason[..reason.floor_char_boundary(LONGEST_REASON)];
    Message::Close(Some(CloseFrame {
        code: code.into(),
        reason: reason.into(),
    }))
}

/// Accepts connections until the task is ended.
pub(super) async fn accept(mut listener: TcpListener, shared: Arc<Shared>) {
    let Ok(address) = listener.local_addr() else {
        return;
    };
    let (mut traffic, mut door) = (shared.traffic.subscribe(), shared.door.subscribe());
    loop {
        let treatment = treatment(*traffic.borrow_and_update(), *door.borrow_and_update());
        if treatment == Traffic::Refuse {
            drop(listener);
            while self::treatment(*traffic.borrow_and_update(), *door.borrow_and_update())
                == Traffic::Refuse
            {
                tokio::select! {
                    _ = traffic.changed() => {}
                    _ = door.changed() => {}
                }
            }
            listener = match TcpListener::bind(address).await {
                Ok(listener) => listener,
                Err(_) => return,
            };
            continue;
        }
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                take_in(stream, treatment, &shared);
            },
            _ = traffic.changed() => {}
            _ = door.changed() => {}
        }
    }
}

/// What a test wants comes first.
fn treatment(traffic: Traffic, door: Door) -> Traffic {
    match (traffic, door) {
        (Traffic::Open, Door::Closed) => Traffic::Refuse,
        (Traffic::Open, Door::Unready) => Traffic::Http(503),
        (traffic, _) => traffic,
    }
}

fn take_in(mut stream: TcpStream, traffic: Traffic, shared: &Arc<Shared>) {
    stream.set_nodelay(true).ok();
    match traffic {
        Traffic::Cut | Traffic::Refuse => {}
        Traffic::Http(status) => {
            let answer = format!(
                "HTTP/1.1 {status} Fault\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            tokio::spawn(async move { stream.write_all(answer.as_bytes()).await.ok() });
        }
        Traffic::Open | Traffic::HalfOpen => {
            tokio::spawn(serve(stream, Arc::clone(shared)));
        }
    }
}

/// Restarts as the real gateway does in its process: says farewell, is not there, is there but not ready, answers that it is starting.
pub(super) fn restart(shared: &Arc<Shared>, downtime: Duration) {
    shared.state().is_starting = true;
    let expected = u64::try_from(downtime.as_millis()).unwrap_or(u64::MAX);
    let farewell = json!({"reason": "gateway restarting", "restartExpectedMs": expected});
    shared.connections.tell("shutdown", &farewell);
    shared.connections.close(1012, "service restart");
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        for stage in [Door::Closed, Door::Unready, Door::Open] {
            shared.door.send_replace(stage);
            sleep(downtime / 3).await;
        }
        let applied = {
            let mut state = shared.state();
            state.boot();
            state.is_starting = false;
            state.applied
        };
        shared.applied.send_replace(applied);
    });
}

/// How far the gateway itself has its door open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Door {
    /// Connections are upgraded.
    #[default]
    Open,
    /// Nobody listens.
    Closed,
    /// Answered with HTTP 503.
    Unready,
}

/// Has the running gateway go by `revision` after its lag, and tells it then.
pub(super) fn apply_later(shared: &Arc<Shared>, revision: u64) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let lag = shared.state().lag();
        sleep(lag).await;
        shared.state().apply(revision);
        told(&shared);
    });
}

/// Ends a turn after its time, and tells that.
pub(super) fn end_later(shared: &Arc<Shared>, run: String) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let turn = shared.state().options.turn;
        sleep(turn).await;
        let ended = shared.state().end_turn(&run);
        if let Some(payload) = ended {
            shared.connections.tell("agent", &payload);
        }
    });
}

/// Tells what has become of the document, where something has.
pub(super) fn told(shared: &Arc<Shared>) {
    let (applied, hash, path, must_restart) = {
        let state = shared.state();
        (
            state.applied,
            state.document.hash(),
            format!("{}/openclaw.json", state.home),
            state.must_restart && !state.is_starting,
        )
    };
    let news = shared.applied.send_if_modified(|known| {
        let news = *known != applied;
        *known = applied;
        news
    });
    if news {
        let payload = json!({"path": path, "hash": hash, "ts": now_ms()});
        shared.connections.tell("config.changed", &payload);
    }
    if must_restart {
        shared.seen.send_modify(|seen| seen.self_restarts += 1);
        restart(shared, Duration::from_millis(500));
    }
}

#[allow(
    clippy::result_large_err,
    reason = "the library's callback wants it so"
)]
async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let mut address = shared.state().options.remote.then(|| "10.0.0.1".to_owned());
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .max_message_size(Some(LARGEST_FRAME))
        .max_frame_size(Some(LARGEST_FRAME));
    let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        let forwarded = request.headers().get("x-forwarded-for");
        if let Some(client) = forwarded.and_then(|value| value.to_str().ok()) {
            address = Some(client.to_owned());
        }
        Ok(response)
    };
    let mut traffic = shared.traffic.subscribe();
    if !passes(&mut traffic).await {
        return;
    }
    let accepted =
        tokio_tungstenite::accept_hdr_async_with_config(stream, look, Some(config)).await;
    let Ok(socket) = accepted else { return };
    let (out, mut orders) = mpsc::unbounded_channel();
    let mut number = 0;
    shared.seen.send_modify(|seen| {
        seen.connections += 1;
        number = seen.connections as u64;
    });
    shared
        .connections
        .with(|open| open.insert(number, (out.clone(), false)));
    let connection = Connection::new(Arc::clone(&shared), number, out, address);
    connection.challenge();
    let (mut sink, mut stream) = socket.split();
    let mut ticks = interval_at(tokio::time::Instant::now() + TICK, TICK);
    loop {
        if !passes(&mut traffic).await {
            break;
        }
        tokio::select! {
            // What the test did to the traffic holds for what comes after it.
            biased;
            _ = traffic.changed() => {}
            _ = ticks.tick() => connection.send(&json!({"type": "event", "event": "tick", "payload": {"ts": now_ms()}})),
            order = orders.recv() => match order {
                Some(Order::Send(message)) => {
                    let closing = message.is_close();
                    if sink.feed(message).await.is_err() {
                        break;
                    }
                    let pauses = closing || orders.is_empty();
                    if pauses && sink.flush().await.is_err() || closing {
                        break;
                    }
                }
                Some(Order::Drop) | None => break,
            },
            message = stream.next() => match message {
                Some(Ok(Message::Text(text))) => connection.take(text.as_str()),
                Some(Ok(Message::Binary(bytes))) => {
                    connection.take(std::str::from_utf8(&bytes).unwrap_or_default());
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            },
        }
    }
    shared.connections.with(|open| open.remove(&number));
}

/// Waits while half-open; false after a cut.
async fn passes(traffic: &mut watch::Receiver<Traffic>) -> bool {
    traffic
        .wait_for(|traffic| *traffic != Traffic::HalfOpen)
        .await
        .is_ok_and(|traffic| !matches!(*traffic, Traffic::Cut | Traffic::Refuse))
}
