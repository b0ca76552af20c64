//! Approves our own device at a gateway that waits for it, by the admin-http-rpc plugin, which takes the shared secret alone.
//!
//! Only ever our own: a request is approved when the gateway lists it under the id that we were told, with our device's id.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::dial::Dial;
use super::link::open_stream;
use super::{Device, Endpoint, LinkError};

const PATH: &str = "/api/v1/admin/rpc";
const DEADLINE: Duration = Duration::from_secs(15);
/// The plugin's answers are small.
const LARGEST_ANSWER: usize = 1 << 20;

/// Why our device could not be approved here.
#[derive(Debug, thiserror::Error)]
pub(super) enum PairingError {
    /// The plugin is off, or there is none.
    #[error("the gateway's admin-http-rpc plugin does not answer (HTTP {0})")]
    NoPlugin(StatusCode),
    /// It answered, and did not do it.
    #[error("the gateway's admin-http-rpc plugin refused {method}: {message}")]
    Refused {
        /// What was asked.
        method: &'static str,
        /// Its own words.
        message: String,
    },
    /// The request is not listed, or is another device's.
    #[error("the gateway lists no request of this device")]
    NotOurs,
    /// The answer could not be read.
    #[error("the answer of the gateway's admin-http-rpc plugin could not be read")]
    Unreadable(#[source] serde_json::Error),
    /// No connection.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The HTTP exchange failed.
    #[error("the gateway's admin-http-rpc plugin could not be asked")]
    Http(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No answer in time.
    #[error("the gateway's admin-http-rpc plugin did not answer within {} s", DEADLINE.as_secs())]
    Deadline,
}

#[derive(Deserialize)]
struct Pending {
    #[serde(default)]
    pending: Vec<PairingRequest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PairingRequest {
    request_id: String,
    device_id: String,
}

#[derive(Deserialize)]
struct Answer {
    ok: bool,
    #[serde(default)]
    payload: Value,
    #[serde(default)]
    error: Value,
}

/// Approves the pending request `request_id` of `device`.
pub(super) async fn approve(
    endpoint: &Endpoint,
    dial: &dyn Dial,
    device: &Device,
    request_id: &str,
) -> Result<(), PairingError> {
    let list: Pending = ask(endpoint, dial, "device.pair.list", json!({})).await?;
    let ours = list
        .pending
        .iter()
        .any(|pending| pending.request_id == request_id && pending.device_id == device.id());
    if !ours {
        return Err(PairingError::NotOurs);
    }
    let params = json!({ "requestId": request_id });
    let _: Value = ask(endpoint, dial, "device.pair.approve", params).await?;
    Ok(())
}

async fn ask<T: DeserializeOwned>(
    endpoint: &Endpoint,
    dial: &dyn Dial,
    method: &'static str,
    params: Value,
) -> Result<T, PairingError> {
    let (status, body) = tokio::time::timeout(DEADLINE, post(endpoint, dial, method, params))
        .await
        .map_err(|_| PairingError::Deadline)??;
    let words = |error: &Value| Some(error.get("message")?.as_str()?.to_owned());
    match serde_json::from_slice::<Answer>(&body) {
        Ok(answer) if answer.ok => {
            serde_json::from_value(answer.payload).map_err(PairingError::Unreadable)
        }
        Ok(answer) => Err(match words(&answer.error) {
            Some(message) => PairingError::Refused { method, message },
            None => PairingError::NoPlugin(status),
        }),
        Err(error) if status.is_success() => Err(PairingError::Unreadable(error)),
        Err(_) => Err(PairingError::NoPlugin(status)),
    }
}

/// One request over a connection of its own.
async fn post(
    endpoint: &Endpoint,
    dial: &dyn Dial,
    method: &'static str,
    params: Value,
) -> Result<(StatusCode, Bytes), PairingError> {
    let http = |error: hyper::Error| PairingError::Http(error.into());
    let (address, stream) = open_stream(endpoint, dial).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(http)?;
    let secret = endpoint.credential.secret().expose_secret();
    let body = json!({ "method": method, "params": params }).to_string();
    let request = Request::post(PATH)
        .header(header::HOST, address)
        .header(header::AUTHORIZATION, format!("Bearer {secret}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| PairingError::Http(error.into()))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(http)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LARGEST_ANSWER)
            .collect()
            .await
            .map_err(PairingError::Http)?;
        Ok((head.status, body.to_bytes()))
    };
    tokio::pin!(connection);
    tokio::pin!(exchange);
    let mut open = true;
    loop {
        tokio::select! {
            answer = &mut exchange => return answer,
            ended = &mut connection, if open => {
                open = false;
                ended.map_err(http)?;
            }
        }
    }
}
