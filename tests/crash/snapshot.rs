//! Both worlds as they are, without what differs between two that are the same: ids drawn at random, times, revisions.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use data_encoding::HEXLOWER;
use k8s_openapi::{
    ByteString,
    api::{core::v1::Secret, events::v1::Event},
};
use kube::api::ListParams;
use mission_operator::api::{Agent, Board, Gateway};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    fake::Fake,
    tap::token,
    team::{SECOND, Team},
};

/// Keys of objects that tell one world from another.
const VOLATILE: [&str; 10] = [
    "uid",
    "gatewayUid",
    "resourceVersion",
    "creationTimestamp",
    "managedFields",
    "lastTransitionTime",
    "modified",
    "bootId",
    "lastTime",
    "lastSeenTime",
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
    let boards = all::<Board, _>(
        team.api::<Board>()
            .list(&ListParams::default())
            .await?
            .items,
    );
    let (tokens, kept): (Secrets, Secrets) = secrets(team)
        .await?
        .into_iter()
        .partition(|(name, _)| name.ends_with("-token"));
    let gateways = all::<Gateway, _>(
        team.api::<Gateway>()
            .list(&ListParams::default())
            .await?
            .items,
    );
    let mut both = json!({
        "agents": agents,
        "boards": boards,
        "gateways": gateways,
        "tokens": keys(&tokens),
        "kept": kept,
        "documents": team.fakes().map(Fake::document),
        "files": team.fakes().map(Fake::files),
        "checklists": team.fakes().map(Fake::scratches),
        "sessions": team.fakes().map(sessions),
    });
    strip(&mut both);
    let mut text = both.to_string().replace(&team.namespace, "TEAM");
    for (name, tokens) in &tokens {
        for (key, token) in tokens {
            text = text.replace(token, &format!("{key} of {name}"));
        }
    }
    for fake in team.fakes() {
        text = text
            .replace(&fake.state_dir(), "STATE")
            .replace(&fake.url(), "URL");
    }
    Ok(serde_json::from_str(&text)?)
}

/// The Secrets of agents, with what they hold.
async fn secrets(team: &Team) -> Result<Secrets> {
    let all = team.api::<Secret>().list(&ListParams::default()).await?;
    let of_agents = all.items.into_iter().filter(|secret| {
        let owners = secret.metadata.owner_references.iter().flatten();
        owners.into_iter().any(|owner| owner.kind == "Agent")
    });
    Ok(of_agents
        .map(|secret| {
            let data = secret.data.unwrap_or_default().into_iter();
            let text = |ByteString(bytes)| String::from_utf8(bytes).unwrap();
            let data = data.map(|(key, bytes)| (key, text(bytes))).collect();
            (secret.metadata.name.unwrap_or_default(), data)
        })
        .collect())
}

/// The texts in Secrets, by name and key.
type Secrets = BTreeMap<String, BTreeMap<String, String>>;

fn keys(secrets: &Secrets) -> Value {
    let keys = secrets
        .iter()
        .map(|(name, data)| (name, data.keys().collect::<Vec<_>>()));
    json!(keys.collect::<BTreeMap<_, _>>())
}

fn sessions(fake: &Fake) -> Value {
    let sessions = fake.sessions().into_iter().map(|(key, session)| {
        let told =
            json!({"label": session.label, "resets": session.resets, "messages": session.messages});
        (key, told)
    });
    sessions.collect::<serde_json::Map<_, _>>().into()
}

/// Fails where a file carries a token that nobody takes: one that is not in the Secret of its agent.
pub(crate) async fn tokens_are_taken(team: &Team) -> Result<()> {
    let held = secrets(team).await?;
    for (path, text) in team.fakes().into_iter().flat_map(Fake::files) {
        let taken = |token: &str| {
            held.values()
                .flat_map(BTreeMap::values)
                .any(|it| it == token)
        };
        ensure!(
            token(&text).is_none_or(taken),
            "the token in {path} is in no Secret"
        );
    }
    Ok(())
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
