//! Who an agent is: ten free texts that the built-in templates render. No defaults here; they stand in the templates' layer,
//! so that a Board's text is not hidden by one the server filled in on the Agent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rule;

/// Who the agent is and how it behaves. Every field is rendered into its files; a field that is not set is inherited from the Board's `agentDefaults.identity`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct Identity {
    /// What the agent is on its team, for example `Analyst`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 120), extend("x-kubernetes-validations" = rule::line("role")))]
    pub role: Option<String>,
    /// How it speaks, for example `direct, concise, practical`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500), extend("x-kubernetes-validations" = rule::line("communicationStyle")))]
    pub communication_style: Option<String>,
    /// One emoji, as a character or as a short code such as `:gear:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-validations" = rule::line("emoji")))]
    pub emoji: Option<String>,
    /// How much it decides alone, for example `ask_first`, `balanced` or `autonomous`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500), extend("x-kubernetes-validations" = rule::line("autonomyLevel")))]
    pub autonomy_level: Option<String>,
    /// How much it writes, for example `concise`, `balanced` or `detailed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500), extend("x-kubernetes-validations" = rule::line("verbosity")))]
    pub verbosity: Option<String>,
    /// In which form it answers, for example `bullets`, `mixed` or `narrative`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500), extend("x-kubernetes-validations" = rule::line("outputFormat")))]
    pub output_format: Option<String>,
    /// How often it reports, for example `asap`, `hourly`, `daily` or `weekly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500), extend("x-kubernetes-validations" = rule::line("updateCadence")))]
    pub update_cadence: Option<String>,
    /// What it is there for. May have several lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4000))]
    pub purpose: Option<String>,
    /// Its character. May have several lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4000))]
    pub personality: Option<String>,
    /// Anything else it must know or obey. May have several lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8000))]
    pub custom_instructions: Option<String>,
}
