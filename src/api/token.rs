//! The token with which an agent calls the operator. The token itself stands in a Secret and in one file, never here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rule;

/// When the token is replaced. Meanwhile the old and the next one are both taken, until the gateway has confirmed the file that carries it; for longer where AGENTS.md carries the old one and is left alone (`Seed`, `Ignore`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct TokenSpec {
    /// A value that differs from the one before replaces the token once; one that comes during a rotation waits for its end. Any text; a date is usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), extend("x-kubernetes-validations" = rule::line("rotate")))]
    pub rotate: Option<String>,
    /// Age at which the token is replaced by itself: a whole number and `m` or `h`, at least `10m`, for example `720h`. Without it: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-validations" = rule::rotate_every()))]
    pub rotate_every: Option<String>,
}
