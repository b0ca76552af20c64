//! References from one object to another, by name. A reference without a namespace means the object's own namespace;
//! Secrets and ConfigMaps are never read from another one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rule;

/// One key of a Secret in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret, in the namespace of this object.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rule::object_name()))]
    pub name: String,
    /// Key in the Secret's data.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rule::data_key()))]
    pub key: String,
}

/// One key of a ConfigMap in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap, in the namespace of this object.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rule::object_name()))]
    pub name: String,
    /// Key in the ConfigMap's data.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rule::data_key()))]
    pub key: String,
}

/// A ConfigMap in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapRef {
    /// Name of the ConfigMap, in the namespace of this object.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rule::object_name()))]
    pub name: String,
}

/// Templates that take the place of the built-in ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Templates {
    /// A ConfigMap whose keys are names of files, `SOUL.md` for all agents or `lead.SOUL.md` for those of one role, and `HEARTBEAT.md` for the heartbeat checklist.
    pub config_map_ref: ConfigMapRef,
}

/// A Gateway, in this namespace or in one whose Gateway allows ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRef {
    /// Name of the Gateway.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rule::object_name()))]
    pub name: String,
    /// Namespace of the Gateway, if it is not the one of this object. That Gateway must allow this namespace in `spec.allowedNamespaces`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), extend("x-kubernetes-validations" = rule::namespace_name()))]
    pub namespace: Option<String>,
}

/// A Board in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BoardRef {
    /// Name of the Board, in the namespace of this object.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rule::object_name()))]
    pub name: String,
}

/// The Gateway that a reference was resolved to.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct GatewayName {
    /// Name of the Gateway.
    pub name: String,
    /// Namespace of the Gateway.
    pub namespace: String,
}
