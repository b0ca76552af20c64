//! What is said before a connection is up: the connect parameters, the hello, and what it tells of the gateway. Pure.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::device::Claim;
use super::super::{Capabilities, Credential, Device, Hello, LinkError};

/// The protocol version that this client speaks.
const PROTOCOL: u32 = 4;
/// Everything: agents, config and cron writes need it, and it implies reading.
const SCOPE: &str = "operator.admin";

/// The only client identity that gets scopes from a secret alone, on loopback.
const CLIENT_ID: &str = "gateway-client";
const CLIENT_MODE: &str = "backend";
const ROLE: &str = "operator";
/// The same on every machine: a device that changes it has to be approved anew.
const PLATFORM: &str = "linux";

/// What the gateway sends first; a device signs it.
#[derive(Debug, Deserialize)]
pub(super) struct Challenge {
    nonce: String,
    /// Milliseconds since 1970.
    #[serde(default)]
    ts: u64,
}

/// What is shown as the credential.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shown<'a> {
    /// The secret that the gateway shares with everybody.
    Shared(&'a Credential),
    /// The token that it issued to our device.
    DeviceToken(&'a SecretString),
}

/// The parameters of `connect`.
pub(super) fn connect_params(
    shown: Shown<'_>,
    device: Option<&Device>,
    challenge: &Challenge,
) -> Value {
    let (auth, token) = match shown {
        Shown::Shared(Credential::Token(secret)) => {
            let secret = secret.expose_secret();
            (json!({ "token": secret }), secret)
        }
        Shown::Shared(Credential::Password(secret)) => {
            (json!({ "password": secret.expose_secret() }), "")
        }
        Shown::DeviceToken(token) => {
            let token = token.expose_secret();
            (json!({ "deviceToken": token }), token)
        }
    };
    let mut params = json!({
        "minProtocol": PROTOCOL,
        "maxProtocol": PROTOCOL,
        "client": {
            "id": CLIENT_ID,
            "version": env!("CARGO_PKG_VERSION"),
            "platform": PLATFORM,
            "mode": CLIENT_MODE,
        },
        "role": ROLE,
        "scopes": [SCOPE],
        "caps": [],
        "auth": auth,
    });
    if let (Some(device), Some(params)) = (device, params.as_object_mut()) {
        let claim = Claim {
            client_id: CLIENT_ID,
            client_mode: CLIENT_MODE,
            role: ROLE,
            scopes: &[SCOPE],
            platform: PLATFORM,
            signed_at: challenge.ts,
            nonce: &challenge.nonce,
            token,
        };
        params.insert("device".to_owned(), device.introduce(&claim));
    }
    params
}

/// The hello as the wire has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawHello {
    server: Server,
    #[serde(default)]
    features: Features,
    auth: Auth,
    #[serde(default)]
    policy: Policy,
    #[serde(default)]
    snapshot: Snapshot,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Server {
    version: String,
    boot_id: String,
    conn_id: String,
}

#[derive(Debug, Default, Deserialize)]
struct Features {
    #[serde(default)]
    methods: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Auth {
    #[serde(default)]
    scopes: Vec<String>,
    device_token: Option<SecretString>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Policy {
    #[serde(default)]
    tick_interval_ms: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Snapshot {
    #[serde(default)]
    uptime_ms: Option<u64>,
}

impl RawHello {
    /// How often the gateway promises to send something.
    pub(super) fn tick(&self) -> Option<Duration> {
        self.policy.tick_interval_ms.map(Duration::from_millis)
    }

    /// Whether `method` is offered.
    pub(super) fn offers(&self, method: &str) -> bool {
        self.features.methods.iter().any(|name| name == method)
    }

    /// Judges the hello. `roster_entries` is the answer of the one schema look-up that follows it.
    pub(super) fn judge(self, roster_entries: bool) -> Result<Hello, LinkError> {
        if !self.auth.scopes.iter().any(|scope| scope == SCOPE) {
            return Err(LinkError::NoScopes);
        }
        let all = |methods: &[&str]| methods.iter().all(|method| self.offers(method));
        let capabilities = Capabilities {
            roster_entries,
            scratch: all(&["cron.scratch.get", "cron.scratch.set"]),
            config: all(&["config.get", "config.patch"]),
            agents: all(&[
                "agents.list",
                "agents.delete",
                "agents.files.list",
                "agents.files.get",
                "agents.files.set",
            ]),
            cron: all(&["cron.list", "health"]),
            models: all(&["models.list"]),
        };
        Ok(Hello {
            version: self.server.version,
            boot_id: self.server.boot_id,
            uptime: self
                .snapshot
                .uptime_ms
                .map(|uptime| (Duration::from_millis(uptime), Instant::now())),
            conn_id: self.server.conn_id,
            scopes: self.auth.scopes,
            device_token: self.auth.device_token,
            capabilities,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(scopes: &[&str], methods: &[&str]) -> RawHello {
        serde_json::from_value(json!({
            "type": "hello-ok", "protocol": 4, "unknown": {},
            "server": {"version": "2026.9.6", "buildId": "b", "bootId": "boot", "connId": "conn"},
            "features": {"methods": methods, "events": []},
            "auth": {"method": "token", "role": "operator", "scopes": scopes},
            "policy": {"maxPayload": 26_214_400, "tickIntervalMs": 30000},
        }))
        .unwrap()
    }

    #[test]
    fn the_secret_goes_where_the_auth_mode_expects_it() {
        let challenge = Challenge {
            nonce: "n".to_owned(),
            ts: 1,
        };
        let auth = |shown| connect_params(shown, None, &challenge)["auth"].clone();
        let token = Credential::Token("t".into());
        assert_eq!(auth(Shown::Shared(&token)), json!({"token": "t"}));
        let password = Credential::Password("p".into());
        assert_eq!(auth(Shown::Shared(&password)), json!({"password": "p"}));
        let issued = SecretString::from("d");
        assert_eq!(
            auth(Shown::DeviceToken(&issued)),
            json!({"deviceToken": "d"})
        );
        let device = Device::generate();
        let params = connect_params(Shown::Shared(&token), Some(&device), &challenge);
        assert_eq!(params["device"]["id"], device.id());
        assert_eq!(params["device"]["signedAt"], 1);
    }

    #[test]
    fn a_hello_without_scopes_is_a_refusal() {
        let error = hello(&[], &[]).judge(true).unwrap_err();
        assert!(matches!(error, LinkError::NoScopes));
        assert!(error.is_refusal());
    }

    #[test]
    fn what_a_gateway_lacks_is_named() {
        let methods = [
            "config.get",
            "config.patch",
            "agents.list",
            "agents.delete",
            "agents.files.list",
            "agents.files.get",
            "agents.files.set",
            "cron.list",
            "health",
            "models.list",
            "cron.scratch.get",
            "cron.scratch.set",
        ];
        let fits = hello(&["operator.admin"], &methods).judge(true).unwrap();
        assert_eq!(fits.capabilities.missing(), Vec::<&str>::new());
        let old = hello(&["operator.admin"], &methods[..10])
            .judge(false)
            .unwrap();
        let missing = old.capabilities.missing().join("; ");
        assert!(missing.contains("agents.entries"), "{missing}");
        assert!(missing.contains("cron.scratch"), "{missing}");
        assert!(!missing.contains("models.list"), "{missing}");
    }
}
