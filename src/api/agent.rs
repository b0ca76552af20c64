//! `Agent`: one OpenClaw agent on one gateway, with its files, model, heartbeat and session.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::FileSpec;
use super::heartbeat::Heartbeat;
use super::identity::Identity;
use super::reference::{BoardRef, GatewayName, GatewayRef};
use super::session::{SessionReset, SessionSpec};
use super::token::TokenSpec;
use super::wake::{WakeSpec, WakeStatus};
use super::{rule, schema};

/// What an Agent is to be.
#[expect(
    clippy::duplicated_attributes,
    reason = "printer columns of one type, and several selectable fields"
)]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mission.openclaw.dev",
    version = "v1alpha1",
    kind = "Agent",
    namespaced,
    status = "AgentStatus",
    derive = "PartialEq",
    shortname = "oca",
    category = "openclaw",
    selectable = ".spec.role",
    selectable = ".spec.boardRef.name",
    selectable = ".spec.gatewayRef.name",
    selectable = ".status.gateway.name",
    doc = "An OpenClaw agent: apply it, and it exists on its gateway; delete it, and it is gone from there.",
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
        name = "Online",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Online')].status"
    ),
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.role"),
    printcolumn(name = "Board", type_ = "string", json_path = ".spec.boardRef.name"),
    printcolumn(name = "Gateway", type_ = "string", json_path = ".status.gateway.name"),
    printcolumn(
        name = "Agent-ID",
        type_ = "string",
        json_path = ".status.agentId",
        priority = 1
    ),
    printcolumn(
        name = "Model",
        type_ = "string",
        json_path = ".spec.model",
        priority = 1
    ),
    printcolumn(
        name = "Last-Seen",
        type_ = "date",
        json_path = ".status.lastSeenTime",
        priority = 1
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
#[schemars(extend("x-kubernetes-validations" = rule::agent()))]
pub struct AgentSpec {
    /// What the agent is. `Worker`: does the work of its Board, or its own. `Lead`: leads its Board; a Board has one. `Main`: serves a whole gateway; a Gateway has one, and it is never the gateway's own `main`.
    #[serde(default)]
    pub role: Role,
    /// The Board that the agent works on; its Gateway is the agent's. Exactly one of `boardRef` and `gatewayRef`. Another Board moves the agent: on the same Gateway only its files change; on another one it is made there first, and taken off the old one, as `deletionPolicy` says, once it is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub board_ref: Option<BoardRef>,
    /// The Gateway of an agent without a Board. Another one moves the agent, as another Board does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_ref: Option<GatewayRef>,
    /// Name for people, and on the gateway; the object's name where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 120), extend("x-kubernetes-validations" = rule::line("displayName")))]
    pub display_name: Option<String>,
    /// Id on the gateway. Without it: `<namespace>_<name>`. For a Gateway in another namespace it must begin with `<namespace>_`. Immutable.
    // Longer than an id may be, so that a long one gets the rule's message and not only the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rule::agent_id()))]
    pub agent_id: Option<String>,
    /// Whether an agent that is on the gateway already under this id is taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adoption_policy: Option<AdoptionPolicy>,
    /// Model, for example `anthropic/claude-sonnet`. Without it: the Board's, then the gateway's own default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200), extend("x-kubernetes-validations" = rule::line("model")))]
    pub model: Option<String>,
    /// Who the agent is; field by field over the Board's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// When the agent wakes by itself; field by field over the Board's and the Gateway's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Heartbeat>,
    /// Files of the agent's workspace that are not to be the built-in ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::files")]
    pub files: Vec<FileSpec>,
    /// The agent's main session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionSpec>,
    /// When the agent is woken with a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake: Option<WakeSpec>,
    /// The token with which the agent calls the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenSpec>,
    /// What becomes of the agent on the gateway when this object is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// While `true` the agent does not beat and is left as it is: what is declared meanwhile waits. Deletion does not wait.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// What becomes of the agent on the gateway. `Delete`, the default: it is deleted there with its sessions and jobs, and its files go to the gateway's trash. `KeepFiles`: the same, but its files stay in its workspace. `Orphan`: it stays there as it is. In both, the operator's mark is taken out of AGENTS.md.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It goes, and its files to the gateway's trash.
    #[default]
    Delete,
    /// It goes, its files stay.
    KeepFiles,
    /// It stays.
    Orphan,
}

/// Whether an agent that is on the gateway already under this id is taken over. `Never`, the default: it is left alone, and `AgentExists` says what is there. `IfUnmarked`: it is taken over unless it carries the mark of an operator or is `main`, the gateway's own. What the spec does not name of name, model and heartbeat stays then as it is, and so do its `Seed` files; what `Enforce` files replace is kept in the Secret `<name>-adopted` first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AdoptionPolicy {
    /// It is left alone.
    #[default]
    Never,
    /// It is taken over, unless it carries a mark.
    IfUnmarked,
}

/// What an agent is. `Worker`, the default; `Lead` needs `boardRef`, `Main` needs `gatewayRef`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Role {
    /// Does the work.
    #[default]
    Worker,
    /// Leads its Board.
    Lead,
    /// Serves a whole gateway.
    Main,
}

impl Role {
    /// The word as it stands in the spec.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Worker => "Worker",
            Self::Lead => "Lead",
            Self::Main => "Main",
        }
    }
}

/// What is known of an Agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Accepted`, `TokenReady`, `Registered`, `ModelAvailable`, `HeartbeatConfigured`, `FilesSynced`, `Woken`, `Online`, `Paused`, `Ready`; `Reconciling` and `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Id of the agent on the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// Key of its main session, `agent:<agentId>:main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_key: Option<String>,
    /// Its workspace on the gateway's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_path: Option<String>,
    /// The Gateway that the agent is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayName>,
    /// Where this Agent holds a claim: the proof that what stands there is its own. The place where it is, or is to be; and while it moves to another Gateway, those that it leaves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::places")]
    pub places: Vec<Place>,
    /// The files that were written, as last confirmed by the gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::file_statuses")]
    pub files: Vec<FileStatus>,
    /// The heartbeat checklist as last confirmed by the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checklist: Option<ChecklistStatus>,
    /// Keys of the agent's entry in the gateway's configuration that the operator set; only these are ever removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub own_keys: Vec<String>,
    /// SHA-256, in hex, of these keys and their values as last confirmed: tells an edit on the gateway from a change of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_sha256: Option<String>,
    /// The Secret that holds the agent's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_name: Option<String>,
    /// The values of fields and annotations that act once, as last acted on: `token.rotate`, `session.reset`, `wake.now`, and the
    /// annotations `rotate-token`, `reset-session`, `wake`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<BTreeMap<String, String>>,
    /// Label of the main session as last confirmed by the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_label: Option<String>,
    /// A reset of the main session that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_reset: Option<SessionReset>,
    /// A wake-up that is under way, or was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake: Option<WakeStatus>,
    /// When the agent was last heard of: moved with other news of its presence, and by itself once it is an hour old. The exact time is a metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub last_seen_time: Option<Time>,
    /// What is declared and waits for the end of a pause: `config entry`, names of files, `heartbeat checklist`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub pending: Vec<String>,
}

/// One place on a gateway that an Agent holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Uid of the Gateway object.
    pub gateway_uid: String,
    /// Id of the agent there.
    pub agent_id: String,
    /// `Claimed`: the id was free and is ours to write. `Creating`: the same, and the gateway makes the agent before it is written, because it has deleted one of that id before. `Adopting`: it was there before, and what it had is kept; nothing is confirmed yet. `Registered`: the gateway confirmed the agent. `Returning`: it was removed there by somebody else and is written again.
    pub state: PlaceState,
    /// SHA-256, in hex, of the keys that the claim was made to write: tells an entry that came by us, unconfirmed because of a crash, from one that somebody else made under the id meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_sha256: Option<String>,
    /// Name of the Gateway.
    pub gateway: GatewayName,
    /// The agent was there before: of its name, model and heartbeat only what the spec names is the operator's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
    /// What a pause has replaced: `heartbeat.every` of the agent's entry; `{}` where it had a heartbeat block without it, and empty where it had no block. When the pause ends, it comes back wherever nothing else is declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_every: Option<String>,
    /// Since when the agent is to be somewhere else: it is taken off here, as `deletionPolicy` says, once it is confirmed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub leaving_since: Option<Time>,
    /// Of a place that the agent leaves: the keys of its entry that the operator set. Those of the present place stand in the status itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub own_keys: Vec<String>,
}

/// How far a place is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PlaceState {
    /// The id was read to be free; nothing confirmed yet.
    #[default]
    Claimed,
    /// As `Claimed`, and made by `agents.create` before it is written, because the gateway has deleted an agent of that id before.
    Creating,
    /// The agent was there before, is ours now, and what is about to be overwritten of it is kept; nothing confirmed yet.
    Adopting,
    /// The gateway confirmed the agent.
    Registered,
    /// The gateway had confirmed it, somebody removed it there, and it is written again: its workspace may be a new one.
    Returning,
}

impl PlaceState {
    /// Whether the gateway has ever confirmed the agent, or had it before.
    #[must_use]
    pub fn is_confirmed(self) -> bool {
        matches!(self, Self::Adopting | Self::Registered | Self::Returning)
    }
}

/// One file as last confirmed by the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileStatus {
    /// Name of the file.
    pub name: String,
    /// SHA-256, in hex, of the text the operator wrote last, or found and left; none of an ignored file that it never wrote.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sha256: String,
    /// Size on the gateway in bytes.
    pub size: i64,
    /// Time of the last change on the gateway, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<i64>,
    /// `Synced`: the gateway holds our text. `Seeded`: written once, the agent's own since. `Ignored`: left alone from the start, or since it was written. `Drifted`: seeded or ignored, and changed or deleted since it was written. `Emptied`: a file of the gateway's own that is not wanted, emptied once.
    pub state: FileState,
}

/// How a file stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FileState {
    /// The gateway holds our text, and it is put back when it changes.
    Synced,
    /// Written once; the agent's own since.
    Seeded,
    /// Seeded or ignored, and changed or deleted since it was written; left as it is.
    Drifted,
    /// Left alone from the start, or since it was written.
    Ignored,
    /// A file of the gateway's own that is not wanted, emptied once.
    Emptied,
}

impl FileState {
    /// Written once; the agent's own since.
    #[must_use]
    pub const fn is_seeded(self) -> bool {
        matches!(self, Self::Seeded | Self::Drifted)
    }
}

/// The heartbeat checklist as last confirmed by the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChecklistStatus {
    /// SHA-256 of the text the operator wrote last, in hex.
    pub sha256: String,
    /// The gateway's revision number of it.
    pub revision: i64,
}
