//! The rules that stand in the generated definitions, and whether the cases speak of each.

use std::collections::BTreeSet;

use mission_operator::api::crds;
use serde_json::Value;

use crate::cases::{Case, Expected};

/// One CEL rule: `path` is the field it stands at, with `[]` for every item of a list.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) kind: String,
    pub(crate) path: String,
    pub(crate) message: String,
}

/// Every rule of every kind.
pub(crate) fn all() -> Vec<Rule> {
    let mut rules = Vec::new();
    for crd in crds() {
        let value = serde_json::to_value(&crd).unwrap();
        let spec = &value["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        collect(&crd.spec.names.kind, "spec", spec, &mut rules);
    }
    rules
}

fn collect(kind: &str, path: &str, schema: &Value, rules: &mut Vec<Rule>) {
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let message = rule["message"].as_str().unwrap().to_owned();
        rules.push(Rule {
            kind: kind.to_owned(),
            path: path.to_owned(),
            message,
        });
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        collect(kind, &format!("{path}.{name}"), property, rules);
    }
    if schema["items"].is_object() {
        collect(kind, &format!("{path}[]"), &schema["items"], rules);
    }
}

impl Rule {
    /// Whether a case expects exactly this rule to refuse it.
    pub(crate) fn is_refused_by(&self, case: &Case) -> bool {
        match &case.expected {
            Expected::Accepted => false,
            Expected::Refused { field, says } => {
                case.kind == self.kind
                    && without_indices(field) == self.path
                    && self.message.contains(says.as_str())
            }
        }
    }

    /// Whether a case is accepted that has something where this rule stands.
    pub(crate) fn is_met_by(&self, case: &Case) -> bool {
        let mut paths = BTreeSet::new();
        paths_of("spec", &case.spec, &mut paths);
        matches!(case.expected, Expected::Accepted)
            && case.kind == self.kind
            && paths.contains(&self.path)
    }
}

fn paths_of(path: &str, value: &Value, paths: &mut BTreeSet<String>) {
    paths.insert(path.to_owned());
    for (key, value) in value.as_object().into_iter().flatten() {
        paths_of(&format!("{path}.{key}"), value, paths);
    }
    for item in value.as_array().into_iter().flatten() {
        paths_of(&format!("{path}[]"), item, paths);
    }
}

fn without_indices(field: &str) -> String {
    field
        .chars()
        .filter(|c| !c.is_ascii_digit() || !field.contains('['))
        .collect()
}
