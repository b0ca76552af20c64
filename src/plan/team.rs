//! What a lead may do with the agents of its Board: whom it may add, which Agents it may change, and who has the say over the others. Pure.
//!
//! An Agent that a lead added is an ordinary object: owned by the Board, so that it goes with it, and labelled. It carries nothing by which
//! Argo CD, Helm or Flux would take it for theirs.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::ConfigMap,
    apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, OwnerReference, Time},
    jiff::Timestamp,
};
use kube::{Resource, ResourceExt, core::ObjectMeta};
use serde_json::{Value, json};

use crate::api::{
    Agent, AgentSpec, Board, Gateway,
    agent::Role,
    annotation::{AGENT_API_FIELD_MANAGER, CHANGE_REASON, CREATED_BY, FIELD_MANAGER, MANAGED_BY},
    file::{FilePolicy, FileSpec},
    identity::Identity,
    owner,
    reason::Reason,
    reference::{BoardRef, ConfigMapKeyRef},
};
use crate::plan::{admission::Refusal, names, owned, seats};

/// The file that a lead may write.
pub const SOUL: &str = "SOUL.md";

/// The worker that a lead wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Newcomer {
    /// Name of the object.
    pub name: String,
    /// Name for people.
    pub display_name: Option<String>,
    /// What it is on its team.
    pub role: Option<String>,
    /// Its model.
    pub model: Option<String>,
    /// Whether a text for its SOUL.md is given.
    pub has_soul: bool,
}

/// Whether the name belongs to an Agent that one of `boards` or `gateways`, or the Gateway that a Board names, declares or may declare.
#[must_use]
pub fn is_reserved<'a>(
    name: &str,
    boards: impl IntoIterator<Item = &'a Board>,
    gateways: impl IntoIterator<Item = &'a Gateway>,
) -> bool {
    let is_main = |gateway: &str| name == owned::name_of(gateway, Role::Main);
    boards.into_iter().any(|board| {
        name == owned::name_of(&board.name_any(), Role::Lead)
            || is_main(&board.spec.gateway_ref.name)
    }) || gateways
        .into_iter()
        .any(|gateway| is_main(&gateway.name_any()))
}

/// The Agent object of a newcomer that `lead` adds to `board`.
#[must_use]
pub fn object(newcomer: &Newcomer, lead: &str, board: &Board) -> Agent {
    let role = newcomer.role.clone();
    let soul = newcomer.has_soul.then(|| soul_file(&newcomer.name));
    let spec = AgentSpec {
        role: Role::Worker,
        board_ref: Some(BoardRef {
            name: board.name_any(),
        }),
        display_name: newcomer.display_name.clone(),
        model: newcomer.model.clone(),
        identity: role.map(|role| Identity {
            role: Some(role),
            ..Identity::default()
        }),
        files: soul.into_iter().collect(),
        ..AgentSpec::default()
    };
    let mut agent = Agent::new(&newcomer.name, spec);
    let (labels, annotations) = made_by(lead);
    agent.metadata.namespace = board.namespace();
    agent.metadata.labels = Some(labels);
    agent.metadata.annotations = Some(annotations);
    // Not its controller: that is whom a Board declares.
    agent.metadata.owner_references = board.owner_ref(&()).map(|owner| vec![owner]);
    agent
}

/// Labels and annotations of what a lead made.
fn made_by(lead: &str) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let labels = [
        (CREATED_BY, names::label(lead)),
        (MANAGED_BY, FIELD_MANAGER.to_owned()),
    ];
    (
        labels.map(|(key, value)| (key.to_owned(), value)).into(),
        BTreeMap::from([(CREATED_BY.to_owned(), lead.to_owned())]),
    )
}

/// The owners that an Agent which a lead added is to have, where they are others than it has: it goes with the Board that it is on, and not with
/// one that it has left. `board` is the one that it names; none where it names none. An owner that a person took off stays off.
#[must_use]
pub fn owners(agent: &Agent, board: Option<&Board>) -> Option<Vec<OwnerReference>> {
    let is_going = |board: &Board| board.metadata.deletion_timestamp.is_some();
    if !was_added_by_a_lead(agent) || board.is_some_and(is_going) {
        return None;
    }
    let name = board.map(ResourceExt::name_any);
    let is_left = |owner: &&OwnerReference| {
        owner.controller != Some(true)
            && owner.kind == Board::kind(&())
            && owner.api_version == Board::api_version(&())
            // Another Board of the same name is one that came after; the Agent goes with the one that is gone.
            && name.as_ref() != Some(&owner.name)
    };
    let (left, mut kept): (Vec<_>, Vec<_>) = agent.owner_references().iter().partition(is_left);
    if left.is_empty() {
        return None;
    }
    let new = board.and_then(|board| board.owner_ref(&()));
    let new = new.filter(|new| kept.iter().all(|owner| owner.uid != new.uid));
    kept.extend(new.as_ref());
    Some(kept.into_iter().cloned().collect())
}

/// Judges whether there is a place for `newcomer` on `board`, whose Agents are `all`: it comes after all of them.
pub fn admit<'a>(
    newcomer: &Agent,
    board: &Board,
    all: impl IntoIterator<Item = &'a Agent>,
) -> Result<(), Refusal> {
    let name = board.name_any();
    let refuse = |reason, message| Err(Refusal { reason, message });
    if board.metadata.deletion_timestamp.is_some() {
        let message = format!("Board {name} is being deleted, so nobody is added to it.");
        return refuse(Reason::Deleting, message);
    }
    if board.spec.paused {
        let message = format!(
            "Board {name} is paused, so nobody is added to it. Try again when a person has set its spec.paused back."
        );
        return refuse(Reason::Board, message);
    }
    let mut last = newcomer.clone();
    last.metadata.creation_timestamp = Some(Time(Timestamp::MAX));
    seats::on_board(&last, board, all).map_err(|refusal| Refusal {
        message: match refusal.reason {
            Reason::BoardFull => format!(
                "Board {name} takes {} workers, and all places are taken. Delete a worker that a lead added, or ask a person to raise the Board's spec.maxAgents.",
                board.spec.max_agents.unwrap_or_default()
            ),
            Reason::DisplayNameTaken => "An agent of your board has this display name already; upper and lower case count as the same. Choose another displayName.".to_owned(),
            _ => refusal.message,
        },
        ..refusal
    })
}

/// Whether a lead added the Agent through the API, and nobody has taken it over since.
#[must_use]
pub fn is_a_leads(agent: &Agent) -> bool {
    was_added_by_a_lead(agent) && declarer(agent).is_none()
}

/// Whether a lead added the Agent through the API, whoever has the say over it now.
#[must_use]
pub fn was_added_by_a_lead(agent: &Agent) -> bool {
    agent.labels().contains_key(CREATED_BY)
}

/// Whether the Agent is the one that `lead` gets, or got, with this wish: a call that is repeated because its answer was lost finds what
/// it made.
#[must_use]
pub fn is_made_of(agent: &Agent, newcomer: &Newcomer, lead: &str, board: &Board) -> bool {
    let wanted = object(newcomer, lead, board);
    let asked = |agent: &Agent| {
        let spec = &agent.spec;
        let role = spec.identity.as_ref().and_then(|it| it.role.clone());
        let names = (
            agent.metadata.name.clone(),
            agent.metadata.namespace.clone(),
        );
        let said = (spec.display_name.clone(), spec.model.clone(), role);
        (names, said, spec.role, spec.board_ref.clone())
    };
    agent.metadata.deletion_timestamp.is_none()
        && is_a_leads(agent)
        && agent.annotations().get(CREATED_BY).map(String::as_str) == Some(lead)
        && asked(agent) == asked(&wanted)
        && (!newcomer.has_soul || takes_soul(agent) == Ok(true))
}

/// Who has the say over an Agent that is no lead's, to be read after "it is". The cache keeps no managed fields; an object just read has them.
#[must_use]
pub fn owner(agent: &Agent) -> String {
    if let Some(declarer) = declarer(agent) {
        return declarer;
    }
    match manager(agent, |entry| manages(entry, &["f:spec"])) {
        Some(manager) => format!("applied by a person or program with the field manager {manager}"),
        None => "applied by a person".to_owned(),
    }
}

/// Who declares the Agent, by the marks that it carries; none on one that a lead added.
fn declarer(agent: &Agent) -> Option<String> {
    let owners = agent.owner_references();
    if let Some(owner) = owners.iter().find(|owner| owner.controller == Some(true)) {
        return Some(format!("declared by {} {}", owner.kind, owner.name));
    }
    let annotations = agent.annotations();
    let labels = agent.labels();
    if annotations.contains_key("argocd.argoproj.io/tracking-id")
        || labels.contains_key("argocd.argoproj.io/instance")
    {
        return Some("applied by Argo CD".to_owned());
    }
    if let Some(release) = annotations.get("meta.helm.sh/release-name") {
        return Some(format!("part of the Helm release {release}"));
    }
    if let Some(kustomization) = labels.get("kustomize.toolkit.fluxcd.io/name") {
        return Some(format!("applied by the Flux Kustomization {kustomization}"));
    }
    // The mark of Argo CD before version 3, and of others who deploy.
    let instance = labels.get("app.kubernetes.io/instance")?;
    Some(format!(
        "part of {instance}, as its label app.kubernetes.io/instance says, by which Argo CD tracks"
    ))
}

/// The field manager, not one of ours, that wrote last among those that `wanted` picks.
fn manager(agent: &Agent, wanted: impl Fn(&ManagedFieldsEntry) -> bool) -> Option<&str> {
    let ours = [FIELD_MANAGER, AGENT_API_FIELD_MANAGER];
    let others = agent.managed_fields().iter().filter(|entry| {
        let name = entry.manager.as_deref();
        entry.subresource.is_none() && name.is_some_and(|name| !ours.contains(&name))
    });
    let newest = others
        .filter(|entry| wanted(entry))
        .max_by_key(|entry| entry.time.as_ref().map(|time| time.0));
    newest?.manager.as_deref()
}

/// Whether the entry has the field at this path.
fn manages(entry: &ManagedFieldsEntry, path: &[&str]) -> bool {
    let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
    path.iter()
        .fold(fields, |fields, key| fields?.get(key))
        .is_some()
}

/// Name of the ConfigMap that holds the SOUL.md of an Agent that a lead made.
#[must_use]
pub fn soul_name(agent: &str) -> String {
    names::derived(agent, "soul")
}

/// The entry of `spec.files` by which the Agent takes its SOUL.md from there. With a policy, which a Board would give it otherwise: one that
/// seeds or ignores would take no text that comes later.
#[must_use]
pub fn soul_file(agent: &str) -> FileSpec {
    FileSpec {
        name: SOUL.to_owned(),
        config_map_key_ref: Some(ConfigMapKeyRef {
            name: soul_name(agent),
            key: SOUL.to_owned(),
        }),
        policy: Some(FilePolicy::Enforce),
        ..FileSpec::default()
    }
}

/// Whether the Agent takes its SOUL.md from there, whatever its Board says of such files. Errors with who gave it another one, to be read
/// after "is".
pub fn takes_soul(agent: &Agent) -> Result<bool, String> {
    let wanted = soul_file(&agent.name_any());
    let Some(file) = agent.spec.files.iter().find(|file| file.name == SOUL) else {
        return Ok(false);
    };
    if file.config_map_key_ref == wanted.config_map_key_ref {
        if file.policy == wanted.policy {
            return Ok(true);
        }
        if file.policy.is_none() {
            return Ok(false);
        }
    }
    let key = format!(r#"k:{{"name":"{SOUL}"}}"#);
    let path = ["f:spec", "f:files", key.as_str()];
    Err(match manager(agent, |entry| manages(entry, &path)) {
        Some(manager) => format!("set by a person or program with the field manager {manager}"),
        None => "set by a person".to_owned(),
    })
}

/// The ConfigMap with the SOUL.md of `agent`, which owns it.
#[must_use]
pub fn soul(agent: &Agent, lead: &str, content: &str, reason: Option<&str>) -> ConfigMap {
    let (labels, mut annotations) = made_by(lead);
    annotations.extend(reason.map(|reason| (CHANGE_REASON.to_owned(), reason.to_owned())));
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(soul_name(&agent.name_any())),
            namespace: agent.namespace(),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: owner::controller(agent).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(SOUL.to_owned(), content.to_owned())])),
        ..ConfigMap::default()
    }
}

/// The change that puts a text in the place of what the ConfigMap of this uid holds, and a reason, or none, in the place of the one before. A
/// merge, because an apply takes away only what an apply has set.
#[must_use]
pub fn soul_change(soul: &ConfigMap, uid: Option<&str>) -> Value {
    let mut annotations = json!(soul.metadata.annotations);
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.entry(CHANGE_REASON).or_insert(Value::Null);
    }
    json!({
        // Misses one that was deleted and made again by somebody else meanwhile.
        "metadata": { "uid": uid, "labels": soul.metadata.labels, "annotations": annotations },
        "data": soul.data,
    })
}

#[cfg(test)]
mod tests;
