//! How a fake gateway is set up.

use std::time::Duration;

use serde_json::{Value, json};

use super::document::REDACTED;

/// How a fake gateway is set up.
#[derive(Clone, Debug)]
pub(crate) struct FakeOptions {
    /// The shared token.
    pub(crate) token: String,
    /// Every client counts as one that does not come from the gateway's own loopback.
    pub(crate) remote: bool,
    /// Time from a change of the document until the running gateway goes by it.
    pub(crate) lag: Duration,
    /// What is added to it for each agent in the roster.
    pub(crate) lag_per_agent: Duration,
    /// Time that a turn of an agent takes.
    pub(crate) turn: Duration,
    /// The document at the start.
    pub(crate) document: Value,
}

impl Default for FakeOptions {
    /// A token, no lag, one agent `main`, `skipBootstrap`: what the bed gives a real gateway.
    fn default() -> Self {
        Self {
            token: "test-token-0123456789abcdef".to_owned(),
            remote: false,
            lag: Duration::ZERO,
            lag_per_agent: Duration::ZERO,
            turn: Duration::from_millis(20),
            document: default_document(),
        }
    }
}

/// The bed's default document as the gateway shows it: secrets are not in it.
pub(crate) fn default_document() -> Value {
    json!({
        "gateway": {
            "mode": "local", "bind": "loopback",
            "auth": {"mode": "token", "token": REDACTED},
            "controlUi": {"enabled": false},
            "trustedProxies": ["127.0.0.1"],
        },
        "update": {"checkOnStart": false},
        "discovery": {"mdns": {"mode": "off"}},
        "logging": {"file": "gateway.log"},
        "models": {"mode": "replace", "providers": {"fake": {
            "baseUrl": "http://127.0.0.1:1/v1", "apiKey": REDACTED, "api": "openai-completions",
            "models": [{
                "id": "fake-1", "name": "Fake 1", "reasoning": false, "input": ["text"],
                "cost": {"input": 1, "output": 2, "cacheRead": 0, "cacheWrite": 0},
                "contextWindow": 128_000, "maxTokens": 4096,
            }],
        }}},
        "agents": {
            "ownership": "explicit",
            "defaults": {"model": {"primary": "fake/fake-1"}, "skipBootstrap": true},
            "entries": {"main": {}},
        },
        "plugins": {"entries": {"admin-http-rpc": {"enabled": true}}},
    })
}
