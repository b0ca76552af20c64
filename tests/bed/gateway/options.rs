//! How a gateway is started: its config document, its credential, its environment.

use std::fmt;

use serde_json::{Value, json};

use crate::bed::keys::Pair;

/// The shared secret of a gateway, and the mode that goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GatewayCredential {
    /// `gateway.auth.mode: token`.
    Token(String),
    /// `gateway.auth.mode: password`.
    Password(String),
}

impl GatewayCredential {
    fn mode(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Password(_) => "password",
        }
    }

    /// The secret itself.
    pub(crate) fn secret(&self) -> &str {
        match self {
            Self::Token(secret) | Self::Password(secret) => secret,
        }
    }
}

/// A change to the default config document, made before the first start.
pub(super) type Configure = Box<dyn FnOnce(&mut Value) + Send>;

/// How to start a gateway.
pub(crate) struct GatewayOptions {
    pub(super) name: String,
    pub(super) port: Option<u16>,
    pub(super) credential: GatewayCredential,
    pub(super) skip_bootstrap: bool,
    pub(super) skip_cron: bool,
    pub(super) with_config: bool,
    pub(super) scheme: &'static str,
    pub(super) configure: Vec<Configure>,
    pub(super) env: Vec<(String, String)>,
    pub(super) files: Vec<(String, String)>,
}

impl fmt::Debug for GatewayOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayOptions")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl GatewayOptions {
    /// A gateway whose process is called `gateway-<name>`, with a token, `skipBootstrap`, the bed's provider and one
    /// agent `main`.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            port: None,
            credential: GatewayCredential::Token("test-token-0123456789abcdef".to_owned()),
            skip_bootstrap: true,
            skip_cron: false,
            with_config: true,
            scheme: "ws",
            configure: Vec::new(),
            env: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Listens on `port` and no other.
    pub(crate) fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Takes another secret.
    pub(crate) fn credential(mut self, credential: GatewayCredential) -> Self {
        self.credential = credential;
        self
    }

    /// Lets the gateway fill new workspaces with its own files, as one out of the box does.
    pub(crate) fn with_bootstrap(mut self) -> Self {
        self.skip_bootstrap = false;
        self
    }

    /// Schedules no heartbeats and no other jobs.
    pub(crate) fn without_cron(mut self) -> Self {
        self.skip_cron = true;
        self
    }

    /// Starts without any config document; the first write creates it. The credential must be a token.
    pub(crate) fn without_config(mut self) -> Self {
        self.with_config = false;
        self
    }

    /// Without the plugins that come with it: a change of the roster and a turn cost it a third less, and nothing of the control plane is
    /// missing.
    pub(crate) fn without_plugins(self) -> Self {
        self.configure(|config| {
            config["plugins"]["allow"] = json!(["admin-http-rpc"]);
            config["plugins"]["slots"] = json!({"memory": "none"});
        })
    }

    /// Changes the config document before the first start.
    pub(crate) fn configure(mut self, change: impl FnOnce(&mut Value) + Send + 'static) -> Self {
        self.configure.push(Box::new(change));
        self
    }

    /// Speaks TLS and nothing else, with this certificate and key (PEM files), or with a certificate that it makes for itself. The
    /// bed's own connections do not reach such a gateway.
    pub(crate) fn tls(mut self, files: Option<Pair>) -> Self {
        self.scheme = "wss";
        self.configure(move |config| {
            config["gateway"]["tls"] = match files {
                Some(Pair { certificate, key }) => {
                    json!({"enabled": true, "certPath": certificate, "keyPath": key})
                }
                None => json!({"enabled": true}),
            };
        })
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Puts a file beside the config document, for it to include.
    pub(crate) fn file(mut self, name: &str, content: &str) -> Self {
        self.files.push((name.to_owned(), content.to_owned()));
        self
    }
}

/// A gateway on loopback with one agent `main` that asks the bed's provider.
///
/// `bind` is never left out: unset, the gateway may listen on every address.
pub(super) fn default_config(
    provider: &str,
    credential: &GatewayCredential,
    skip_bootstrap: bool,
) -> Value {
    let mode = credential.mode();
    json!({
        "gateway": {
            "mode": "local",
            "bind": "loopback",
            "auth": {"mode": mode, mode: credential.secret()},
            "controlUi": {"enabled": false},
            "trustedProxies": ["127.0.0.1"],
        },
        "update": {"checkOnStart": false},
        "discovery": {"mdns": {"mode": "off"}},
        "logging": {"file": "gateway.log"},
        "models": {"mode": "replace", "providers": {"fake": {
            "baseUrl": format!("{provider}/v1"),
            "apiKey": "sk-fake",
            "api": "openai-completions",
            "models": [{
                "id": "fake-1", "name": "Fake 1", "reasoning": false, "input": ["text"],
                "cost": {"input": 1, "output": 2, "cacheRead": 0, "cacheWrite": 0},
                "contextWindow": 128_000, "maxTokens": 4096,
            }],
        }}},
        "agents": {
            "ownership": "explicit",
            "defaults": {"model": {"primary": "fake/fake-1"}, "skipBootstrap": skip_bootstrap},
            "entries": {"main": {}},
        },
        "plugins": {"entries": {"admin-http-rpc": {"enabled": true}}},
    })
}
