//! What the calls take and answer, as it stands in the `OpenAPI` document.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::{
    agent::Role,
    board::{BoardRules, BoardType},
    reference::GatewayName,
};

/// That the API is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Health {
    /// `ok`.
    pub status: String,
}

/// What is known of the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Name of the Agent object.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Id on the gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// `Worker`, `Lead` or `Main`.
    pub role: Role,
    /// Name for people.
    pub display_name: String,
    /// Name of the Board.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub board: Option<String>,
    /// The Gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayName>,
    /// Key of the main session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_key: Option<String>,
    /// The workspace on the gateway's machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_path: Option<String>,
    /// Whether a pause holds: of the Agent, its Board or its Gateway.
    pub paused: bool,
    /// Whether it is on the gateway as declared.
    pub ready: Ready,
    /// Whether it is online; null where that is not known.
    pub online: Option<bool>,
    /// When it was last heard of; null where it was not since the operator started.
    #[schemars(extend("format" = "date-time"))]
    pub last_seen: Option<String>,
}

/// Whether something is as declared, and why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Ready {
    /// `True`, `False` or `Unknown`.
    #[schemars(extend("enum" = ["True", "False", "Unknown"]))]
    pub status: String,
    /// One word.
    pub reason: String,
    /// What happened and what to do next.
    pub message: String,
}

/// The answer to a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HeartbeatAnswer {
    /// The caller's record.
    pub agent: Record,
    /// Names of the caller's files that the operator wrote since the caller's last heartbeat; all of them at the first one that this operator gets.
    /// What is named is named again for a minute, so that a heartbeat whose answer was lost can be repeated.
    pub changed: Vec<String>,
    /// What is declared and waits for the end of a pause.
    pub pending: Vec<String>,
}

/// One agent of a Board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Name of the Agent object.
    pub name: String,
    /// Name for people.
    pub display_name: String,
    /// `Worker` or `Lead`.
    pub role: Role,
    /// Whether it is on the gateway as declared.
    pub ready: bool,
    /// Whether it is online; null where that is not known.
    pub online: Option<bool>,
    /// When it was last heard of; null where it was not since the operator started.
    #[schemars(extend("format" = "date-time"))]
    pub last_seen: Option<String>,
}

/// The agents of a Board, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Roster {
    /// All of them, the caller included.
    pub agents: Vec<Member>,
}

/// The caller's Board.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BoardRecord {
    /// Name of the Board object.
    pub name: String,
    /// Name for people.
    pub display_name: String,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What kind of work it is for.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<BoardType>,
    /// What is to be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objective: Option<String>,
    /// How success is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_metrics: Option<BTreeMap<String, Value>>,
    /// When it is to be reached, `YYYY-MM-DD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_date: Option<String>,
    /// Whether the goal is settled.
    pub goal_confirmed: bool,
    /// Rules of work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<BoardRules>,
    /// How many workers it takes; absent: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_agents: Option<i32>,
    /// Names of the Agents on it, sorted.
    pub members: Vec<String>,
}

/// A sign of life. Nothing in it is needed, and nothing changes anything: it is always the one of the token's owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// As agents of Mission Control send it; not looked at.
    pub name: Option<String>,
    /// As agents of Mission Control send it; not looked at.
    pub board_id: Option<String>,
    /// As agents of Mission Control send it; not looked at.
    pub status: Option<String>,
}

/// A worker to add.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NewAgent {
    /// Name of the Agent object: lower case letters, digits, `-` and `.`, beginning and ending with a letter or digit.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Name for people; the object's name where it is not given. One line.
    #[schemars(length(min = 1, max = 120))]
    pub display_name: Option<String>,
    /// What the worker is on its team, for example `Analyst`. One line.
    #[schemars(length(min = 1, max = 120))]
    pub role: Option<String>,
    /// Model, for example `anthropic/claude-sonnet`; the Board's where it is not given.
    #[schemars(length(min = 1, max = 200))]
    pub model: Option<String>,
    /// Text of its SOUL.md; the ordinary one where it is not given. Written as it stands.
    #[schemars(length(min = 1))]
    pub soul: Option<String>,
}

/// A text for a SOUL.md.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Soul {
    /// The whole text, written as it stands: at most 20 000 UTF-16 units.
    #[schemars(length(min = 1))]
    pub content: String,
    /// Why it changes; kept beside the text.
    #[schemars(length(min = 1, max = 500))]
    pub reason: Option<String>,
}

/// Whom to wake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wake {
    /// Name of an Agent of the caller's Board.
    pub name: String,
    /// What it is told; the ordinary words where it is not given.
    #[schemars(length(min = 1, max = 4000))]
    pub message: Option<String>,
}

/// That something was taken, and is done soon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Taken {
    /// Name of the Agent.
    pub name: String,
    /// What happens now.
    pub detail: String,
}

/// Why a call was not answered (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProblemBody {
    /// What kind of problem it is.
    #[serde(rename = "type")]
    #[schemars(extend("format" = "uri"))]
    pub type_: String,
    /// The same in words.
    pub title: String,
    /// The status code.
    #[schemars(range(min = 400, max = 599))]
    pub status: u16,
    /// What happened and what to do next.
    pub detail: String,
    /// The request's id, as in the header `X-Request-Id`.
    pub request_id: String,
    /// The fields that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
}

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FieldProblem {
    /// Where it stands in the body: a JSON pointer as a URI fragment.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}
