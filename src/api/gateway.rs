//! `Gateway`: one running OpenClaw gateway, how to reach it, and what its agents inherit.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::heartbeat::Heartbeat;
use super::owned::OwnedAgent;
use super::reference::{SecretKeyRef, Templates};
use super::user::UserProfile;
use super::{rule, schema};

/// What a Gateway is to be.
#[expect(
    clippy::duplicated_attributes,
    reason = "printer columns of one type, and several selectable fields"
)]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mission.openclaw.dev",
    version = "v1alpha1",
    kind = "Gateway",
    namespaced,
    status = "GatewayStatus",
    derive = "PartialEq",
    shortname = "ocgw",
    category = "openclaw",
    doc = "A running OpenClaw gateway that the operator drives through its WebSocket control plane.",
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
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Agents", type_ = "integer", json_path = ".status.agents"),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.url", priority = 1),
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
#[schemars(extend("x-kubernetes-validations" = rule::gateway()))]
pub struct GatewaySpec {
    /// Address of the gateway: `ws://HOST[:PORT][/PATH]`, or `wss://` where it speaks TLS, for example `wss://openclaw.openclaw.svc:18789`. A new address means the same gateway at another place.
    #[schemars(length(min = 1, max = 2048), extend("x-kubernetes-validations" = rule::url()))]
    pub url: String,
    /// The credential with which the operator signs in.
    pub auth: GatewayAuth,
    /// How the gateway proves who it is; only with `wss://`. Without it the operator's own list of well-known CAs decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<GatewayTls>,
    /// Folder on the gateway's machine in which agents get their workspace, `<workspaceRoot>/workspace-<agentId>`, for example `~/.openclaw`.
    /// Written as it stands here; `~` is the gateway's to expand. Without it the gateway chooses. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), extend("x-kubernetes-validations" = rule::workspace_root()))]
    pub workspace_root: Option<String>,
    /// From which namespaces Boards and Agents may refer to this Gateway. Without it: only from its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
    /// Where the agents of this Gateway reach the API that they call, as seen from the gateway's machine. Without it: what the operator's setting `--agent-api-url` says, else they are not told of the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), extend("x-kubernetes-validations" = rule::agent_api_url()))]
    pub agent_api_url: Option<String>,
    /// What happens to heartbeats of agents that are not ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_heartbeats: Option<ForeignHeartbeats>,
    /// Whom the agents of this Gateway work for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserProfile>,
    /// Heartbeat of the agents of this Gateway, where neither Board nor Agent says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Heartbeat>,
    /// Templates for the files of this Gateway's agents that name no text of their own, key by key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub templates: Option<Templates>,
    /// An agent for the gateway as a whole: an Agent of role `Main`, called after the Gateway and `-main`, is made and owned. `{}` makes one with nothing but defaults. Removed here, it is deleted. It is never the gateway's own `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub main_agent: Option<OwnedAgent>,
    /// While `true` nothing at all is written to the gateway: what is declared meanwhile waits, deletions too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// The credential for the gateway. Exactly one of `tokenSecretRef` and `passwordSecretRef`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rule::auth()))]
pub struct GatewayAuth {
    /// The gateway's token (`gateway.auth.mode: token`), in a Secret of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeyRef>,
    /// The gateway's password (`gateway.auth.mode: password`), in a Secret of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeyRef>,
    /// Secret of this namespace in which the operator keeps its device identity for this gateway; it creates and owns it. Default: the Gateway's name and `-device`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-kubernetes-validations" = rule::object_name()))]
    pub device_secret_name: Option<String>,
    /// Who approves that device on the gateway, which asks for it unless it sees the operator on its own loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairing: Option<Pairing>,
}

/// Who approves the operator's device. `Auto`, the default: the operator itself, where the gateway's admin-http-rpc plugin is on, and a person where it is not. `Manual`: a person; `Authenticated` shows the command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Pairing {
    /// The operator, where the gateway's admin-http-rpc plugin is on.
    #[default]
    Auto,
    /// A person.
    Manual,
}

/// How the gateway proves who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1, "x-kubernetes-validations" = rule::tls()))]
pub struct GatewayTls {
    /// CA certificates in PEM, in a Secret of this namespace, that alone are trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
    /// SHA-256 of the gateway's certificate, in hex, with or without colons, as `openssl x509 -noout -fingerprint -sha256` shows it. That certificate alone is trusted, whatever name and dates it carries: for the one that a gateway makes for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 95), extend("x-kubernetes-validations" = rule::sha256()))]
    pub pinned_sha256: Option<String>,
    /// Name that the certificate must carry, where it is not the address's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rule::server_name()))]
    pub server_name: Option<String>,
}

/// From which namespaces a Gateway may be referred to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rule::allowed_namespaces()))]
pub struct AllowedNamespaces {
    /// `Same`: only the Gateway's own namespace. `All`: every namespace. `Selector`: those whose labels `selector` matches, and the Gateway's own.
    pub from: NamespacesFrom,
    /// Labels of the namespaces that are allowed; only with `from: Selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::label_selector")]
    pub selector: Option<LabelSelector>,
    /// Whether Agents of other namespaces that may be here may also take over agents that are on the gateway already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adoption: bool,
}

/// Which namespaces are allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NamespacesFrom {
    /// Only the Gateway's own.
    #[default]
    Same,
    /// Every one.
    All,
    /// Those whose labels match, and the Gateway's own.
    Selector,
}

/// What happens to the heartbeats of agents that no Agent object stands for. On a gateway where no agent has heartbeat settings of its own, the shared ones hold; the first own ones silence all others.
/// `Keep`, the default: those that were beating get their own, so that they go on, and lose them again with the last of the operator's. `Stop`: they fall silent, with a warning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ForeignHeartbeats {
    /// They go on beating: the operator gives them a block of their own, and takes it out with the last of ours.
    #[default]
    Keep,
    /// They fall silent, with a warning.
    Stop,
}

/// What is known of a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Reachable`, `Authenticated`, `Compatible`, `MainAgentReady`, `OrphanedAgents`, `Paused`, `Ready`; `Reconciling` and `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// OpenClaw version that the gateway told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Identity of the gateway's process; another one means that it restarted. Gateways with the same one are the same process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// Ids of agents that are not ours and got a heartbeat block from the operator to go on beating.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub kept_heartbeats: Vec<String>,
    /// Ids of agents that the operator deleted and has not created again, the newest last, 500 at most. The gateway remembers its
    /// deletions: an agent that comes back under such an id has to be made in another way, or the gateway restarts itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub deleted_agents: Vec<String>,
    /// Ids of agents on the gateway that carry this cluster's mark and for which there is no Agent, 100 at most. Looked for now and then, and
    /// left alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic", "maxItems" = 100))]
    pub orphaned_agents: Vec<String>,
    /// How many Agents hold a claim on this Gateway, those that are being deleted included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents: Option<i32>,
    /// While the Gateway is paused: how many Agents have something that waits for its end, deletions included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<i32>,
}
