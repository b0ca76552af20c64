//! Both worlds as they are, without what differs between two that are the same: ids drawn at random, times, revisions.

use std::collections::BTreeSet;

use anyhow::Result;
use data_encoding::HEXLOWER;
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::api::ListParams;
use mission_operator::api::{Agent, Gateway};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    fake::Fake,
    team::{SECOND, Team},
};

/// Keys of objects that tell one world from another.
const VOLATILE: [&str; 8] = [
    "uid",
    "gatewayUid",
    "resourceVersion",
    "creationTimestamp",
    "managedFields",
    "lastTransitionTime",
    "modified",
    "bootId",
];

/// What is compared.
pub(crate) async fn snapshot(team: &Team) -> Result<Value> {
    let mut agents = all::<Agent, _>(
        team.api::<Agent>()
            .list(&ListParams::default())
            .await?
            .items,
    );
    for agent in agents.as_array_mut().unwrap() {
        let on = agent["status"]["gateway"]["name"] == SECOND;
        hold_against(&mut agent["status"], team.fakes()[usize::from(on)]);
    }
    let secrets = team.api::<Secret>().list(&ListParams::default()).await?;
    let names: BTreeSet<_> = secrets
        .items
        .into_iter()
        .filter_map(|secret| secret.metadata.name)
        .collect();
    let gateways = all::<Gateway, _>(
        team.api::<Gateway>()
            .list(&ListParams::default())
            .await?
            .items,
    );
    let mut both = json!({
        "agents": agents,
        "gateways": gateways,
        "secrets": names,
        "documents": team.fakes().map(Fake::document),
        "files": team.fakes().map(Fake::files),
        "checklists": team.fakes().map(Fake::scratches),
    });
    strip(&mut both);
    let mut text = both.to_string().replace(&team.namespace, "TEAM");
    for fake in team.fakes() {
        text = text
            .replace(&fake.state_dir(), "STATE")
            .replace(&fake.url(), "URL");
    }
    Ok(serde_json::from_str(&text)?)
}

/// Reasons of the operator's events on the team's objects, the Warnings marked.
pub(crate) async fn told(team: &Team) -> Result<BTreeSet<String>> {
    let events = team.api::<Event>().list(&ListParams::default()).await?;
    let told = events.items.into_iter().map(|event| {
        let reason = event.reason.unwrap_or_default();
        if event.type_.as_deref() == Some("Normal") {
            reason
        } else {
            format!("Warning {reason}: {}", event.note.unwrap_or_default())
        }
    });
    Ok(told.collect())
}

/// What differs, as a JSON patch from the first to the second.
pub(crate) fn difference(wanted: &Value, found: &Value) -> String {
    json_patch::diff(wanted, found)
        .iter()
        .map(|operation| format!("    {operation}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn all<K: Serialize, I: IntoIterator<Item = K>>(objects: I) -> Value {
    serde_json::to_value(objects.into_iter().collect::<Vec<_>>()).unwrap()
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !VOLATILE.contains(&key.as_str()));
            map.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// Puts, in place of the hashes and revisions in an Agent's status, whether they are those of what is on the gateway.
fn hold_against(status: &mut Value, fake: &Fake) {
    let id = status["agentId"].as_str().unwrap_or_default().to_owned();
    let hash = |text: Option<String>| text.map(|text| HEXLOWER.encode(&Sha256::digest(text)));
    for file in status["files"].as_array_mut().into_iter().flatten() {
        let name = file["name"].as_str().unwrap_or_default();
        let is_right = hash(fake.file(&id, name)).as_deref() == file["sha256"].as_str();
        file["sha256"] = json!(is_right);
    }
    if let Some(checklist) = status.get_mut("checklist") {
        let scratch = fake.scratches().remove(&id).flatten();
        let is_right = hash(scratch).as_deref() == checklist["sha256"].as_str();
        *checklist = json!(is_right);
    }
}
