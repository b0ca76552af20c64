//! The task that owns one connection: opens it, moves frames, notices its death, opens it again. Nobody else touches the socket.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{Sink, StreamExt};
use secrecy::SecretString;
use serde_json::value::RawValue;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_util::sync::CancellationToken;

use super::super::dial::Dial;
use super::super::frame::{self, Frame};
use super::super::{CallError, Device, Endpoint, LinkError, Pairing, pairing};
use super::liveness::{Due, Liveness};
use super::open::{Opened, Socket};
use super::session::{Outgoing, Request, Session};
use super::{GatewayEvent, LinkState, agent_event, backoff, closing, open};

/// Frames that wait for the socket before new requests are left in the channel.
const OUTBOX: usize = 64;

/// See the module.
pub(super) struct Actor {
    endpoint: Endpoint,
    dial: Arc<dyn Dial>,
    inbox: mpsc::Receiver<Request>,
    publish: watch::Sender<LinkState>,
    events: broadcast::Sender<GatewayEvent>,
    closed: CancellationToken,
    /// What the gateway issued to our device last, and has not refused since.
    device_token: Option<SecretString>,
}

impl Actor {
    pub(super) fn new(
        endpoint: Endpoint,
        dial: Arc<dyn Dial>,
        inbox: mpsc::Receiver<Request>,
        publish: watch::Sender<LinkState>,
        events: broadcast::Sender<GatewayEvent>,
        closed: CancellationToken,
    ) -> Self {
        let device = endpoint.device.as_ref();
        Self {
            device_token: device.and_then(Device::token).cloned(),
            endpoint,
            dial,
            inbox,
            publish,
            events,
            closed,
        }
    }

    pub(super) async fn run(mut self) {
        let closed = self.closed.clone();
        closed.run_until_cancelled(self.keep_up()).await;
        self.publish.send_replace(LinkState::Closed);
        self.inbox.close();
        while let Some(request) = self.inbox.recv().await {
            request.fail(CallError::Disconnected { sent: false });
        }
    }

    /// Opens the connection again and again. Never returns.
    async fn keep_up(&mut self) {
        let mut down_since = Instant::now();
        let mut attempt: u32 = 0;
        let mut restarts_until = None;
        loop {
            let error = match self.open().await {
                Ok(opened) => {
                    let up_since = Instant::now();
                    let error = self.serve(opened).await;
                    down_since = Instant::now();
                    if down_since.duration_since(up_since) >= backoff::SETTLED {
                        attempt = 0;
                    }
                    restarts_until =
                        closing::is_restart(&error).then(|| down_since + closing::RESTART);
                    tracing::info!(url = %self.endpoint.url, reason = %error, "gateway link down");
                    error
                }
                Err(error) => {
                    let error = match restarts_until {
                        Some(until) if Instant::now() < until => closing::while_restarting(error),
                        _ => error,
                    };
                    if attempt == 0 && !matches!(error, LinkError::Starting { .. }) {
                        tracing::info!(url = %self.endpoint.url, reason = %error, "gateway link not up");
                    } else {
                        tracing::debug!(url = %self.endpoint.url, attempt, reason = %error, "gateway link not up");
                    }
                    error
                }
            };
            let pause = backoff::pause(&error, attempt, rand::random());
            // A gateway that says it is starting is there: what went wrong before does not count on.
            attempt = match error {
                LinkError::Starting {
                    retry_after: Some(_),
                    ..
                } => 0,
                _ => attempt.saturating_add(1),
            };
            let error = Arc::new(error);
            self.publish.send_replace(if error.is_refusal() {
                LinkState::Refused {
                    down_since,
                    error,
                    retry_at: Instant::now() + pause,
                }
            } else {
                LinkState::Connecting {
                    down_since,
                    last: Some(error),
                }
            });
            turn_away(&mut self.inbox, sleep(pause)).await;
        }
    }

    /// Opens a connection, by the device token where there is one and else by the shared secret, and has our device approved where
    /// that is what it takes.
    async fn open(&mut self) -> Result<Opened, LinkError> {
        let (endpoint, dial) = (&self.endpoint, self.dial.as_ref());
        let device_token = &mut self.device_token;
        let opening = async {
            let mut opened = open::open(endpoint, dial, device_token.as_ref()).await;
            if let Err(error) = &opened
                && error.is_refusal()
                && device_token.take().is_some()
            {
                tracing::info!(url = %endpoint.url, reason = %error, "device token refused");
                opened = open::open(endpoint, dial, None).await;
            }
            match opened {
                Err(error) => approve(endpoint, dial, error).await,
                opened => opened,
            }
        };
        let opened = turn_away(&mut self.inbox, opening).await?;
        if let Some(token) = &opened.hello.device_token {
            self.device_token = Some(token.clone());
        }
        Ok(opened)
    }

    /// Serves one connection until it ends, and says why it ended.
    async fn serve(&mut self, opened: Opened) -> LinkError {
        let Opened {
            socket,
            hello,
            tick,
        } = opened;
        tracing::info!(
            url = %self.endpoint.url, version = %hello.version, boot = %hello.boot_id, "gateway link up"
        );
        let mut connection = Connection::new(socket, tick, self.events.clone());
        self.publish.send_replace(LinkState::Up(Arc::new(hello)));
        let error = connection.serve(&mut self.inbox).await;
        // First the state, then the answers: who is told that a call was lost must not find the link up.
        self.publish.send_replace(LinkState::Connecting {
            down_since: Instant::now(),
            last: None,
        });
        connection.session.lose_all();
        error
    }
}

/// Approves our own device where `error` says that the gateway waits for that, and opens the connection then.
async fn approve(
    endpoint: &Endpoint,
    dial: &dyn Dial,
    error: LinkError,
) -> Result<Opened, LinkError> {
    let (Pairing::Auto, Some(device)) = (endpoint.pairing, &endpoint.device) else {
        return Err(error);
    };
    let LinkError::PairingRequired {
        message,
        request_id: Some(request_id),
        ..
    } = error
    else {
        return Err(error);
    };
    match pairing::approve(endpoint, dial, device, &request_id).await {
        Ok(()) => {
            tracing::info!(url = %endpoint.url, device = %device.id(), "device approved");
            open::open(endpoint, dial, None).await
        }
        Err(why) => Err(LinkError::PairingRequired {
            message,
            request_id: Some(request_id),
            not_automatic: Some(why.to_string()),
        }),
    }
}

/// Waits for `work`; whoever asks meanwhile is told that there is no connection.
async fn turn_away<T>(inbox: &mut mpsc::Receiver<Request>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            Some(request) = inbox.recv() => request.fail(CallError::Disconnected { sent: false }),
        }
    }
}

/// A connection that is up.
struct Connection {
    sink: SplitSink<Socket, Message>,
    stream: SplitStream<Socket>,
    session: Session,
    liveness: Liveness,
    /// Frames that the socket has not taken yet; requests carry their id.
    outbox: VecDeque<(Option<u64>, Message)>,
    /// There is something to hand over or to write out.
    unflushed: bool,
    events: broadcast::Sender<GatewayEvent>,
    /// From the gateway's farewell.
    restart_announced: Option<Duration>,
}

impl Connection {
    fn new(
        socket: Socket,
        tick: Option<Duration>,
        events: broadcast::Sender<GatewayEvent>,
    ) -> Self {
        let (sink, stream) = socket.split();
        Self {
            sink,
            stream,
            session: Session::default(),
            liveness: Liveness::new(Instant::now(), tick),
            outbox: VecDeque::new(),
            unflushed: false,
            events,
            restart_announced: None,
        }
    }

    async fn serve(&mut self, inbox: &mut mpsc::Receiver<Request>) -> LinkError {
        loop {
            let supervision = self.liveness.next();
            let wake = self
                .session
                .next_deadline()
                .map_or(supervision, |deadline| deadline.min(supervision));
            // No arm awaits a send: with both directions' buffers full, two peers that only send wait for each other forever.
            tokio::select! {
                message = self.stream.next() => {
                    if let Some(end) = self.receive(message) {
                        return end;
                    }
                }
                flushed = flush(&mut self.sink, &mut self.outbox, &mut self.session), if self.unflushed => {
                    self.unflushed = false;
                    if let Err(error) = flushed {
                        return self.broken(&error);
                    }
                }
                Some(request) = inbox.recv(), if self.outbox.len() < OUTBOX => {
                    if let Some(Outgoing { id, text }) = self.session.start(request) {
                        self.enqueue(Some(id), Message::text(text));
                    }
                }
                () = sleep_until(wake) => {
                    let now = Instant::now();
                    let expired = self.session.expire(now);
                    self.outbox
                        .retain(|(id, _)| id.is_none_or(|id| !expired.contains(&id)));
                    match self.liveness.due(now) {
                        Due::Nothing => {}
                        Due::Ping => self.enqueue(None, Message::Ping(Vec::new().into())),
                        Due::Dead(reason) => {
                            return LinkError::Lost { detail: reason.to_owned(), restart_after: None };
                        }
                    }
                }
            }
        }
    }

    fn enqueue(&mut self, id: Option<u64>, message: Message) {
        self.outbox.push_back((id, message));
        self.unflushed = true;
    }

    /// Takes one message in; `Some` when the connection is over.
    fn receive(&mut self, message: Option<Result<Message, WsError>>) -> Option<LinkError> {
        match message {
            Some(Ok(Message::Text(text))) => self.take(text.as_str()),
            Some(Ok(Message::Binary(bytes))) => match std::str::from_utf8(&bytes) {
                Ok(text) => self.take(text),
                Err(error) => tracing::debug!(%error, "a frame that is no text"),
            },
            Some(Ok(Message::Pong(_))) => self.liveness.pong(),
            // The library has queued the pong; it goes out with the next flush.
            Some(Ok(Message::Ping(_))) => self.unflushed = true,
            Some(Ok(Message::Frame(_))) => {}
            Some(Ok(Message::Close(close))) => {
                return Some(closing::lost(close.as_ref(), self.restart_announced));
            }
            Some(Err(error)) => return Some(self.broken(&error)),
            None => return Some(closing::lost(None, self.restart_announced)),
        }
        None
    }

    fn take(&mut self, text: &str) {
        let now = Instant::now();
        self.liveness.frame(now);
        match frame::parse(text) {
            Ok(Frame::Response { id, outcome }) => self.session.answer(&id, outcome, now),
            Ok(Frame::Event { name, payload }) => self.event(&name, payload),
            Ok(Frame::Unknown) => tracing::debug!("a frame of an unknown kind"),
            Err(error) => tracing::debug!(%error, "a frame that cannot be read"),
        }
    }

    fn event(&mut self, name: &str, payload: Option<&RawValue>) {
        match name {
            "config.changed" => {
                // Nobody may be listening.
                self.events.send(GatewayEvent::ConfigChanged).ok();
            }
            "cron" | "agent" => {
                if let Some(event) = agent_event::of_agent(name, payload) {
                    self.events.send(event).ok();
                }
            }
            "shutdown" => self.restart_announced = closing::announced(payload),
            _ => tracing::trace!(event = name, "event not used"),
        }
    }

    fn broken(&self, error: &WsError) -> LinkError {
        LinkError::Lost {
            detail: error.to_string(),
            restart_after: self.restart_announced,
        }
    }
}

/// Hands frames to the socket as it takes them, and flushes. Dropped half-way, nothing is lost: all state is in the arguments.
async fn flush(
    sink: &mut SplitSink<Socket, Message>,
    outbox: &mut VecDeque<(Option<u64>, Message)>,
    session: &mut Session,
) -> Result<(), WsError> {
    std::future::poll_fn(|context| {
        let mut sink = std::pin::Pin::new(&mut *sink);
        while !outbox.is_empty() {
            ready!(sink.as_mut().poll_ready(context))?;
            if let Some((id, message)) = outbox.pop_front() {
                if let Some(id) = id {
                    session.mark_sent(id);
                }
                sink.as_mut().start_send(message)?;
            }
        }
        ready!(sink.as_mut().poll_flush(context))?;
        Poll::Ready(Ok(()))
    })
    .await
}
