//! Whom agents work for: what the built-in `USER.md` tells them. Set on the Gateway, overridden field by field on the Board.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rule;

/// The person or team that agents work for. Rendered into `USER.md`; a field that is not set on a Board is inherited from its Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct UserProfile {
    /// Full name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 120), extend("x-kubernetes-validations" = rule::line("name")))]
    pub name: Option<String>,
    /// How to address the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 120), extend("x-kubernetes-validations" = rule::line("preferredName")))]
    pub preferred_name: Option<String>,
    /// Pronouns, for example `she/her`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-validations" = rule::line("pronouns")))]
    pub pronouns: Option<String>,
    /// Time zone as the user would say it, for example `Europe/Berlin`. Text for the agent; nothing is computed from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-validations" = rule::line("timezone")))]
    pub timezone: Option<String>,
    /// Preferences and habits. May have several lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4000))]
    pub notes: Option<String>,
    /// What the user works on. May have several lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4000))]
    pub context: Option<String>,
}
