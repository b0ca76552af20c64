//! Schemas that a derive cannot give: types of `k8s-openapi`, free-form objects, and lists with a merge key.
//!
//! What users write is bounded everywhere: rules are priced by these bounds. What only the operator writes is bounded where the
//! bound is ours to keep; a list as long as a gateway's roster has none, because a status that does not fit can never be told.

use schemars::{Schema, SchemaGenerator, json_schema};

use super::agent::{FileStatus, Place};
use super::file::FileSpec;
use super::rule;

/// `metav1.Condition` as the API conventions have it, merged by type.
pub(super) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "type": {"type": "string", "maxLength": 316, "description": "What this condition speaks of, in CamelCase."},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether it holds."},
                "reason": {"type": "string", "minLength": 1, "maxLength": 1024, "description": "Why, as one word in CamelCase for programs."},
                "message": {"type": "string", "maxLength": 32768, "description": "What happened and what to do next, for people."},
                "lastTransitionTime": {"type": "string", "format": "date-time", "description": "When the status last changed."},
                "observedGeneration": {"type": "integer", "format": "int64", "description": "The generation of the spec that this condition speaks of."},
            }
        }
    })
}

/// `metav1.Time`.
pub(super) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time", "maxLength": 64})
}

/// `metav1.LabelSelector` with bounds.
pub(super) fn label_selector(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "matchLabels": {
                "type": "object",
                "maxProperties": 32,
                "additionalProperties": {"type": "string", "maxLength": 63},
                "description": "Labels that must have these values.",
            },
            "matchExpressions": {
                "type": "array",
                "maxItems": 32,
                "x-kubernetes-list-type": "atomic",
                "description": "Conditions on labels; all must hold.",
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "x-kubernetes-validations": rule::selector_requirement(),
                    "properties": {
                        "key": {"type": "string", "minLength": 1, "maxLength": 316, "description": "Key of the label."},
                        "operator": {"type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"], "description": "How the label's value relates to `values`."},
                        "values": {
                            "type": "array",
                            "maxItems": 64,
                            "x-kubernetes-list-type": "atomic",
                            "items": {"type": "string", "maxLength": 63},
                            "description": "Values for `In` and `NotIn`; none for `Exists` and `DoesNotExist`.",
                        },
                    }
                }
            }
        }
    })
}

/// Any object with at least one key.
pub(super) fn success_metrics(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "minProperties": 1, "maxProperties": 50, "x-kubernetes-preserve-unknown-fields": true})
}

/// Files by name; a gateway takes six names.
pub(super) fn files(generator: &mut SchemaGenerator) -> Schema {
    let item = generator.subschema_for::<FileSpec>();
    json_schema!({"type": "array", "maxItems": 6, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": item})
}

/// Files in status by name. Room for names that later gateways may take.
pub(super) fn file_statuses(generator: &mut SchemaGenerator) -> Schema {
    let item = generator.subschema_for::<FileStatus>();
    json_schema!({"type": "array", "maxItems": 64, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": item})
}

/// Places by Gateway: where the agent is, and those that it leaves.
pub(super) fn places(generator: &mut SchemaGenerator) -> Schema {
    let item = generator.subschema_for::<Place>();
    json_schema!({"type": "array", "maxItems": 32, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["gatewayUid"], "items": item})
}
