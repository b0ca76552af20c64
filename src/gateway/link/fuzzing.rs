//! Fuzz target of a connection's state: who waits for an answer, for how long, and whether the other side lives.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::value::RawValue;
use tokio::{
    sync::{Semaphore, oneshot},
    time::Instant,
};

use super::{
    IN_FLIGHT, closing,
    handshake::RawHello,
    liveness::{Due, Liveness},
    session::{Outcome, Request, Session},
};
use crate::gateway::{
    CallError,
    frame::{self, Frame},
};

const METHODS: [&str; 4] = [
    "config.get",
    "config.patch",
    "agents.list",
    "agents.files.set",
];

/// Reads lines as what happens on a connection.
///
/// A line is `call METHOD MILLISECONDS`, `sent ID`, `wait MILLISECONDS`, `pong`, `hello JSON` or `lost`; any other is a frame from the gateway.
///
/// # Panics
/// Unless everybody who waits is told once, in time, and what is so.
pub fn session(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut connection = Connection::new();
    for line in text.lines() {
        connection.happens(line);
        connection.check();
    }
    connection.lose();
    connection.check();
}

/// A call that was made, and what it must be told in the end.
struct Call {
    deadline: Instant,
    sent: bool,
    reply: oneshot::Receiver<Outcome>,
}

struct Connection {
    session: Session,
    liveness: Liveness,
    places: Arc<Semaphore>,
    now: Instant,
    /// Those that nobody has answered yet, by id.
    open: BTreeMap<u64, Call>,
}

impl Connection {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            session: Session::default(),
            liveness: Liveness::new(now, None),
            places: Arc::new(Semaphore::new(IN_FLIGHT)),
            now,
            open: BTreeMap::new(),
        }
    }

    fn happens(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "call" => self.call(rest),
            "sent" => {
                if let Ok(id) = rest.parse() {
                    self.session.mark_sent(id);
                    if let Some(call) = self.open.get_mut(&id) {
                        call.sent = true;
                    }
                }
            }
            "wait" => {
                let milliseconds: u32 = rest.parse().unwrap_or_default();
                self.wait(Duration::from_millis(milliseconds.into()));
            }
            "pong" => self.liveness.pong(),
            "hello" => {
                if let Ok(hello) = serde_json::from_str::<RawHello>(rest) {
                    self.liveness = Liveness::new(self.now, hello.tick());
                    // Whether it is good enough is another matter.
                    hello.judge(true).ok();
                }
            }
            "lost" => self.lose(),
            _ => self.frame(line),
        }
    }

    fn call(&mut self, rest: &str) {
        let (method, milliseconds) = rest.split_once(' ').unwrap_or((rest, ""));
        let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() else {
            return;
        };
        let known = METHODS.into_iter().find(|known| *known == method);
        let milliseconds: u32 = milliseconds.parse().unwrap_or(15_000);
        let allowed = Duration::from_millis(milliseconds.into());
        let (sender, reply) = oneshot::channel();
        let outgoing = self.session.start(Request {
            method: known.unwrap_or("health"),
            params: RawValue::NULL.to_owned(),
            started: self.now,
            allowed,
            permit,
            reply: sender,
        });
        assert!(outgoing.is_some(), "every request can be written");
        if let Some(outgoing) = outgoing {
            let call = Call {
                deadline: self.now + allowed,
                sent: false,
                reply,
            };
            let taken = self.open.insert(outgoing.id, call);
            assert!(taken.is_none(), "an id is used once");
        }
    }

    /// As the task that owns the socket does when it wakes up.
    fn wait(&mut self, time: Duration) {
        self.now += time;
        let mut expired = self.session.expire(self.now);
        expired.sort_unstable();
        let (over, open): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.open)
            .into_iter()
            .partition(|(_, call)| call.deadline <= self.now);
        self.open = open;
        assert!(over.keys().eq(&expired), "{expired:?}");
        for (id, mut call) in over {
            let told = call.reply.try_recv();
            let is_so = match told {
                Ok(Err(CallError::Deadline { .. })) => call.sent,
                Ok(Err(CallError::Disconnected { sent: false })) => !call.sent,
                _ => false,
            };
            assert!(is_so, "{id} is over: {told:?}");
        }
        match self.liveness.due(self.now) {
            Due::Dead(_) => {
                self.lose();
                self.liveness = Liveness::new(self.now, None);
            }
            Due::Ping | Due::Nothing => {}
        }
        let due = [Some(self.liveness.next()), self.session.next_deadline()];
        let in_time = due.into_iter().flatten().all(|at| at > self.now);
        assert!(in_time, "it would wake up without end");
    }

    fn lose(&mut self) {
        self.session.lose_all();
        for (id, mut call) in std::mem::take(&mut self.open) {
            let told = call.reply.try_recv();
            let is_so =
                matches!(told, Ok(Err(CallError::Disconnected { sent })) if sent == call.sent);
            assert!(is_so, "{id} is lost: {told:?}");
        }
    }

    fn frame(&mut self, text: &str) {
        self.liveness.frame(self.now);
        match frame::parse(text) {
            Ok(Frame::Response { id, outcome }) => {
                let payload = outcome
                    .as_ref()
                    .ok()
                    .map(|payload| payload.map(RawValue::get));
                let payload = payload.map(|payload| payload.unwrap_or("null").to_owned());
                self.session.answer(&id, outcome, self.now);
                let asked = id.parse().ok().and_then(|id| self.open.remove(&id));
                if let Some(mut call) = asked {
                    let told = call.reply.try_recv();
                    let is_so = match &told {
                        Ok(Ok(answer)) => Some(answer.get()) == payload.as_deref(),
                        Ok(Err(_)) => payload.is_none(),
                        Err(_) => false,
                    };
                    assert!(is_so, "{id} is answered: {told:?}");
                }
            }
            Ok(Frame::Event { payload, .. }) => {
                let announced = closing::announced(payload);
                assert!(announced.is_none_or(|after| after <= closing::RESTART));
            }
            Ok(Frame::Unknown) | Err(_) => {}
        }
    }

    /// What holds whatever has happened.
    fn check(&mut self) {
        let deadlines = self.open.values().map(|call| call.deadline);
        assert_eq!(self.session.next_deadline(), deadlines.min());
        let free = self.places.available_permits();
        assert_eq!(free + self.open.len(), IN_FLIGHT, "a place is kept or lost");
        for (id, call) in &mut self.open {
            let told = call.reply.try_recv();
            let waits = matches!(told, Err(oneshot::error::TryRecvError::Empty));
            assert!(waits, "{id} waits: {told:?}");
        }
    }
}
