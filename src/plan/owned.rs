//! The Agent that a Board or a Gateway declares within itself: what it is to be, and what has to be done about the one that is there. Pure.
//!
//! It is applied under our field manager with only what is declared, so that whatever else a person sets on it stays.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt, core::ObjectMeta};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::api::{
    Agent, Board, Gateway,
    agent::Role,
    annotation::{DECLARED, FIELD_MANAGER, MANAGED_BY},
    condition::{self, Judgement, LEAD_READY, MAIN_AGENT_READY},
    owned::OwnedAgent,
    owner,
    reason::Reason,
};
use crate::plan::{agent_id, names, seats};

/// An object that declares an Agent, or could.
#[derive(Clone, Debug)]
pub struct Owner<'a> {
    /// The role of that Agent.
    pub role: Role,
    /// Its name.
    pub agent_name: String,
    declared: Option<&'a OwnedAgent>,
    namespace: String,
    kind: &'static str,
    name: String,
    reference: Option<OwnerReference>,
}

impl<'a> From<&'a Board> for Owner<'a> {
    fn from(board: &'a Board) -> Self {
        Self::new(board, Role::Lead, board.spec.lead.as_ref())
    }
}

impl<'a> From<&'a Gateway> for Owner<'a> {
    fn from(gateway: &'a Gateway) -> Self {
        Self::new(gateway, Role::Main, gateway.spec.main_agent.as_ref())
    }
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing.
    None,
    /// It is not there: apply this, without force, once nobody else has the name.
    Create(Value),
    /// Apply this.
    Apply(Value),
    /// It is not declared any more.
    Delete,
    /// Somebody else's Agent has the name.
    NameTaken,
}

/// Who has a role, as the texts of other agents name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InRole {
    /// Its name for people.
    pub display_name: String,
    /// Its id on the gateway.
    pub agent_id: String,
}

impl<'a> Owner<'a> {
    fn new<K: Resource<DynamicType = ()>>(
        object: &K,
        role: Role,
        declared: Option<&'a OwnedAgent>,
    ) -> Self {
        let name = object.name_any();
        Self {
            role,
            agent_name: name_of(&name, role),
            // The garbage collector deletes what an object owned that is gone; but one with a finalizer is not gone before its Agents are.
            declared: declared.filter(|_| object.meta().deletion_timestamp.is_none()),
            namespace: object.namespace().unwrap_or_default(),
            kind: if role == Role::Main {
                "Gateway"
            } else {
                "Board"
            },
            name,
            reference: owner::controller(object),
        }
    }

    /// The Agent that has the role, or is about to, as others are told of it: `holder`, else the one that is declared and not there yet.
    /// `there` is the Agent of its name: where that one does not hold the role, it is another's, or was refused.
    #[must_use]
    pub fn in_role(&self, holder: Option<&Agent>, there: Option<&Agent>) -> Option<InRole> {
        if let Some(agent) = holder {
            let recorded = agent.status.as_ref().and_then(|it| it.agent_id.clone());
            let id = recorded.or_else(|| agent.spec.agent_id.clone());
            return Some(InRole {
                display_name: seats::display_name(agent),
                agent_id: id.unwrap_or_else(|| {
                    let namespace = agent.namespace().unwrap_or_default();
                    agent_id::derived(&namespace, &agent.name_any())
                }),
            });
        }
        let declared = self.declared.filter(|_| there.is_none())?;
        let name = declared.display_name.clone();
        Some(InRole {
            display_name: name.unwrap_or_else(|| self.agent_name.clone()),
            agent_id: agent_id::derived(&self.namespace, &self.agent_name),
        })
    }

    /// The namespace of this owner, and of its Agent.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Whether `agent` was made for this owner.
    #[must_use]
    pub fn owns<K: Resource>(&self, agent: &K) -> bool {
        let uid = self.reference.as_ref().map(|owner| &owner.uid);
        agent
            .owner_references()
            .iter()
            .any(|owner| Some(&owner.uid) == uid)
    }

    /// What has to be done, where `there` is the Agent of that name.
    #[must_use]
    pub fn step(&self, there: Option<&Agent>) -> Step {
        match (self.declared, there) {
            (None, Some(agent)) if self.owns(agent) && !is_going(agent) => Step::Delete,
            (None, _) => Step::None,
            (Some(declared), None) => Step::Create(self.object(declared, None)),
            (Some(_), Some(agent)) if !self.owns(agent) => Step::NameTaken,
            (Some(_), Some(agent)) if is_going(agent) => Step::None,
            (Some(declared), Some(agent)) => {
                let object = self.object(declared, agent.uid());
                if is_as_declared(agent, &object) {
                    Step::None
                } else {
                    Step::Apply(object)
                }
            }
        }
    }

    /// What the owner's condition says, where `agent` is the one that has the role: the declared one, else one that a person applied.
    #[must_use]
    pub fn judge(&self, agent: Option<&Agent>, name_taken: bool) -> Judgement {
        let type_ = self.condition();
        let name = &self.agent_name;
        if name_taken {
            return Judgement::fails(
                type_,
                Reason::NameTaken,
                format!(
                    "Agent {name} exists and is not this {}'s, so it is left alone. Delete or rename it, or declare no agent here; this goes on by itself.",
                    self.kind
                ),
            );
        }
        match agent {
            None if self.declared.is_none() => Judgement::holds(
                type_,
                Reason::NotDeclared,
                format!("This {} declares no such agent.", self.kind),
            ),
            None => Judgement::fails(
                type_,
                Reason::AgentNotReady,
                format!("Agent {name} is being made."),
            ),
            Some(agent) if is_ready(agent) => Judgement::holds(
                type_,
                Reason::AgentReady,
                format!("Agent {} is Ready.", agent.name_any()),
            ),
            Some(agent) => Judgement::fails(
                type_,
                Reason::AgentNotReady,
                format!(
                    "Agent {0} is not Ready. Its own status says why: kubectl describe agents.mission.openclaw.dev {0}",
                    agent.name_any()
                ),
            ),
        }
    }

    /// What the owner's condition says where the API server does not take the declared Agent.
    #[must_use]
    pub fn judge_refusal(&self, error: &str) -> Judgement {
        let message = format!(
            "Agent {} could not be brought about as declared here: {error}. Mend what is in the way; it is tried again.",
            self.agent_name
        );
        Judgement::fails(self.condition(), Reason::AgentNotApplied, message)
    }

    fn condition(&self) -> &'static str {
        match self.role {
            Role::Main => MAIN_AGENT_READY,
            Role::Lead | Role::Worker => LEAD_READY,
        }
    }

    fn object(&self, declared: &OwnedAgent, uid: Option<String>) -> Value {
        let home = json!({ "name": self.name });
        let (board, gateway) = match self.role {
            Role::Main => (None, Some(home)),
            Role::Lead | Role::Worker => (Some(home), None),
        };
        let spec = json!(Applied {
            role: self.role,
            board_ref: board,
            gateway_ref: gateway,
            declared,
        });
        json!({
            "apiVersion": Agent::api_version(&()),
            "kind": Agent::kind(&()),
            "metadata": ObjectMeta {
                name: Some(self.agent_name.clone()),
                namespace: Some(self.namespace.clone()),
                uid,
                labels: Some(BTreeMap::from([(
                    MANAGED_BY.to_owned(),
                    FIELD_MANAGER.to_owned(),
                )])),
                annotations: Some(BTreeMap::from([(DECLARED.to_owned(), digest(&spec))])),
                owner_references: self.reference.clone().map(|owner| vec![owner]),
                ..ObjectMeta::default()
            },
            "spec": spec,
        })
    }
}

/// What follows the owner's name in the name of its Agent.
fn suffix(role: Role) -> &'static str {
    match role {
        Role::Main => "main",
        Role::Lead | Role::Worker => "lead",
    }
}

/// The name of the Agent of this role that the object `owner` declares.
#[must_use]
pub fn name_of(owner: &str, role: Role) -> String {
    names::derived(owner, suffix(role))
}

/// The name of the owner whose Agent of this role would be called `agent_name`. A name that was cut does not tell.
#[must_use]
pub fn owner_of(agent_name: &str, role: Role) -> Option<&str> {
    agent_name.strip_suffix(suffix(role))?.strip_suffix('-')
}

/// What is applied of an Agent's spec.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Applied<'a> {
    role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    board_ref: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway_ref: Option<Value>,
    #[serde(flatten)]
    declared: &'a OwnedAgent,
}

fn digest(spec: &Value) -> String {
    HEXLOWER.encode(&Sha256::digest(spec.to_string().as_bytes()))
}

/// Whether all that would be applied is there, and nothing of what was applied before is left over: that is what the digest tells.
fn is_as_declared(agent: &Agent, object: &Value) -> bool {
    object.get("spec").is_some_and(|spec| {
        agent.annotations().get(DECLARED) == Some(&digest(spec)) && holds(spec, &json!(agent.spec))
    })
}

/// Whether `actual` has everything of `wanted`. Lists are lists of files, merged by name.
fn holds(wanted: &Value, actual: &Value) -> bool {
    match (wanted, actual) {
        (Value::Object(wanted), Value::Object(actual)) => wanted
            .iter()
            .all(|(key, wanted)| actual.get(key).is_some_and(|actual| holds(wanted, actual))),
        (Value::Array(wanted), Value::Array(actual)) => wanted.iter().all(|wanted| {
            let same_name = |actual: &&Value| actual.get("name") == wanted.get("name");
            actual
                .iter()
                .find(same_name)
                .is_some_and(|actual| holds(wanted, actual))
        }),
        (wanted, actual) => wanted == actual,
    }
}

fn is_going(agent: &Agent) -> bool {
    agent.metadata.deletion_timestamp.is_some()
}

fn is_ready(agent: &Agent) -> bool {
    agent
        .status
        .as_ref()
        .is_some_and(|status| condition::is_true(&status.conditions, condition::READY))
}

#[cfg(test)]
mod tests;
