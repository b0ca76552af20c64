//! The Agent that a Board or a Gateway declares within itself: the Board's lead, the Gateway's main agent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::FileSpec;
use super::heartbeat::Heartbeat;
use super::identity::Identity;
use super::{rule, schema};

/// An Agent that is made and owned by the object that declares it. Each field goes to the field of that name in the Agent's spec; what is not set here is left to whoever edits the Agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnedAgent {
    /// Name for people, and on the gateway; the Agent's object name where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 120), extend("x-kubernetes-validations" = rule::line("displayName")))]
    pub display_name: Option<String>,
    /// Model, for example `anthropic/claude-sonnet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200), extend("x-kubernetes-validations" = rule::line("model")))]
    pub model: Option<String>,
    /// Who the agent is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// When the agent wakes by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Heartbeat>,
    /// Files of the agent's workspace that are not to be the built-in ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::files")]
    pub files: Vec<FileSpec>,
}
