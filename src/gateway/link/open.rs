//! Opens one connection: dial, TLS, WebSocket upgrade, challenge, connect, hello, and the one probe that the hello cannot answer.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Uri, header::RETRY_AFTER};
use secrecy::SecretString;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::super::dial::{ByteStream, Dial};
use super::super::frame::{self, ErrorBody, Frame};
use super::super::{Endpoint, Hello, LinkError, refusal, tls};
use super::closing;
use super::handshake::{Challenge, RawHello, Shown, connect_params};

/// The gateway closes a handshake that takes longer than 15 s; the probe may wait for its schema to be built.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(30);
/// The gateway's own limit on a frame is 25 MiB.
const LARGEST_MESSAGE: usize = 32 << 20;
/// Allocated at once for each connection.
const READ_BUFFER: usize = 32 << 10;
/// More than this waiting for the socket is an error of ours: requests are far smaller.
pub(super) const WRITE_BUFFER: usize = 4 << 20;

/// However long a server wants to be left alone.
const LONGEST_RETRY: Duration = Duration::from_mins(1);
/// Of a refusal's own words, these characters are shown.
const LONGEST_WORDS: usize = 300;

/// The socket of a connection that is up.
pub(super) type Socket = WebSocketStream<Box<dyn ByteStream>>;

/// A connection that is up.
pub(super) struct Opened {
    pub(super) socket: Socket,
    pub(super) hello: Hello,
    pub(super) tick: Option<Duration>,
}

/// Opens a connection to `endpoint`, showing `device_token` instead of the shared secret where there is one.
pub(super) async fn open(
    endpoint: &Endpoint,
    dial: &dyn Dial,
    device_token: Option<&SecretString>,
) -> Result<Opened, LinkError> {
    let (address, stream) = open_stream(endpoint, dial).await?;
    let shown = device_token.map_or(Shown::Shared(&endpoint.credential), Shown::DeviceToken);
    let handshake = introduce(endpoint, shown, &address, stream);
    let opened = tokio::time::timeout(HANDSHAKE_DEADLINE, handshake)
        .await
        .unwrap_or_else(|_| {
            Err(LinkError::NotAGateway {
                address: address.clone(),
                status: None,
                detail: format!(
                    "the handshake did not end within {} s",
                    HANDSHAKE_DEADLINE.as_secs()
                ),
            })
        });
    match opened {
        // What is not understood may be TLS, which answers plain text with nothing at all.
        Err(LinkError::NotAGateway { status: None, .. } | LinkError::Unreachable { .. })
            if speaks_tls_instead(endpoint, dial).await =>
        {
            Err(LinkError::TlsExpected { address })
        }
        opened => opened,
    }
}

/// Opens the byte stream to a gateway, with TLS where the address says so. Answers host and port too.
pub(in super::super) async fn open_stream(
    endpoint: &Endpoint,
    dial: &dyn Dial,
) -> Result<(String, Box<dyn ByteStream>), LinkError> {
    let address = Address::parse(&endpoint.url)?;
    let shown = address.to_string();
    let stream = dial
        .dial(&address.host, address.port)
        .await
        .map_err(|source| LinkError::Unreachable {
            address: shown.clone(),
            source,
        })?;
    let stream = if address.tls {
        tls::connect(stream, &address.host, &shown, &endpoint.tls).await?
    } else {
        stream
    };
    Ok((shown, stream))
}

async fn speaks_tls_instead(endpoint: &Endpoint, dial: &dyn Dial) -> bool {
    match Address::parse(&endpoint.url) {
        Ok(address) if !address.tls => tls::is_spoken(dial, &address.host, address.port).await,
        _ => false,
    }
}

async fn introduce(
    endpoint: &Endpoint,
    shown: Shown<'_>,
    address: &str,
    stream: Box<dyn ByteStream>,
) -> Result<Opened, LinkError> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(LARGEST_MESSAGE))
        .max_frame_size(Some(LARGEST_MESSAGE));
    let (socket, _response) =
        tokio_tungstenite::client_async_with_config(endpoint.url.as_str(), stream, Some(config))
            .await
            .map_err(|error| not_a_gateway(address, error))?;
    let mut talk = Talk { socket, address };
    let challenge = talk.challenge().await?;
    let params = connect_params(shown, endpoint.device.as_ref(), &challenge);
    let hello = talk
        .ask("1", "connect", &params)
        .await?
        .map_err(refusal::link_error)?;
    let hello: RawHello =
        serde_json::from_str(hello.get()).map_err(|error| LinkError::Protocol {
            message: format!("hello: {error}"),
        })?;
    let roster_entries = talk.has_roster_entries(&hello).await?;
    let tick = hello.tick();
    Ok(Opened {
        hello: hello.judge(roster_entries)?,
        tick,
        socket: talk.socket,
    })
}

/// The sequential part of a connection: one question, one answer.
struct Talk<'a> {
    socket: Socket,
    address: &'a str,
}

impl Talk<'_> {
    async fn challenge(&mut self) -> Result<Challenge, LinkError> {
        let text = self.text().await?;
        let challenge = match frame::parse(&text) {
            Ok(Frame::Event {
                name,
                payload: Some(payload),
            }) if name == "connect.challenge" => {
                serde_json::from_str::<Challenge>(payload.get()).ok()
            }
            _ => None,
        };
        challenge.ok_or_else(|| LinkError::NotAGateway {
            address: self.address.to_owned(),
            status: None,
            detail: "its first message is no challenge".to_owned(),
        })
    }

    async fn ask(
        &mut self,
        id: &str,
        method: &str,
        params: &Value,
    ) -> Result<Result<Box<RawValue>, ErrorBody>, LinkError> {
        let protocol = |error: serde_json::Error| LinkError::Protocol {
            message: format!("{method}: {error}"),
        };
        let params = serde_json::value::to_raw_value(params).map_err(protocol)?;
        let request = frame::request(id, method, &params).map_err(protocol)?;
        self.socket
            .send(Message::text(request))
            .await
            .map_err(|error| lost(&error))?;
        loop {
            let text = self.text().await?;
            match frame::parse(&text).map_err(protocol)? {
                Frame::Response {
                    id: answered,
                    outcome,
                } if answered == id => {
                    return Ok(outcome.map(|payload| payload.unwrap_or(RawValue::NULL).to_owned()));
                }
                _ => {}
            }
        }
    }

    /// Neither the hello nor an empty config tells how the roster is written; the schema does.
    async fn has_roster_entries(&mut self, hello: &RawHello) -> Result<bool, LinkError> {
        const LOOKUP: &str = "config.schema.lookup";
        if !hello.offers(LOOKUP) {
            return Ok(false);
        }
        let answer = self
            .ask("2", LOOKUP, &json!({ "path": "agents.entries" }))
            .await?;
        match answer {
            Ok(_) => Ok(true),
            Err(body) if body.code == "UNAVAILABLE" => Err(refusal::link_error(body)),
            Err(_) => Ok(false),
        }
    }

    async fn text(&mut self) -> Result<String, LinkError> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
                Some(Ok(Message::Binary(bytes))) => {
                    return String::from_utf8(bytes.to_vec()).map_err(|error| {
                        LinkError::Protocol {
                            message: error.to_string(),
                        }
                    });
                }
                Some(Ok(Message::Close(frame))) => return Err(closing::lost(frame.as_ref(), None)),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(lost(&error)),
                None => return Err(closing::lost(None, None)),
            }
        }
    }
}

fn lost(error: &WsError) -> LinkError {
    LinkError::Lost {
        detail: error.to_string(),
        restart_after: None,
    }
}

fn not_a_gateway(address: &str, error: WsError) -> LinkError {
    match error {
        // A proxy before a gateway that is not up yet.
        WsError::Http(response) if matches!(response.status().as_u16(), 502..=504) => {
            LinkError::Starting {
                message: format!("HTTP {}", response.status()),
                retry_after: retry_after(response.headers()),
            }
        }
        WsError::Http(response) => LinkError::NotAGateway {
            address: address.to_owned(),
            status: Some(response.status().as_u16()),
            detail: format!(
                "HTTP {} instead of a WebSocket{}",
                response.status(),
                words(response.body().as_deref().unwrap_or_default())
                    .map(|words| format!(": {words}"))
                    .unwrap_or_default()
            ),
        },
        WsError::Io(source) => LinkError::Unreachable {
            address: address.to_owned(),
            source,
        },
        error => LinkError::NotAGateway {
            address: address.to_owned(),
            status: None,
            detail: error.to_string(),
        },
    }
}

/// When a server wants to be asked again; a day is not waited for.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY))
}

/// What the gateway itself says in the body of a refused upgrade, such as that it does not trust a proxy.
fn words(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let words = body.pointer("/error/message")?.as_str()?;
    Some(words.chars().take(LONGEST_WORDS).collect())
}

/// Host and port of a `ws://` or `wss://` address.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    host: String,
    port: u16,
    tls: bool,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Address {
    fn parse(url: &str) -> Result<Self, LinkError> {
        let unusable = |reason: String| LinkError::Address {
            url: url.to_owned(),
            reason,
        };
        let uri: Uri = url
            .parse()
            .map_err(|error: http::uri::InvalidUri| unusable(error.to_string()))?;
        let tls = match uri.scheme_str() {
            Some("ws") => false,
            Some("wss") => true,
            _ => return Err(unusable("it begins with neither".to_owned())),
        };
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| unusable("it names no host".to_owned()))?;
        Ok(Self {
            host: host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned(),
            port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            tls,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (url, shown) in [
            ("ws://gateway.team.svc:18789", "gateway.team.svc:18789"),
            ("ws://[::1]:19000/path", "[::1]:19000"),
            ("ws://gateway", "gateway:80"),
            ("wss://gateway", "gateway:443"),
        ] {
            assert_eq!(Address::parse(url).unwrap().to_string(), shown);
        }
        for url in ["http://x", "x:1", "ws://", "", "ws://a b"] {
            let text = Address::parse(url).unwrap_err().to_string();
            assert!(text.contains("ws://host:port"), "{text}");
        }
    }

    #[test]
    fn a_server_that_says_when_to_come_back_is_taken_at_its_word_within_reason() {
        let after = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(after("2"), Some(Duration::from_secs(2)));
        assert_eq!(after("86400"), Some(LONGEST_RETRY));
        assert_eq!(after("Wed, 21 Oct 2026 07:28:00 GMT"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn a_refused_upgrade_shows_the_gateways_own_words() {
        let body = br#"{"error":{"message":"Proxy client attribution is required.","type":"proxy_attribution_required"}}"#;
        assert_eq!(
            words(body).as_deref(),
            Some("Proxy client attribution is required.")
        );
        assert_eq!(words(b"<html>"), None);
        assert_eq!(words(b""), None);
    }
}
