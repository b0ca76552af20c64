//! `connect`: who may come in, and with which rights.

use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::device::{self, Standing};
use super::refusal::{invalid_with, starting};
use super::state::{Caller, State, random_id};

/// The version that this fake speaks like.
pub(super) const VERSION: &str = "2026.9.6";
const PROTOCOL: u64 = 4;
/// Bad secrets from one address within [`FAILURE_WINDOW`] before it is locked out.
const MOST_FAILURES: usize = 10;
const FAILURE_WINDOW: Duration = Duration::from_mins(1);
const LOCKOUT: Duration = Duration::from_mins(5);

#[rustfmt::skip]
const METHODS: &[&str] = &[
    "health", "config.get", "config.set", "config.patch", "config.schema.lookup", "models.list", "agents.list", "agents.create",
    "agents.delete", "agents.files.list", "agents.files.get", "agents.files.set", "device.pair.list", "device.pair.approve", "cron.list",
    "cron.scratch.get", "cron.scratch.set", "sessions.describe", "sessions.patch", "sessions.reset", "chat.send",
    "chat.history",
];

/// A refused `connect`: the error, and what the connection is closed with.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: Value,
    pub(super) close: u16,
    pub(super) reason: String,
}

impl Refused {
    /// Bad credentials and the like: closed with the error's own words.
    fn policy(error: Value) -> Self {
        let mut reason = error["message"].as_str().unwrap_or_default().to_owned();
        if let Some(request_id) = error["details"]["requestId"].as_str() {
            reason = format!("{reason} (requestId: {request_id})");
        }
        Self {
            error,
            close: 1008,
            reason,
        }
    }
}

/// Failed tries of one address.
#[derive(Debug, Default)]
pub(super) struct Failures {
    at: Vec<Instant>,
    locked_until: Option<Instant>,
}

impl State {
    /// Judges a `connect`. `address` is where the client is, `None` for the gateway's own loopback.
    pub(super) fn connect(
        &mut self,
        params: &Value,
        nonce: &str,
        address: Option<&str>,
    ) -> Result<(Caller, Value), Refused> {
        if self.is_starting {
            return Err(Refused {
                error: starting(),
                close: 1013,
                reason: "gateway starting".to_owned(),
            });
        }
        let version = |name: &str| params[name].as_u64().unwrap_or_default();
        let range = version("minProtocol")..=version("maxProtocol");
        if !range.contains(&PROTOCOL) {
            let error = invalid_with(
                "protocol mismatch",
                &json!({
                    "code": "PROTOCOL_MISMATCH", "clientMinProtocol": range.start(), "clientMaxProtocol": range.end(),
                    "expectedProtocol": PROTOCOL, "minimumProbeProtocol": 3,
                }),
            );
            return Err(Refused {
                error,
                close: 1002,
                reason: "protocol mismatch".to_owned(),
            });
        }
        let device = if params["device"].is_object() {
            Some(device::verified(params, nonce).map_err(Refused::policy)?)
        } else {
            None
        };
        let method = self
            .authenticate(&params["auth"], device.as_deref(), address)
            .map_err(Refused::policy)?;
        let (scopes, device_token) = self
            .grant(params, device.as_deref(), address)
            .map_err(Refused::policy)?;
        let conn_id = random_id();
        let bucket = match (&device, address) {
            (None, None) => conn_id.clone(),
            (device, address) => format!("{device:?}|{address:?}"),
        };
        let hello = self.hello(&conn_id, method, &scopes, device_token);
        Ok((Caller { scopes, bucket }, hello))
    }

    /// How the client has shown that it may come in.
    fn authenticate(
        &mut self,
        auth: &Value,
        device: Option<&str>,
        address: Option<&str>,
    ) -> Result<&'static str, Value> {
        let locked = address.and_then(|address| self.failures.get(address)?.locked_until);
        if let Some(left) = locked.and_then(|until| until.checked_duration_since(Instant::now())) {
            return Err(json!({
                "code": "INVALID_REQUEST", "message": "unauthorized: too many failed authentication attempts (retry later)",
                "retryable": true, "retryAfterMs": u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
                "details": {
                    "code": "AUTH_RATE_LIMITED", "authReason": "rate_limited", "canRetryWithDeviceToken": false,
                    "recommendedNextStep": "wait_then_retry",
                },
            }));
        }
        let shown = ["token", "password", "deviceToken"]
            .iter()
            .find_map(|name| auth[*name].as_str());
        let Some(shown) = shown else {
            return Err(json!({
                "code": "NOT_PAIRED", "message": "device identity required",
                "details": {"code": "DEVICE_IDENTITY_REQUIRED"},
            }));
        };
        if shown == self.options.token && auth["deviceToken"].is_null() {
            return Ok("token");
        }
        if device.is_some_and(|id| self.devices.holds(id, shown)) {
            return Ok("device-token");
        }
        if let Some(address) = address {
            self.failures.entry(address.to_owned()).or_default().add();
        }
        if auth["deviceToken"].is_string() {
            return Err(invalid_with(
                "unauthorized: device token mismatch (rotate/reissue device token)",
                &json!({
                    "code": "AUTH_DEVICE_TOKEN_MISMATCH", "authReason": "device_token_mismatch", "canRetryWithDeviceToken": false,
                    "recommendedNextStep": "update_auth_credentials",
                }),
            ));
        }
        Err(invalid_with(
            "unauthorized: gateway token mismatch (provide gateway auth token)",
            &json!({
                "code": "AUTH_TOKEN_MISMATCH", "authReason": "token_mismatch", "canRetryWithDeviceToken": false,
                "recommendedNextStep": "update_auth_credentials",
            }),
        ))
    }

    /// The scopes that a client gets, and the token of its device.
    fn grant(
        &mut self,
        params: &Value,
        device: Option<&str>,
        address: Option<&str>,
    ) -> Result<(Vec<String>, Option<String>), Value> {
        let asked = device::scopes(params);
        let client = (
            params["client"]["id"].as_str().unwrap_or_default(),
            params["client"]["mode"].as_str().unwrap_or_default(),
        );
        let trusted = matches!(client, ("gateway-client", "backend") | ("cli", "cli"));
        match (device, address) {
            (_, None) if trusted => Ok((asked, None)),
            (None, _) => Ok((Vec::new(), None)),
            (Some(id), _) => match self.devices.standing(id, params) {
                Standing::Paired { token, scopes } => Ok((scopes, Some(token))),
                Standing::Pending {
                    request_id,
                    reason,
                    approved,
                } => {
                    let (message, hint) = pairing_words(reason);
                    let mut details = json!({
                        "code": "PAIRING_REQUIRED", "reason": reason, "requestId": request_id, "remediationHint": hint,
                        "deviceId": id, "requestedRole": "operator", "requestedScopes": asked,
                    });
                    if let Some(approved) = approved {
                        details["approvedRoles"] = json!(["operator"]);
                        details["approvedScopes"] = json!(approved);
                    }
                    Err(json!({"code": "NOT_PAIRED", "message": message, "details": details}))
                }
            },
        }
    }

    fn hello(
        &self,
        conn_id: &str,
        method: &str,
        scopes: &[String],
        device_token: Option<String>,
    ) -> Value {
        let mut auth = json!({"method": method, "role": "operator", "scopes": scopes});
        if let Some(token) = device_token {
            auth["deviceToken"] = json!(token);
        }
        json!({
            "type": "hello-ok", "protocol": PROTOCOL,
            "server": {"version": VERSION, "buildId": format!("{VERSION}-fake"), "bootId": self.boot_id, "connId": conn_id},
            "features": {"methods": METHODS, "events": ["connect.challenge", "tick", "shutdown"], "capabilities": []},
            "snapshot": {
                "suspension": {"phase": "accepting"},
                "appliedConfigHash": self.document.revision_hash(self.applied),
                "stateDir": self.home, "authMode": "token", "uptimeMs": self.started.elapsed().as_millis(),
            },
            "auth": auth,
            "policy": {"maxPayload": 26_214_400, "maxBufferedBytes": 52_428_800, "tickIntervalMs": 30_000},
        })
    }
}

/// What is said of a device that has to be approved, and what is advised.
fn pairing_words(reason: &str) -> (&'static str, &'static str) {
    match reason {
        "metadata-upgrade" => (
            "pairing required: device identity changed and must be re-approved",
            "Review the refreshed device details, then approve the pending request.",
        ),
        "scope-upgrade" => (
            "pairing required: device is asking for more scopes than currently approved",
            "Review the requested scopes, then approve the pending upgrade.",
        ),
        _ => (
            "pairing required: device is not approved yet",
            "Approve this device from the pending pairing requests.",
        ),
    }
}

impl Failures {
    fn add(&mut self) {
        let now = Instant::now();
        self.at
            .retain(|at| now.duration_since(*at) < FAILURE_WINDOW);
        self.at.push(now);
        if self.at.len() >= MOST_FAILURES {
            self.locked_until = Some(now + LOCKOUT);
        }
    }
}
