//! What is said before a connection is up: the connect parameters, the hello, and what it tells of the gateway. Pure.

use std::time::Duration;

use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::{Capabilities, Credential, Hello, LinkError};

/// The protocol version that this client speaks.
const PROTOCOL: u32 = 4;
/// Everything: agents, config and cron writes need it, and it implies reading.
const SCOPE: &str = "operator.admin";

/// The parameters of `connect`. `nonce` is the challenge's: a device identity signs it here once there is one; a connection from the
/// gateway's own loopback needs none. `gateway-client`/`backend` is the only client identity that gets scopes from a secret alone.
pub(super) fn connect_params(credential: &Credential, _nonce: &str) -> Value {
    let auth = match credential {
        Credential::Token(secret) => json!({ "token": secret.expose_secret() }),
        Credential::Password(secret) => json!({ "password": secret.expose_secret() }),
    };
    json!({
        "minProtocol": PROTOCOL,
        "maxProtocol": PROTOCOL,
        "client": {
            "id": "gateway-client",
            "version": env!("CARGO_PKG_VERSION"),
            "platform": "linux",
            "mode": "backend",
        },
        "role": "operator",
        "scopes": [SCOPE],
        "caps": [],
        "auth": auth,
    })
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
struct Auth {
    #[serde(default)]
    scopes: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Policy {
    #[serde(default)]
    tick_interval_ms: Option<u64>,
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
            conn_id: self.server.conn_id,
            scopes: self.auth.scopes,
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
        let token = connect_params(&Credential::Token("t".into()), "n");
        assert_eq!(token["auth"], json!({"token": "t"}));
        let password = connect_params(&Credential::Password("p".into()), "n");
        assert_eq!(password["auth"], json!({"password": "p"}));
        assert_eq!(password["minProtocol"], password["maxProtocol"]);
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
