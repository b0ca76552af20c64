//! Waking an agent with a message.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{rule, schema};

/// When an agent is woken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct WakeSpec {
    /// Whether the agent is woken by itself. `OnProvision`, the default: once, when it was made on its gateway. `Never`: only by `now`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<WakePolicy>,
    /// What it is told then. Without it: a short text that sends it to its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16_384))]
    pub message: Option<String>,
    /// A value that differs from the one before wakes the agent once. Any text; a date is usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), extend("x-kubernetes-validations" = rule::line("now")))]
    pub now: Option<String>,
}

/// Whether an agent is woken by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WakePolicy {
    /// Once, when it was made on its gateway.
    #[default]
    OnProvision,
    /// Only when somebody asks for it.
    Never,
}

/// A wake-up. It is tried again after 2, 5 and 15 minutes without a sign of life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WakeStatus {
    /// Why: `provision`, or the value that asked for it.
    pub cause: String,
    /// What the agent is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How often it was sent.
    pub attempts: i32,
    /// When it was sent last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub last_time: Option<Time>,
    /// Whether the agent showed life since, or nobody waits for that any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
}
