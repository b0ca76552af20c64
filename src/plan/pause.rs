//! Pauses: whose an Agent is under, and what waits for its end. Pure.

use std::collections::BTreeSet;

use kube::ResourceExt;
use serde_json::{Value, json};

use crate::api::{
    Agent, AgentSpec, AgentStatus, Board, Gateway,
    agent::{FileStatus, Place},
    condition::{self, AGENT, Judgement, PAUSED, Status},
    reason::Reason,
};
use crate::plan::{
    adoption,
    entry::{self, EVERY, HEARTBEAT, Keys},
    render::{Policy, Workspace},
};

/// What a pause makes of [`EVERY`]: agents do not beat.
pub const NEVER: &str = "0m";

/// Who declared the pause that an Agent is under. One that reaches further goes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Its Gateway, of this name: nothing at all is written there.
    Gateway(String),
    /// Its Board, of this name: its agents do not beat, and are left as they are.
    Board(String),
    /// The Agent itself: the same.
    Agent,
}

/// The pause that `agent` is under. One whose Gateway is not there, or not for it, can be paused all the same.
#[must_use]
pub fn of(agent: &Agent, board: Option<&Board>, gateway: Option<&Gateway>) -> Option<Pause> {
    if let Some(gateway) = gateway.filter(|gateway| gateway.spec.paused) {
        Some(Pause::Gateway(gateway.name_any()))
    } else if let Some(board) = board.filter(|board| board.spec.paused) {
        Some(Pause::Board(board.name_any()))
    } else {
        agent.spec.paused.then_some(Pause::Agent)
    }
}

impl Pause {
    /// The reason of the condition.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Gateway(_) => Reason::Gateway,
            Self::Board(_) => Reason::Board,
            Self::Agent => Reason::Agent,
        }
    }

    /// What the condition of an Agent says, for which all of `pending` waits; `beats` says why its heartbeat is not known to be off yet.
    #[must_use]
    pub fn judge(&self, is_registered: bool, pending: &[String], beats: Option<&str>) -> Judgement {
        let whose = match self {
            Self::Gateway(name) => gateway_is_paused(name),
            Self::Board(name) => format!("Board {name} is paused."),
            Self::Agent => "This Agent is paused.".to_owned(),
        };
        let heartbeat = match (self, beats) {
            (Self::Gateway(_), _) => String::new(),
            (_, Some(why)) => format!(" Its heartbeat could not be switched off yet: {why}."),
            (_, None) if is_registered => {
                " The agent does not beat and is left as it is.".to_owned()
            }
            (_, None) => String::new(),
        };
        let waits = if !is_registered {
            "It is registered when the pause ends.".to_owned()
        } else if pending.is_empty() {
            "Nothing else waits for the end of the pause.".to_owned()
        } else {
            format!("Until the pause ends these wait: {}.", pending.join(", "))
        };
        Judgement::holds(PAUSED, self.reason(), format!("{whose}{heartbeat} {waits}"))
    }
}

fn gateway_is_paused(name: &str) -> String {
    format!("Gateway {name} is paused: nothing is written to it.")
}

/// What the condition of a Board says, whose Gateway may be paused.
#[must_use]
pub fn judge_board(board: &Board, by_gateway: bool) -> Judgement {
    if by_gateway {
        let said = gateway_is_paused(&board.spec.gateway_ref.name);
        Judgement::holds(PAUSED, Reason::Gateway, said)
    } else if board.spec.paused {
        let said = "The agents of this Board are kept from beating and left as they are; each says what waits.";
        Judgement::holds(PAUSED, Reason::Board, said)
    } else {
        not_paused()
    }
}

/// What the condition of a Gateway says on which so many Agents wait.
#[must_use]
pub fn judge_gateway(gateway: &Gateway, pending: usize) -> Judgement {
    if gateway.spec.paused {
        let said = format!(
            "Nothing is written to the gateway. Agents with something that waits for the end of the pause: {pending}."
        );
        Judgement::holds(PAUSED, Reason::Gateway, said)
    } else {
        not_paused()
    }
}

/// What the condition says where nothing is paused.
#[must_use]
pub fn not_paused() -> Judgement {
    Judgement::fails(PAUSED, Reason::NotPaused, "Nothing is paused.")
}

/// What the condition of an Agent says whose pause, of this reason, is over while `why` keeps its heartbeat from being switched on again.
#[must_use]
pub fn judge_lingering(reason: Reason, why: &str) -> Judgement {
    let said = format!(
        "The pause is over, but the agent's heartbeat could not be switched on again yet: {why}. It is tried again by itself."
    );
    Judgement::holds(PAUSED, reason, said)
}

/// The record once what a pause had replaced at a place on this Gateway, of an agent with this entry now, stands there again.
pub fn gave_back(
    status: &mut AgentStatus,
    gateway_uid: &str,
    spec: &AgentSpec,
    entry: Option<&Value>,
) {
    let mut places = status.places.iter_mut();
    let Some(place) = places.find(|place| place.gateway_uid == gateway_uid) else {
        return;
    };
    place.replaced_every = None;
    let is_theirs = place.adopted && !adoption::names_every(spec);
    let own_keys = if place.leaving_since.is_some() {
        &mut place.own_keys
    } else {
        &mut status.own_keys
    };
    if is_theirs {
        own_keys.retain(|path| path != EVERY && path != HEARTBEAT);
    }
    let is_confirmed = place.leaving_since.is_none() && status.entry_sha256.is_some();
    if let Some(entry) = entry.filter(|_| is_confirmed) {
        let there = entry::taken(entry, &status.own_keys);
        status.entry_sha256 = Some(entry::digest(&there));
    }
}

/// An Agent's keys while it is paused.
#[must_use]
pub fn silenced(mut keys: Keys) -> Keys {
    keys.insert(EVERY.to_owned(), json!(NEVER));
    keys
}

/// What to set and to unset in the entry of an agent that is left to itself, so that it does not stay as a pause made it: it beats as its own
/// spec says or, where that names nothing, as it did before the pause. `every`, as far as that is known to be declared, is for an agent of
/// which nothing was noted. None where no pause has switched it off.
#[must_use]
pub fn lifted(
    spec: &AgentSpec,
    place: &Place,
    every: &str,
    entry: &Value,
    others_beat: bool,
) -> Option<(Keys, BTreeSet<String>)> {
    if entry.pointer("/heartbeat/every")? != NEVER {
        return None;
    }
    let (mut keys, mut own_keys) = (Keys::new(), Vec::new());
    let is_unknown = !place.adopted && place.replaced_every.is_none();
    if is_unknown || adoption::names_every(spec) {
        keys.insert(EVERY.to_owned(), json!(every));
    }
    adoption::give_back(place, &mut keys, &mut own_keys);
    if adoption::keeps_empty_block(place, &keys, &own_keys, entry, others_beat) {
        keys.insert(HEARTBEAT.to_owned(), json!({}));
    }
    let unset = entry::surplus(&own_keys, &keys);
    let is_off = keys.get(EVERY).is_some_and(|every| every == NEVER);
    let is_nothing = keys.is_empty() && unset.is_empty();
    (!is_off && !is_nothing).then_some((keys, unset))
}

/// What to set and to unset in the entry of an agent that the gateway never deletes, so that nothing of our heartbeat stays: of an adopted
/// one what a pause replaced is as it was, and it does not fall silent.
#[must_use]
pub fn retired(
    spec: &AgentSpec,
    place: &Place,
    own_keys: &[String],
    entry: &Value,
    others_beat: bool,
) -> (Keys, BTreeSet<String>) {
    let own = own_keys
        .iter()
        .filter(|path| path.starts_with("heartbeat."));
    let (mut keys, mut own_keys) = (Keys::new(), own.cloned().collect::<Vec<_>>());
    if place.adopted && !adoption::names_every(spec) {
        adoption::give_back(place, &mut keys, &mut own_keys);
    }
    if adoption::keeps_empty_block(place, &keys, &own_keys, entry, others_beat) {
        keys.insert(HEARTBEAT.to_owned(), json!({}));
    }
    let unset = entry::surplus(&own_keys, &keys);
    (keys, unset)
}

/// What is declared and was not confirmed yet, as far as that is known without a look at the gateway: `config entry`, names of files, and
/// `heartbeat checklist`. Files that are the agent's own since they were written once are not among them.
#[must_use]
pub fn pending(keys: &Keys, workspace: &Workspace, status: &AgentStatus) -> Vec<String> {
    let confirmed = |keys: &Keys| status.entry_sha256.as_ref() == Some(&entry::digest(keys));
    let entry = (!confirmed(keys) && !confirmed(&silenced(keys.clone())))
        .then(|| "config entry".to_owned());
    let recorded = |name: &str| status.files.iter().find(|file| file.name == name);
    let files = workspace.files.iter().filter(|file| {
        let is_as_written = |known: &FileStatus| {
            file.policy == Policy::Seed && known.state.is_seeded()
                || known.sha256 == entry::sha256(&file.text)
        };
        !recorded(file.name.as_str()).is_some_and(is_as_written)
    });
    let beats = keys.get(EVERY).is_some_and(|every| every != NEVER);
    let known = status.checklist.as_ref().map(|checklist| &checklist.sha256);
    let checklist = (beats && known != Some(&entry::sha256(&workspace.checklist)))
        .then(|| "heartbeat checklist".to_owned());
    entry
        .into_iter()
        .chain(files.map(|file| file.name.to_string()))
        .chain(checklist)
        .collect()
}

/// What was judged before the pause, for the present generation: Ready says while a pause lasts what it said last. What was not known for
/// an outage or a failure is not compared before the pause ends.
#[must_use]
pub fn carried_over(status: &AgentStatus) -> Vec<Judgement> {
    let known = |&type_: &&'static str| {
        let condition = condition::find(&status.conditions, type_)?;
        let status = match condition.status.as_str() {
            "True" => Status::True,
            "False" => Status::False,
            // What Ready does not look at says why it is not known; that holds under a pause too.
            _ if AGENT.informative.contains(&type_) => return None,
            _ => {
                let waits = "Not compared while the pause lasts.";
                return Some(Judgement::unknown(type_, Reason::Pending, waits));
            }
        };
        Some(Judgement {
            type_,
            status,
            reason: Reason::parse(&condition.reason)?,
            message: condition.message.clone(),
        })
    };
    let kept = AGENT.required.iter().chain(AGENT.informative);
    kept.filter(|type_| **type_ != PAUSED)
        .filter_map(known)
        .collect()
}

#[cfg(test)]
mod tests;
