//! What the gateway answers, call by call: only the fields that are read here. Unknown fields are allowed everywhere, because
//! the gateway adds some without a new protocol version.

use std::time::Duration;

use serde::Deserialize;

/// Answer of `config.patch` and `config.set`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Patched {
    /// Version of the document after the write; absent for a no-op.
    #[serde(default)]
    pub hash: Option<String>,
    /// The patch changed nothing.
    #[serde(default)]
    pub noop: bool,
    /// What changed, as dotted paths.
    #[serde(default)]
    pub changed_paths: Vec<String>,
}

/// Answer of `agents.list`: the agents of the running gateway (not of the document, which may be ahead).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Roster {
    /// The default agent, where the gateway has one.
    #[serde(default)]
    pub default_id: Option<String>,
    /// All agents, `main` first.
    pub agents: Vec<AgentRow>,
}

/// One agent of the running gateway.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentRow {
    /// The agent's id.
    pub id: String,
    /// Its display name.
    #[serde(default)]
    pub name: Option<String>,
    /// Absolute path of its workspace on the gateway's host.
    #[serde(default)]
    pub workspace: Option<String>,
}

/// Answer of `agents.delete`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deletion {
    /// The agent that went.
    pub agent_id: String,
    /// Part of its files could not be moved away.
    #[serde(default)]
    pub purge_failed: bool,
}

/// A workspace and what lies in it, `agents.files.list`. IDENTITY.md is never listed, and no row has a hash or content.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Listing {
    /// The workspace's path on the gateway's machine.
    pub workspace: String,
    /// The files.
    pub files: Vec<FileInfo>,
}

/// One workspace file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileInfo {
    /// `SOUL.md` and the like.
    pub name: String,
    /// The gateway knows the name, but there is no such file.
    #[serde(default)]
    pub missing: bool,
    /// Bytes.
    #[serde(default)]
    pub size: Option<u64>,
    /// Milliseconds since 1970 of the last change.
    #[serde(default, deserialize_with = "whole_milliseconds")]
    pub updated_at_ms: Option<u64>,
    /// SHA-256 of the content in hex. Lists do not carry it.
    #[serde(default)]
    pub hash: Option<String>,
    /// The text. Lists do not carry it.
    #[serde(default)]
    pub content: Option<String>,
}

/// One scheduled job.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CronJob {
    /// The job's id: another one after the job was made again.
    pub id: String,
    /// Stable name of a system job, such as `heartbeat:main`.
    #[serde(default)]
    pub declaration_key: Option<String>,
    /// The agent it runs for.
    #[serde(default)]
    pub agent_id: Option<String>,
    /// Whether it is scheduled.
    #[serde(default)]
    pub enabled: bool,
    /// When it runs.
    #[serde(default)]
    pub schedule: CronSchedule,
    /// What it does.
    #[serde(default)]
    pub payload: CronPayload,
    /// How it ran last.
    #[serde(default)]
    pub state: CronState,
}

/// When a job runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CronSchedule {
    /// Milliseconds between two runs, of a job that runs again and again.
    #[serde(default, deserialize_with = "whole_milliseconds")]
    pub every_ms: Option<u64>,
}

/// How a job ran last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CronState {
    /// Milliseconds since 1970 at which it ran last.
    #[serde(default, deserialize_with = "whole_milliseconds")]
    pub last_run_at_ms: Option<u64>,
    /// How that ended: `ok`, `error`, `skipped`.
    #[serde(default)]
    pub last_run_status: Option<String>,
}

/// What a job does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct CronPayload {
    /// `heartbeat`, `agentTurn`, and others.
    #[serde(default)]
    pub kind: String,
}

impl CronJob {
    /// When it ran last, in milliseconds since 1970, if that ended well.
    #[must_use]
    pub fn last_good_run(&self) -> Option<u64> {
        let ended_well = self.state.last_run_status.as_deref() == Some("ok");
        self.state.last_run_at_ms.filter(|_| ended_well)
    }

    /// Time between two runs, where it has one.
    #[must_use]
    pub fn every(&self) -> Option<Duration> {
        self.schedule.every_ms.map(Duration::from_millis)
    }

    /// The agent whose heartbeat this job is.
    #[must_use]
    pub fn heartbeat_of(&self) -> Option<&str> {
        self.declaration_key.as_deref()?.strip_prefix("heartbeat:")
    }
}

/// One session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// The session's id; a reset keeps it.
    #[serde(default)]
    pub session_id: Option<String>,
    /// What it is called.
    #[serde(default)]
    pub label: Option<String>,
}

/// What became of a message, `chat.send`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    /// `started`; for one that was sent before `in_flight`, or `ok` once its turn has ended well.
    #[serde(default)]
    pub status: String,
}

impl Sent {
    /// Whether it was sent before, and the agent has answered it.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.status == "ok"
    }
}

/// A heartbeat's checklist: the monitor's scratch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scratch {
    /// The text; `None` when there is none.
    pub content: Option<String>,
    /// What a write must name to replace exactly this; 0 where nothing was ever written.
    pub revision: u64,
}

/// One model that the gateway lists.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Model {
    /// `anthropic`, `openai`, ...
    pub provider: String,
    /// The model's name at its provider; `<provider>/<id>` is what an agent's `model` says.
    pub id: String,
    /// Whether it can be used now; `None` where the gateway does not say.
    #[serde(default)]
    pub available: Option<bool>,
}

/// File times come as fractional milliseconds from some file systems.
fn whole_milliseconds<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    let number = Option::<serde_json::Number>::deserialize(deserializer)?;
    Ok(number.and_then(|number| {
        number
            .as_u64()
            .or_else(|| number.to_string().split('.').next()?.parse().ok())
    }))
}
