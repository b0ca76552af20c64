//! Which of several Agents have a place on a Board or a Gateway: one Lead, one Main, so many workers, and no display name twice. Pure.
//!
//! Who is on a gateway already goes first, then the older one, then the one with the smaller name. One that could not be there anyway,
//! because it is refused for another reason, stands in nobody's way.
//!
//! No status says on which Board an Agent was accepted. So one that moves here from another Board counts as one that is on a gateway: where
//! it is the older one and no place is left, it takes the place of a younger one, which is then not accepted and stays on the gateway as it
//! is.

use std::cmp::Reverse;
use std::collections::HashMap;

use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};

use crate::api::{
    Agent, Board,
    agent::Role,
    condition::{self, ACCEPTED, Status},
    reason::Reason,
};
use crate::plan::admission::Refusal;

/// Reasons for which a place is refused, and which end when another Agent goes.
const REFUSALS: [Reason; 3] = [
    Reason::BoardFull,
    Reason::RoleTaken,
    Reason::DisplayNameTaken,
];

/// Whether the Agent waits for a place that another one has.
#[must_use]
pub fn waits(agent: &Agent) -> bool {
    refused(agent).is_some_and(|reason| REFUSALS.contains(&reason))
}

/// Whether a change of what `changed` [claims](claim_to_a_seat) decides about the place of `other`.
#[must_use]
pub fn concerns(changed: &Agent, other: &Agent) -> bool {
    let same_role = changed.spec.role != Role::Worker && changed.spec.role == other.spec.role;
    waits(other) || same_role || folded(changed) == folded(other)
}

/// Who of `all` has the role, accepted for it.
pub fn holder<'a>(role: Role, all: impl IntoIterator<Item = &'a Agent>) -> Option<&'a Agent> {
    all.into_iter()
        .filter(|agent| agent.spec.role == role && is_accepted(agent))
        .min_by_key(|agent| order(agent))
}

/// Who of `all` has the role, or is about to: who was accepted for it, else the first of those against whom nothing was said.
pub fn holder_to_be<'a>(role: Role, all: impl IntoIterator<Item = &'a Agent>) -> Option<&'a Agent> {
    let comes =
        |agent: &Agent| agent.metadata.deletion_timestamp.is_none() && refused(agent).is_none();
    all.into_iter()
        .filter(|agent| agent.spec.role == role && (is_accepted(agent) || comes(agent)))
        .min_by_key(|agent| (Reverse(is_accepted(agent)), order(agent)))
}

/// Whether the Agent was accepted when it was judged last.
#[must_use]
pub fn is_accepted(agent: &Agent) -> bool {
    let status = agent.status.as_ref();
    status.is_some_and(|status| condition::is_true(&status.conditions, ACCEPTED))
}

/// What decides about the places of others: its role and name, and whether it is on a gateway. None where it stands in nobody's way.
#[must_use]
pub fn claim_to_a_seat(agent: &Agent) -> Option<(Role, String, bool)> {
    competes(agent).then(|| (agent.spec.role, folded(agent), is_there(agent)))
}

/// Judges whether `agent` has a place on `board`, whose Agents, `agent` included or not, are `all`.
pub fn on_board<'a>(
    agent: &Agent,
    board: &Board,
    all: impl IntoIterator<Item = &'a Agent>,
) -> Result<(), Refusal> {
    let mut seated = Seated::default();
    for other in ahead(agent, all) {
        if seated.judge(other, board).is_ok() {
            seated.seat(other);
        }
    }
    seated.judge(agent, board)
}

/// Who has a place on a Board.
#[derive(Default)]
struct Seated<'a> {
    lead: Option<&'a Agent>,
    workers: usize,
    by_name: HashMap<String, &'a Agent>,
}

impl<'a> Seated<'a> {
    fn seat(&mut self, agent: &'a Agent) {
        match agent.spec.role {
            Role::Lead => self.lead = Some(agent),
            Role::Worker => self.workers += 1,
            Role::Main => {}
        }
        self.by_name.insert(folded(agent), agent);
    }

    fn judge(&self, agent: &Agent, board: &Board) -> Result<(), Refusal> {
        let name = board.name_any();
        let role = agent.spec.role;
        if let Some(lead) = self.lead.filter(|_| role == Role::Lead) {
            return Err(refusal(
                Reason::RoleTaken,
                format!(
                    "Agent {} leads Board {name} already. Remove it, or give this Agent the role Worker.",
                    lead.name_any()
                ),
            ));
        }
        if let Some(other) = self.by_name.get(&folded(agent)) {
            return Err(refusal(
                Reason::DisplayNameTaken,
                format!(
                    "Agent {} of Board {name} has the display name {:?} already; upper and lower case count as the same. Give this one another spec.displayName.",
                    other.name_any(),
                    display_name(agent)
                ),
            ));
        }
        let most = board.spec.max_agents.filter(|_| role == Role::Worker);
        if let Some(most) = most.and_then(|most| usize::try_from(most).ok())
            && self.workers >= most
        {
            return Err(refusal(
                Reason::BoardFull,
                format!(
                    "Board {name} takes {most} workers, and all places are taken. Raise its spec.maxAgents, or remove a worker; this Agent goes on by itself."
                ),
            ));
        }
        Ok(())
    }
}

/// Judges whether `agent` may be the Main of the Gateway of this name, whose Agents, `agent` included or not, are `all`.
pub fn on_gateway<'a>(
    agent: &Agent,
    gateway: &str,
    all: impl IntoIterator<Item = &'a Agent>,
) -> Result<(), Refusal> {
    if agent.spec.role != Role::Main {
        return Ok(());
    }
    let namespace = agent.namespace();
    match ahead(agent, all)
        .iter()
        .find(|other| other.spec.role == Role::Main)
    {
        None => Ok(()),
        Some(other) => {
            let who = if other.namespace() == namespace {
                format!("Agent {}", other.name_any())
            } else {
                "An Agent of another namespace".to_owned()
            };
            Err(refusal(
                Reason::RoleTaken,
                format!(
                    "{who} is the main agent of Gateway {gateway} already. Remove it, or give this Agent the role Worker."
                ),
            ))
        }
    }
}

fn refusal(reason: Reason, message: String) -> Refusal {
    Refusal { reason, message }
}

/// Those of `all` that go before `agent`, in order.
fn ahead<'a>(agent: &Agent, all: impl IntoIterator<Item = &'a Agent>) -> Vec<&'a Agent> {
    let (own, uid) = (order(agent), &agent.meta().uid);
    let mut ahead: Vec<_> = all
        .into_iter()
        .filter(|other| other.meta().uid != *uid && competes(other) && order(other) < own)
        .collect();
    ahead.sort_by_cached_key(|other| order(other));
    ahead
}

type Order = (Reverse<bool>, Option<Timestamp>, String, String);

fn order(agent: &Agent) -> Order {
    (
        Reverse(is_there(agent)),
        agent.creation_timestamp().map(|time| time.0),
        agent.namespace().unwrap_or_default(),
        agent.name_any(),
    )
}

/// Whether the Agent is on a gateway, or about to be; on whichever, and of whichever Board.
fn is_there(agent: &Agent) -> bool {
    agent
        .status
        .as_ref()
        .is_some_and(|status| !status.places.is_empty())
}

/// Whether the Agent has a place, or would have it if there were one.
fn competes(agent: &Agent) -> bool {
    let is_refused_otherwise = || refused(agent).is_some_and(|reason| !REFUSALS.contains(&reason));
    is_there(agent) || agent.metadata.deletion_timestamp.is_none() && !is_refused_otherwise()
}

/// Why the Agent, as it is now, is not accepted.
fn refused(agent: &Agent) -> Option<Reason> {
    let conditions = &agent.status.as_ref()?.conditions;
    condition::find(conditions, ACCEPTED)
        .filter(|accepted| accepted.status == Status::False.as_str())
        .filter(|accepted| accepted.observed_generation == agent.metadata.generation)
        .and_then(|accepted| Reason::parse(&accepted.reason))
}

/// The name for people.
#[must_use]
pub fn display_name(agent: &Agent) -> String {
    let name = agent.spec.display_name.clone();
    name.unwrap_or_else(|| agent.name_any())
}

/// The display name, as far as two of them are told apart.
fn folded(agent: &Agent) -> String {
    display_name(agent).trim().to_lowercase()
}

#[cfg(test)]
mod tests;
