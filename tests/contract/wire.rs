//! Talks to a gateway frame by frame, and writes down what was said.
//!
//! Unlike the bed's `Rpc` it shows refusals, events and the end of a connection as they are on the wire.

use std::time::Duration;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use futures_util::{SinkExt as _, StreamExt as _};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::reduce::Reducer;

/// A gateway that is asked.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) state_dir: String,
}

/// What was asked, and the answer reduced to what matters.
pub(crate) type Transcript = Vec<(String, Value)>;

/// A device with its key.
#[derive(Debug)]
pub(crate) struct Device {
    key: Ed25519KeyPair,
}

impl Device {
    pub(crate) fn new() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self {
            key: Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap(),
        }
    }

    /// Puts the device into the parameters of a `connect`.
    fn sign(&self, params: &mut Value, challenge: &Value) {
        let public = self.key.public_key().as_ref();
        let id = HEXLOWER.encode(&Sha256::digest(public));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let auth = &params["auth"];
        let token = if auth["token"].is_string() {
            text(&auth["token"])
        } else {
            text(&auth["deviceToken"])
        };
        let scopes: Vec<String> = params["scopes"]
            .as_array()
            .unwrap()
            .iter()
            .map(text)
            .collect();
        let signed = [
            "v3".to_owned(),
            id.clone(),
            text(&params["client"]["id"]),
            text(&params["client"]["mode"]),
            text(&params["role"]),
            scopes.join(","),
            challenge["ts"].to_string(),
            token,
            text(&challenge["nonce"]),
            text(&params["client"]["platform"]),
            String::new(),
        ]
        .join("|");
        params["device"] = json!({
            "id": id, "publicKey": BASE64URL_NOPAD.encode(public),
            "signature": BASE64URL_NOPAD.encode(self.key.sign(signed.as_bytes()).as_ref()),
            "signedAt": challenge["ts"], "nonce": challenge["nonce"],
        });
    }
}

/// One connection.
pub(crate) struct Talk<'a> {
    pub(crate) subject: &'a Subject,
    transcript: &'a mut Transcript,
    reducer: Reducer,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(crate) challenge: Value,
    next_id: u64,
    events: Vec<Value>,
}

impl<'a> Talk<'a> {
    /// Opens a connection and reads the challenge; `from` is an address that the client pretends to come from.
    pub(crate) async fn open(
        subject: &'a Subject,
        transcript: &'a mut Transcript,
        from: Option<&str>,
    ) -> Self {
        Self::try_open(subject, transcript, from).await.unwrap()
    }

    /// The same with a gateway that may not be there: the error is what the handshake of the WebSocket ended with.
    pub(crate) async fn try_open(
        subject: &'a Subject,
        transcript: &'a mut Transcript,
        from: Option<&str>,
    ) -> Result<Self, tungstenite::Error> {
        let mut request = subject.url.as_str().into_client_request().unwrap();
        if let Some(from) = from {
            request
                .headers_mut()
                .insert("x-forwarded-for", from.parse().unwrap());
        }
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await?;
        let first = socket
            .next()
            .await
            .unwrap_or(Err(tungstenite::Error::ConnectionClosed))?;
        let challenge: Value = serde_json::from_str(first.to_text()?).unwrap();
        assert_eq!(challenge["event"], "connect.challenge");
        Ok(Self {
            reducer: Reducer::new(&subject.state_dir),
            subject,
            transcript,
            socket,
            challenge: challenge["payload"].clone(),
            next_id: 0,
            events: Vec::new(),
        })
    }

    /// Opens a connection that may do everything.
    pub(crate) async fn connected(subject: &'a Subject, transcript: &'a mut Transcript) -> Self {
        let mut talk = Self::open(subject, transcript, None).await;
        let hello = talk.exchange("connect", &talk.connect_params()).await;
        assert_eq!(hello["ok"], true, "{hello}");
        talk
    }

    /// Parameters of `connect` as the operator sends them.
    pub(crate) fn connect_params(&self) -> Value {
        json!({
            "minProtocol": 4, "maxProtocol": 4,
            "client": {"id": "gateway-client", "version": "0.0.0", "platform": "linux", "mode": "backend"},
            "role": "operator", "scopes": ["operator.admin"], "caps": [],
            "auth": {"token": self.subject.token},
        })
    }

    /// The same, signed by a device after `change`.
    pub(crate) fn signed(&self, device: &Device, change: impl FnOnce(&mut Value)) -> Value {
        let mut params = self.connect_params();
        change(&mut params);
        device.sign(&mut params, &self.challenge);
        params
    }

    /// Asks, and writes the answer down.
    pub(crate) async fn ask(&mut self, what: &str, method: &str, params: &Value) -> Value {
        let answer = self.exchange(method, params).await;
        let reduced = self.reducer.answer(method, &answer);
        self.note(&format!("{what} ({method})"), reduced);
        answer
    }

    /// Writes something down.
    pub(crate) fn note(&mut self, what: &str, seen: Value) {
        self.transcript.push((what.to_owned(), seen));
    }

    /// Asks without a note; a connection that ends instead answers `{"closed": code, "reason": text}`.
    pub(crate) async fn exchange(&mut self, method: &str, params: &Value) -> Value {
        let id = self.request(method, params).await;
        self.answer(&id).await
    }

    /// Asks without waiting for the answer, whose id it returns.
    pub(crate) async fn request(&mut self, method: &str, params: &Value) -> String {
        self.next_id += 1;
        let id = self.next_id.to_string();
        self.send(
            &json!({"type": "req", "id": id, "method": method, "params": params}).to_string(),
        )
        .await;
        id
    }

    /// Sends a frame as it is.
    pub(crate) async fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Reads the answer to a request; what is told meanwhile is kept.
    pub(crate) async fn answer(&mut self, id: &str) -> Value {
        loop {
            let frame = self.read().await;
            if frame["closed"].is_number() || (frame["type"] == "res" && frame["id"] == id) {
                return frame;
            }
            self.events.push(frame);
        }
    }

    /// Waits for an event.
    pub(crate) async fn event(&mut self, name: &str) -> Value {
        loop {
            if let Some(at) = self.events.iter().position(|event| event["event"] == name) {
                return self.events.remove(at);
            }
            let frame = self.read().await;
            self.events.push(frame);
        }
    }

    /// Forgets the events that were told so far.
    pub(crate) fn forget_events(&mut self) {
        self.events.clear();
    }

    /// Writes down how the gateway ends the connection.
    pub(crate) async fn note_end(&mut self, what: &str) {
        let end = loop {
            let frame = self.read().await;
            if frame["closed"].is_number() {
                break frame;
            }
        };
        let end = self.reducer.plain(&end);
        self.note(what, end);
    }

    async fn read(&mut self) -> Value {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
            Some(Ok(Message::Close(frame))) => frame.map_or_else(
                || json!({"closed": 1005}),
                |frame| json!({"closed": u16::from(frame.code), "reason": frame.reason.as_str()}),
            ),
            Some(Ok(_)) => Value::Null,
            Some(Err(_)) | None => json!({"closed": 1006}),
        }
    }

    /// Reads the config until the running gateway goes by it.
    pub(crate) async fn applied(&mut self) -> Value {
        loop {
            let config = self.exchange("config.get", &json!({})).await["payload"].clone();
            if config["appliedConfigHash"] == config["configRevisionHash"] {
                return config;
            }
            // The gateway offers the two hashes to compare, and an event that may come for several changes at once.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Patches the document as it is now, and writes the answer down.
    pub(crate) async fn patch(&mut self, what: &str, patch: &Value) -> Value {
        let config = self.applied().await;
        let params = json!({"raw": patch.to_string(), "baseHash": config["hash"]});
        self.ask(what, "config.patch", &params).await
    }

    /// Writes down what the document says of agents, once it is applied.
    pub(crate) async fn note_agents(&mut self, what: &str) {
        let config = self.applied().await;
        let agents = self.reducer.plain(&config["parsed"]["agents"]);
        self.note(&format!("{what}: the document"), agents);
    }

    /// Writes down which heartbeats are scheduled.
    pub(crate) async fn note_heartbeats(&mut self, what: &str) {
        self.applied().await;
        let params = json!({"includeDisabled": true});
        self.ask(&format!("{what}: the jobs"), "cron.list", &params)
            .await;
    }

    /// The id of an agent's heartbeat job.
    pub(crate) async fn heartbeat_job(&mut self, agent_id: &str) -> String {
        let jobs = self
            .exchange("cron.list", &json!({"includeDisabled": true}))
            .await;
        let key = format!("heartbeat:{agent_id}");
        let jobs = jobs["payload"]["jobs"].as_array().unwrap();
        let job = jobs
            .iter()
            .find(|job| job["declarationKey"] == key.as_str())
            .unwrap();
        job["id"].as_str().unwrap().to_owned()
    }
}
