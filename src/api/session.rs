//! The main session of an agent: what it is called, and when it begins anew.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rule;

/// The main session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct SessionSpec {
    /// What the session is called on the gateway. Without it the label is not touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 120), extend("x-kubernetes-validations" = rule::line("label")))]
    pub label: Option<String>,
    /// A value that differs from the one before resets the session once: the agent forgets what was said in it. Any text; a date is usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), extend("x-kubernetes-validations" = rule::line("reset")))]
    pub reset: Option<String>,
}

/// A reset that was begun. It is done exactly once: the gateway resets the session only while it is still the one that was read before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionReset {
    /// The value that asked for it.
    pub value: String,
    /// Revision of the session that is to be reset.
    pub revision: String,
}
