//! The bed's own connection to a gateway: one call at a time, loopback, shared secret.
//!
//! It shares no code with the operator's client, so that what a test reads from the gateway is not what the operator thinks.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, protocol::WebSocketConfig},
};

/// Time a call may take; a change of the config document takes seconds on a roster of hundreds.
const CALL_LIMIT: Duration = Duration::from_mins(2);
/// `config.get` and agent files can be larger than the library's default.
const MAX_MESSAGE: usize = 64 << 20;

/// A connection with the scopes of an administrator.
#[derive(Debug)]
pub(crate) struct Rpc {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_id: u64,
    hello: Value,
}

impl Rpc {
    /// Connects to the gateway at `url` with its token or password.
    pub(crate) async fn connect(url: &str, secret: &str) -> Result<Self> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let (socket, _) = tokio_tungstenite::connect_async_with_config(url, Some(config), true)
            .await
            .with_context(|| format!("connecting to {url}"))?;
        let mut rpc = Self {
            socket,
            next_id: 0,
            hello: Value::Null,
        };
        let challenge = rpc.read().await?;
        anyhow::ensure!(
            challenge["event"] == "connect.challenge",
            "{url} does not speak like a gateway: {challenge}"
        );
        let params = json!({
            "minProtocol": 4,
            "maxProtocol": 4,
            "client": {"id": "gateway-client", "version": "0.0.0", "platform": "linux", "mode": "backend"},
            "role": "operator",
            "scopes": ["operator.admin"],
            "caps": [],
            "auth": {"token": secret},
        });
        rpc.hello = rpc.call("connect", params).await?;
        Ok(rpc)
    }

    /// The gateway's answer to `connect`.
    pub(crate) fn hello(&self) -> &Value {
        &self.hello
    }

    /// Calls a method and returns the payload of its answer; a refusal is an error that holds the gateway's words.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        let answer = tokio::time::timeout(CALL_LIMIT, self.exchange(method, params))
            .await
            .with_context(|| {
                format!("{method} was not answered in {} s", CALL_LIMIT.as_secs())
            })??;
        if answer["ok"] == true {
            return Ok(answer["payload"].clone());
        }
        bail!("{method} was refused: {}", answer["error"])
    }

    /// Changes the config document by a merge patch, and waits until the gateway has applied it.
    pub(crate) async fn patch_config(&mut self, patch: &Value) -> Result<()> {
        let config = self.call("config.get", json!({})).await?;
        let params = json!({"raw": patch.to_string(), "baseHash": config["hash"]});
        self.call("config.patch", params).await?;
        self.config_applied().await
    }

    /// Waits until the running gateway goes by the config document that is on disk.
    pub(crate) async fn config_applied(&mut self) -> Result<()> {
        let applied = async {
            loop {
                let config = self.call("config.get", json!({})).await?;
                if config["appliedConfigHash"] == config["configRevisionHash"] {
                    return Ok(());
                }
                // The gateway offers the two hashes to compare and no event for it.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(CALL_LIMIT, applied)
            .await
            .context("the gateway did not apply its config")?
    }

    /// Ids of the agents that the running gateway lists.
    pub(crate) async fn agent_ids(&mut self) -> Result<Vec<String>> {
        let list = self.call("agents.list", json!({})).await?;
        let agents = list["agents"]
            .as_array()
            .context("agents.list has no agents")?;
        Ok(agents
            .iter()
            .filter_map(|agent| agent["id"].as_str().map(str::to_owned))
            .collect())
    }

    async fn exchange(&mut self, method: &str, params: Value) -> Result<Value> {
        self.next_id += 1;
        let id = self.next_id.to_string();
        let frame = json!({"type": "req", "id": id, "method": method, "params": params});
        self.socket
            .send(Message::text(frame.to_string()))
            .await
            .with_context(|| format!("sending {method}"))?;
        loop {
            let frame = self.read().await?;
            if frame["type"] == "res" && frame["id"] == id.as_str() {
                return Ok(frame);
            }
        }
    }

    async fn read(&mut self) -> Result<Value> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text)?),
                Some(Ok(Message::Close(frame))) => {
                    bail!("the gateway closed the connection: {frame:?}")
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error).context("reading from the gateway"),
                None => bail!("the gateway ended the connection"),
            }
        }
    }
}
