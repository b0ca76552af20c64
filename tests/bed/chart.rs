//! The chart, installed by the real Helm.
//!
//! The rules of the roles that the operator's ServiceAccount is bound to are taken from the
//! rendered objects too, to be held against the audit log.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::process::Command;

use super::{audit::Rule, kubectl::Kubectl, operator};

/// The chart's directory.
pub(crate) fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/mission-operator")
}

/// The objects of the chart, rendered with its default values.
pub(crate) async fn render(helm: &Path) -> Result<Vec<Value>> {
    let output = Command::new(helm)
        .args(["template", "mission-operator"])
        .arg(path())
        .args(["--namespace", operator::NAMESPACE])
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("starting {}", helm.display()))?;
    anyhow::ensure!(
        output.status.success(),
        "helm template failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let text =
        String::from_utf8(output.stdout).context("the chart renders to text that is not UTF-8")?;
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text)
        .context("the chart renders to YAML that cannot be read")?;
    Ok(objects
        .into_iter()
        .filter(|object| !object.is_null())
        .collect())
}

/// Installs the chart as a user would, and waits until the API server serves the new kinds. Its Deployment starts nothing: the plane
/// has no node.
pub(crate) async fn install(helm: &Path, kubectl: &Kubectl) -> Result<()> {
    let output = Command::new(helm)
        .args(["install", "mission-operator"])
        .arg(path())
        .args(["--namespace", operator::NAMESPACE, "--create-namespace"])
        .arg("--kubeconfig")
        .arg(kubectl.kubeconfig())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("starting {}", helm.display()))?;
    anyhow::ensure!(
        output.status.success(),
        "helm install failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let definitions: Vec<String> = render(helm)
        .await?
        .iter()
        .filter(|object| object["kind"] == "CustomResourceDefinition")
        .filter_map(|object| object["metadata"]["name"].as_str())
        .map(|name| format!("customresourcedefinition/{name}"))
        .collect();
    anyhow::ensure!(!definitions.is_empty(), "the chart renders no CRD");
    let mut wait = vec!["wait", "--for=condition=Established", "--timeout=60s"];
    wait.extend(definitions.iter().map(String::as_str));
    kubectl.run(&wait).await?;
    Ok(())
}

/// Every permission that the operator's ServiceAccount gets from the chart's roles.
pub(crate) fn rules(objects: &[Value]) -> Vec<Rule> {
    let bound: Vec<(&str, &str)> = objects
        .iter()
        .filter(|object| {
            ["ClusterRoleBinding", "RoleBinding"]
                .contains(&object["kind"].as_str().unwrap_or_default())
        })
        .filter(|binding| {
            list(&binding["subjects"]).any(|subject| {
                subject["kind"] == "ServiceAccount" && subject["name"] == operator::SERVICE_ACCOUNT
            })
        })
        .filter_map(|binding| {
            Some((
                binding["roleRef"]["kind"].as_str()?,
                binding["roleRef"]["name"].as_str()?,
            ))
        })
        .collect();
    objects
        .iter()
        .filter(|object| {
            let kind = object["kind"].as_str().unwrap_or_default();
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            bound.contains(&(kind, name))
        })
        .flat_map(|role| list(&role["rules"]))
        .flat_map(permissions)
        .collect()
}

/// The permissions of one rule, one for each combination.
fn permissions(rule: &Value) -> Vec<Rule> {
    let strings = |field: &str| -> Vec<String> {
        list(&rule[field])
            .filter_map(|value| value.as_str().map(str::to_owned))
            .collect()
    };
    let (groups, resources, verbs) = (strings("apiGroups"), strings("resources"), strings("verbs"));
    let mut permissions = Vec::new();
    for group in &groups {
        for resource in &resources {
            for verb in &verbs {
                permissions.push(Rule {
                    group: group.clone(),
                    resource: resource.clone(),
                    verb: verb.clone(),
                });
            }
        }
    }
    permissions
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
