//! What a gateway says of itself when a connection is accepted, and what it can do.

use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;

/// What the gateway told us when it accepted the connection.
#[derive(Clone, Debug)]
pub struct Hello {
    /// The gateway's version, for people.
    pub version: String,
    /// Identity of the running process: another one after each restart, also an in-process one.
    pub boot_id: String,
    /// For how long the operating system's process ran then, and when it said so; `None` where it did not say.
    pub uptime: Option<(Duration, Instant)>,
    /// Identity of this connection.
    pub conn_id: String,
    /// What we may do.
    pub scopes: Vec<String>,
    /// The token that it issued to our device, where it did: with it alone we are let in the next time.
    pub device_token: Option<SecretString>,
    /// What the gateway can do.
    pub capabilities: Capabilities,
}

impl Hello {
    /// For how long the process runs by now, which a restart in the process does not end; `None` where it does not say.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let (uptime, told) = self.uptime?;
        Some(uptime + told.elapsed())
    }
}

/// What a gateway can do, probed once per connection. Code asks these, never version numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
// Independent facts, each asked by its name.
#[allow(clippy::struct_excessive_bools)]
pub struct Capabilities {
    /// The roster is the map `agents.entries` (2026.8.1 and later), not the list `agents.list`.
    pub roster_entries: bool,
    /// Heartbeat instructions live in the monitor's scratch (`cron.scratch.*`), not in HEARTBEAT.md.
    pub scratch: bool,
    /// `config.get` and `config.patch`.
    pub config: bool,
    /// `agents.list`, `agents.delete` and `agents.files.*`.
    pub agents: bool,
    /// `cron.list`.
    pub cron: bool,
    /// `models.list`.
    pub models: bool,
}

impl Capabilities {
    /// What this operator needs and the gateway lacks, in words for the `Compatible` condition; empty when it fits.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        [
            (self.config, "config.get and config.patch"),
            (
                self.agents,
                "agents.list, agents.delete and agents.files.get/list/set",
            ),
            (
                self.roster_entries,
                "the roster agents.entries (OpenClaw 2026.8.1 or later)",
            ),
            (self.cron, "cron.list"),
            (self.scratch, "cron.scratch.get and cron.scratch.set"),
            (self.models, "models.list"),
        ]
        .into_iter()
        .filter_map(|(present, name)| (!present).then_some(name))
        .collect()
    }
}
