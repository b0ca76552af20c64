//! The chart, rendered by the real Helm: what it holds, what each value changes, and what the API server says to it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;

use clap::Parser;
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, PostParams};
use mission_operator::api::crds;
use mission_operator::cli::{Cli, Command};
use mission_operator::settings::Settings;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::bed::Bed;

/// A setting of one value, and the text that comes (`+ `) or goes (`- `) with it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Setting {
    set: String,
    #[serde(default)]
    with: Vec<String>,
    shows: String,
}

/// A setting that the values' schema refuses, and a part of what Helm says then.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BadSetting {
    set: String,
    says: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChartCases {
    taken: Vec<Setting>,
    refused: Vec<BadSetting>,
}

fn cases() -> ChartCases {
    serde_saphyr::from_str(include_str!("chart.yaml")).unwrap()
}

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/mission-operator")
}

fn helm(bed: &Bed, sets: &[&str]) -> Output {
    let mut command = std::process::Command::new(&bed.description.tools.helm);
    command
        .args(["template", "mission-operator", "--namespace", "default"])
        .arg(chart());
    for set in sets {
        command.args(["--set", set]);
    }
    command.output().unwrap()
}

fn rendered(bed: &Bed, sets: &[&str]) -> String {
    let output = helm(bed, sets);
    assert!(
        output.status.success(),
        "{sets:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn objects(bed: &Bed, sets: &[&str]) -> Vec<Value> {
    serde_saphyr::from_multiple(&rendered(bed, sets)).unwrap()
}

fn one<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found: Vec<&Value> = objects
        .iter()
        .filter(|object| object["kind"] == kind)
        .collect();
    assert_eq!(found.len(), 1, "{kind}");
    found[0]
}

#[test]
fn the_chart_passes_lint() {
    let bed = Bed::from_env();
    let output = std::process::Command::new(&bed.description.tools.helm)
        .arg("lint")
        .arg("--strict")
        .arg(chart())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn the_chart_installs_the_definitions_of_the_types_and_keeps_them() {
    let bed = Bed::from_env();
    let rendered: Vec<Value> = objects(&bed, &[])
        .into_iter()
        .filter(|object| object["kind"] == "CustomResourceDefinition")
        .collect();
    for crd in crds() {
        let object = rendered
            .iter()
            .find(|object| object["metadata"]["name"].as_str() == crd.metadata.name.as_deref());
        let object = object.unwrap_or_else(|| panic!("no {:?}", crd.metadata.name));
        let installed: CustomResourceDefinition = serde_json::from_value(object.clone()).unwrap();
        assert_eq!(installed.spec, crd.spec);
        assert_eq!(
            object["metadata"]["annotations"]["helm.sh/resource-policy"],
            "keep"
        );
    }
    assert_eq!(rendered.len(), crds().len());
}

#[test]
fn every_value_has_a_setting_that_shows_what_it_changes() {
    let values: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(chart().join("values.yaml")).unwrap())
            .unwrap();
    let mut leaves = BTreeSet::new();
    leaves_of("", &values, &mut leaves);
    for setting in cases().taken {
        leaves.retain(|leaf| !covers(&setting.set, leaf));
    }
    assert!(leaves.is_empty(), "no setting in chart.yaml for {leaves:?}");
}

fn covers(set: &str, leaf: &str) -> bool {
    set.strip_prefix(leaf)
        .is_some_and(|rest| rest.starts_with(['=', '.', '[']))
}

fn leaves_of(path: &str, value: &Value, leaves: &mut BTreeSet<String>) {
    match value.as_object() {
        Some(map) if !map.is_empty() => {
            for (key, value) in map {
                let below = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                leaves_of(&below, value, leaves);
            }
        }
        _ => {
            leaves.insert(path.to_owned());
        }
    }
}

#[test]
fn each_setting_shows() {
    let bed = Bed::from_env();
    for setting in cases().taken {
        let with: Vec<&str> = setting.with.iter().map(String::as_str).collect();
        let without = rendered(&bed, &with);
        let changed = rendered(&bed, &[with, vec![setting.set.as_str()]].concat());
        let (sign, text) = setting.shows.split_at(2);
        let (lacks, has) = if sign == "+ " {
            (without, changed)
        } else {
            (changed, without)
        };
        assert!(has.contains(text) && !lacks.contains(text), "{setting:?}");
    }
}

#[test]
fn a_bad_value_is_refused_before_anything_is_installed() {
    let bed = Bed::from_env();
    for bad in cases().refused {
        let output = helm(&bed, &[&bad.set]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && errors.contains(&bad.says),
            "{bad:?}: {errors}"
        );
    }
}

#[tokio::test]
async fn the_pod_is_admitted_where_pod_security_is_restricted() {
    let bed = Bed::from_env();
    let client = bed.client().await.unwrap();
    let restricted = json!({"metadata": {
        "generateName": "chart-",
        "labels": {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest"},
    }});
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = namespaces
        .create(
            &PostParams::default(),
            &serde_json::from_value(restricted).unwrap(),
        )
        .await
        .unwrap();
    let namespace = namespace.metadata.name.unwrap();

    let objects = objects(&bed, &[]);
    let mut account: ServiceAccount =
        serde_json::from_value(one(&objects, "ServiceAccount").clone()).unwrap();
    account.metadata.namespace = None;
    Api::namespaced(client.clone(), &namespace)
        .create(&PostParams::default(), &account)
        .await
        .unwrap();
    let template = &one(&objects, "Deployment")["spec"]["template"];
    let pod: Pod = serde_json::from_value(
        json!({"metadata": {"generateName": "operator-"}, "spec": template["spec"]}),
    )
    .unwrap();
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let admitted = Api::<Pod>::namespaced(client, &namespace)
        .create(&dry_run, &pod)
        .await;
    namespaces
        .delete(&namespace, &DeleteParams::default())
        .await
        .unwrap();
    let admitted = admitted.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        admitted.spec.unwrap().service_account_name.as_deref(),
        Some("mission-operator")
    );
}

#[tokio::test]
async fn the_server_takes_every_object_of_the_chart() {
    let bed = Bed::from_env();
    let dry_run = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--filename",
        "-",
    ];
    let outcome = bed
        .kubectl()
        .call(&dry_run, &rendered(&bed, &[]))
        .await
        .unwrap();
    assert!(outcome.success, "{}", outcome.errors);
    assert_eq!(outcome.output.lines().count(), objects(&bed, &[]).len());
}

#[test]
fn the_operator_understands_the_arguments_that_the_chart_gives_it() {
    let bed = Bed::from_env();
    let objects = objects(&bed, &["operator.clusterId=eu-1"]);
    let container = &one(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    let args: Vec<String> = serde_json::from_value(container["args"].clone()).unwrap();
    let line = std::iter::once("mission-operator".to_owned()).chain(args);
    let command = Cli::try_parse_from(line)
        .unwrap_or_else(|error| panic!("{error}"))
        .command;
    let Command::Run(args) = command else {
        panic!("the chart does not run the operator")
    };
    let settings = Settings::try_from(args).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        json!(settings.http_address.port()),
        container["ports"][0]["containerPort"]
    );
    assert_eq!(settings.cluster_id, Some("eu-1".parse().unwrap()));
}
