//! Workspace files as users give them: where the text comes from and who owns the file afterwards.
//! Which file has which built-in text and default policy is decided in `plan`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reference::ConfigMapKeyRef;
use super::rule;

/// The names `agents.files.set` accepts (OpenClaw 2026.9.6); every other name is refused by the gateway with `unsupported file`.
pub const FILE_NAMES: [&str; 6] = [
    "AGENTS.md",
    "SOUL.md",
    "IDENTITY.md",
    "USER.md",
    "BOOTSTRAP.md",
    "MEMORY.md",
];

/// One file of the agent's workspace. At most one of `content`, `template` and `configMapKeyRef`; with none of them the built-in text stays, and only `policy` is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rule::file()))]
pub struct FileSpec {
    /// Name of the file: `AGENTS.md`, `SOUL.md`, `IDENTITY.md`, `USER.md`, `BOOTSTRAP.md` or `MEMORY.md`. A gateway takes no other.
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-validations" = rule::file_name()))]
    pub name: String,
    /// The text, written as it stands here. At most 20 000 characters a file and 60 000 for all files of an agent are put before the model; more is refused by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100_000))]
    pub content: Option<String>,
    /// The text as a template (Jinja syntax), for example `You are {{ agent_name }}.` The limits of `content` hold for the rendered text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100_000))]
    pub template: Option<String>,
    /// The text from a ConfigMap in this object's namespace, written as it stands there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<ConfigMapKeyRef>,
    /// Who owns the file after it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<FilePolicy>,
}

/// Who owns the file after it was written. `Enforce`: the operator; a change made on the gateway is put back. `Seed`: the agent; it is written once. `Ignore`: the operator never reads or writes it.
/// Without a policy here and in the Board's `agentDefaults`: `Enforce` for AGENTS.md, SOUL.md and IDENTITY.md, `Seed` for USER.md, MEMORY.md and BOOTSTRAP.md.
// An optional enum's description in the schema is the one of its type, not of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum FilePolicy {
    /// The operator: drift is put back.
    Enforce,
    /// The agent: written once, at first registration.
    Seed,
    /// Not the operator: never read, never written.
    Ignore,
}
