//! `Board`: what a group of agents works on, on which gateway, and what they inherit.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::FileSpec;
use super::heartbeat::Heartbeat;
use super::identity::Identity;
use super::owned::OwnedAgent;
use super::reference::{GatewayName, GatewayRef, Templates};
use super::user::UserProfile;
use super::{rule, schema};

/// What a Board is to be.
#[expect(
    clippy::duplicated_attributes,
    reason = "printer columns of one type, and several selectable fields"
)]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mission.openclaw.dev",
    version = "v1alpha1",
    kind = "Board",
    namespaced,
    status = "BoardStatus",
    derive = "PartialEq",
    shortname = "ocb",
    category = "openclaw",
    selectable = ".spec.gatewayRef.name",
    doc = "What a group of agents works on, on which gateway, and what these agents inherit.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(
        name = "Gateway",
        type_ = "string",
        json_path = ".spec.gatewayRef.name"
    ),
    printcolumn(name = "Agents", type_ = "integer", json_path = ".status.agents.total"),
    printcolumn(
        name = "Agents Ready",
        type_ = "integer",
        json_path = ".status.agents.ready"
    ),
    printcolumn(
        name = "Online",
        type_ = "integer",
        json_path = ".status.agents.online"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rule::board()))]
pub struct BoardSpec {
    /// The Gateway on which the agents of this Board run. Another one moves them all: each is made there first, and taken off the old one once it is confirmed.
    pub gateway_ref: GatewayRef,
    /// Name for people; the object's name where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 120), extend("x-kubernetes-validations" = rule::line("displayName")))]
    pub display_name: Option<String>,
    /// What the Board is about. May have several lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4000))]
    pub description: Option<String>,
    /// What kind of work the Board is for.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<BoardType>,
    /// What is to be reached. May have several lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4000))]
    pub objective: Option<String>,
    /// How success is measured: any object with at least one key, for example `{reports: 3}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::success_metrics")]
    pub success_metrics: Option<BTreeMap<String, serde_json::Value>>,
    /// When it is to be reached: a date, `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), extend("x-kubernetes-validations" = rule::date("targetDate")))]
    pub target_date: Option<String>,
    /// Whether the goal is settled. A confirmed goal needs `objective` and `successMetrics`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal_confirmed: Option<bool>,
    /// Rules of work that the agents are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<BoardRules>,
    /// How many workers the Board takes, its lead not counted. Those that come later, or are younger, wait for a place. Without it: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub max_agents: Option<i32>,
    /// The agent that leads this Board: an Agent of role `Lead`, called after the Board and `-lead`, is made and owned. `{}` makes one with nothing but defaults. Removed here, it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead: Option<OwnedAgent>,
    /// What the agents of this Board have where they do not say otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_defaults: Option<AgentDefaults>,
    /// Templates for the files of this Board's agents that name no text of their own; key by key over the Gateway's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub templates: Option<Templates>,
    /// Whom the agents of this Board work for; field by field over the Gateway's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserProfile>,
    /// While `true` no agent of this Board beats, and all are left as they are: what is declared meanwhile waits. Deletion does not wait.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// What kind of work the Board is for. `Goal`: the agents work towards the objective. `General`: a standing Board without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BoardType {
    /// Work towards an objective.
    Goal,
    /// A standing Board without an objective.
    General,
}

/// Rules of work on a Board.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct BoardRules {
    /// A task needs an approval before it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_approval_for_done: Option<bool>,
    /// A task goes through review before it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_review_before_done: Option<bool>,
    /// Moving a task to review needs a comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment_required_for_review: Option<bool>,
    /// A task with an open approval keeps its status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_status_changes_with_pending_approval: Option<bool>,
    /// Only the lead changes the status of tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_lead_can_change_status: Option<bool>,
}

/// What the agents of a Board inherit, field by field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct AgentDefaults {
    /// Model, for example `anthropic/claude-sonnet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200), extend("x-kubernetes-validations" = rule::line("model")))]
    pub model: Option<String>,
    /// Heartbeat; over the Gateway's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Heartbeat>,
    /// Identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Files. An Agent's own entry of the same name wins: its text as a whole, its policy by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::files")]
    pub files: Vec<FileSpec>,
}

/// What is known of a Board.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BoardStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `GatewayResolved`, `LeadReady`, `Paused`, `Ready`; `Reconciling` and `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The Gateway that `gatewayRef` was resolved to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayName>,
    /// How many Agents belong to this Board.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents: Option<AgentCounts>,
}

/// How many Agents belong to a Board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentCounts {
    /// All of them.
    pub total: i32,
    /// Those that are Ready.
    pub ready: i32,
    /// Those that are online.
    #[serde(default)]
    pub online: i32,
}
