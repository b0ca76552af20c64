//! The definitions against a real API server: what it takes, what it refuses and in which words; the chart that installs
//! them; and that what is committed is what the types give.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, too, fail by panicking"
)]

#[path = "../bed/mod.rs"]
mod bed;
mod cases;
mod chart;
mod rules;
mod server;

use std::path::{Path, PathBuf};

use mission_operator::api::{crd_files, crds};
use serde_json::{Value, json};

use cases::Expected;
use server::Server;

#[test]
fn every_rule_has_a_case_that_it_refuses_and_one_that_it_accepts() {
    let cases: Vec<_> = cases::shapes()
        .into_iter()
        .chain(cases::changes())
        .collect();
    let mut untested = Vec::new();
    for rule in rules::all() {
        if !cases.iter().any(|case| rule.is_refused_by(case)) {
            untested.push(format!("no case is refused by {rule:?}"));
        }
        if !cases.iter().any(|case| rule.is_met_by(case)) {
            untested.push(format!("no accepted case meets {rule:?}"));
        }
    }
    assert!(untested.is_empty(), "{}", untested.join("\n"));
}

#[tokio::test]
async fn the_server_takes_and_refuses_what_the_cases_say() {
    let server = Server::start("shapes").await;
    let mut wrong = Vec::new();
    for case in cases::shapes() {
        let answer = server.create(&case.kind, &case.spec).await;
        wrong.extend(
            compare(&case.expected, answer)
                .map(|fault| format!("{} {}: {fault}", case.kind, case.spec)),
        );
    }
    assert!(
        wrong.is_empty(),
        "{} cases are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    server.finish().await;
}

#[tokio::test]
async fn the_server_lets_change_only_what_may_change() {
    let server = Server::start("changes").await;
    let mut wrong = Vec::new();
    for case in cases::changes() {
        let before = case.before.as_ref().unwrap();
        let answer = server.change(&case.kind, before, &case.spec).await;
        wrong.extend(
            compare(&case.expected, answer)
                .map(|fault| format!("{} {before} to {}: {fault}", case.kind, case.spec)),
        );
    }
    assert!(
        wrong.is_empty(),
        "{} cases are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    server.finish().await;
}

/// What is wrong with an answer, if anything.
fn compare(expected: &Expected, answer: Result<Value, Vec<server::Cause>>) -> Option<String> {
    match (expected, answer) {
        (Expected::Accepted, Ok(_)) => None,
        (Expected::Accepted, Err(causes)) => Some(format!("refused with {causes:?}")),
        (Expected::Refused { says, .. }, Ok(_)) => {
            Some(format!("accepted, not refused with {says:?}"))
        }
        (Expected::Refused { field, says }, Err(causes)) => match causes.as_slice() {
            [cause] if cause.field == *field && cause.message.contains(says.as_str()) => None,
            _ => Some(format!(
                "not refused for {field} with {says:?} alone, but with {causes:?}"
            )),
        },
    }
}

#[tokio::test]
async fn a_null_counts_as_an_absent_field() {
    let server = Server::start("null").await;
    let spec = json!({"boardRef": {"name": "research"}, "gatewayRef": null, "model": null, "heartbeat": null, "files": null});
    let stored = server.create("Agent", &spec).await.unwrap();
    assert_eq!(
        stored["spec"],
        json!({"boardRef": {"name": "research"}, "role": "Worker"})
    );
    server.finish().await;
}

#[tokio::test]
async fn the_server_fills_in_nothing_that_hides_what_is_inherited() {
    let server = Server::start("defaults").await;
    let spec = json!({"boardRef": {"name": "research"}, "heartbeat": {"prompt": "a"}, "identity": {"role": "a"}, "files": [{"name": "SOUL.md", "content": "a"}]});
    let mut expected = spec.clone();
    expected["role"] = json!("Worker");
    assert_eq!(
        server.create("Agent", &spec).await.unwrap()["spec"],
        expected
    );
    server.finish().await;
}

#[tokio::test]
async fn the_server_stores_a_definition_as_it_is_written() {
    let server = Server::start("definitions").await;
    for crd in crds() {
        let stored = server.definition(&crd.metadata.name.clone().unwrap()).await;
        let written = serde_json::to_value(&crd.spec).unwrap();
        assert_eq!(
            stored["versions"], written["versions"],
            "Argo CD would show a difference for ever"
        );
        let reasons: Vec<&Value> = stored["names"].as_object().unwrap().values().collect();
        assert!(reasons.contains(&&json!(["openclaw"])), "{reasons:?}");
    }
    server.finish().await;
}

#[tokio::test]
async fn agents_and_boards_are_found_by_what_they_refer_to() {
    let server = Server::start("selectors").await;
    let agents = server.api("Agent");
    let by_board = server
        .store(
            "Agent",
            "by-board",
            &json!({"boardRef": {"name": "research"}}),
        )
        .await;
    let by_gateway = server
        .store(
            "Agent",
            "by-gateway",
            &json!({"gatewayRef": {"name": "main"}}),
        )
        .await;
    server
        .write_status(
            "Agent",
            &by_board,
            &json!({"gateway": {"name": "main", "namespace": "a"}}),
        )
        .await;
    server
        .store(
            "Board",
            "research",
            &json!({"gatewayRef": {"name": "main"}}),
        )
        .await;

    for (selector, names) in [
        (
            "spec.role=Worker",
            vec![by_board.clone(), by_gateway.clone()],
        ),
        ("spec.boardRef.name=research", vec![by_board.clone()]),
        ("spec.gatewayRef.name=main", vec![by_gateway.clone()]),
        ("status.gateway.name=main", vec![by_board.clone()]),
    ] {
        assert_eq!(server::names(&agents, selector).await, names, "{selector}");
    }
    assert_eq!(
        server::names(&server.api("Board"), "spec.gatewayRef.name=main").await,
        ["research"]
    );
    server.finish().await;
}

#[tokio::test]
async fn the_samples_are_taken_as_they_stand() {
    let server = Server::start("samples").await;
    let mut kinds = Vec::new();
    for file in yaml_files("deploy/samples") {
        for object in documents(&file) {
            kinds.push(object["kind"].as_str().unwrap().to_owned());
            if object["apiVersion"] != "mission.openclaw.dev/v1alpha1" {
                continue;
            }
            let stored = server
                .create(object["kind"].as_str().unwrap(), &object["spec"])
                .await;
            let mut stored =
                stored.unwrap_or_else(|causes| panic!("{}: {causes:?}", file.display()));
            if let Some(spec) = stored["spec"]
                .as_object_mut()
                .filter(|_| object["spec"]["role"].is_null())
            {
                spec.remove("role");
            }
            assert_eq!(
                stored["spec"],
                object["spec"],
                "{}: the server dropped a field that is in no schema",
                file.display()
            );
        }
    }
    kinds.sort();
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            "Agent",
            "Board",
            "ConfigMap",
            "Gateway",
            "Namespace",
            "Secret"
        ]
    );
    server.finish().await;
}

#[tokio::test]
async fn the_manifests_in_the_readme_are_taken_as_they_stand() {
    let server = Server::start("readme").await;
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = readme.split("```yaml\n").skip(1);
    let mut kinds = Vec::new();
    for block in blocks.filter_map(|block| block.split("```").next()) {
        let objects: Vec<Value> = serde_saphyr::from_multiple(block).unwrap();
        for object in objects
            .iter()
            .filter(|object| object["apiVersion"] == "mission.openclaw.dev/v1alpha1")
        {
            let kind = object["kind"].as_str().unwrap().to_owned();
            let stored = server.create(&kind, &object["spec"]).await;
            let stored = stored.unwrap_or_else(|causes| panic!("{kind}: {causes:?}"));
            assert_eq!(stored["spec"], object["spec"], "a field is in no schema");
            kinds.push(kind);
        }
    }
    assert_eq!(kinds, ["Gateway", "Board", "Agent"]);
    server.finish().await;
}

#[test]
fn the_committed_definitions_are_those_of_the_types() {
    for folder in ["crds", "charts/mission-operator/files/crds"] {
        let generated: Vec<_> = crd_files().unwrap();
        for file in &generated {
            let path = root().join(folder).join(&file.name);
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                committed == file.yaml,
                "{folder}/{} is stale; run `make crds`",
                file.name
            );
        }
        assert_eq!(
            yaml_files(folder).len(),
            generated.len(),
            "{folder} holds files that no kind is generated into"
        );
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The YAML files of a folder of the repository, by name.
fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    files
}

fn documents(file: &Path) -> Vec<Value> {
    serde_saphyr::from_multiple(&std::fs::read_to_string(file).unwrap()).unwrap()
}
