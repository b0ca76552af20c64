//! Where an Agent is: the place that it has or is to have, and those that it leaves. Pure.
//!
//! Every change here is made to the record, which is written before anything is written to a gateway. So after a crash at any point the
//! record names every gateway on which something of this Agent can be.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::api::agent::{AgentStatus, Place, PlaceState};
use crate::api::condition::{self, FILES_SYNCED, REGISTERED, Status};
use crate::api::reference::GatewayName;
use crate::plan::{agent_id, wake};

/// Where an Agent is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination<'a> {
    /// Uid of the Gateway object.
    pub gateway_uid: &'a str,
    /// Its name.
    pub gateway: &'a GatewayName,
    /// Id of the agent there.
    pub agent_id: &'a str,
}

impl Destination<'_> {
    fn is_at(&self, place: &Place) -> bool {
        place.gateway_uid == self.gateway_uid && place.agent_id == self.agent_id
    }

    /// Whether `place` is the same agent: the Gateway objects with the uids `sharing` reach one gateway.
    fn is_same_agent(&self, place: &Place, sharing: &[String]) -> bool {
        place.agent_id == self.agent_id
            && (place.gateway_uid == self.gateway_uid || sharing.contains(&place.gateway_uid))
    }
}

/// The place that the Agent has or is to have. What else the status records of a gateway (own keys, files, checklist) speaks of this one.
#[must_use]
pub fn present(status: &AgentStatus) -> Option<&Place> {
    status.places.iter().find(|place| !is_leaving(place))
}

/// See [`present`].
pub fn present_mut(status: &mut AgentStatus) -> Option<&mut Place> {
    status.places.iter_mut().find(|place| !is_leaving(place))
}

/// The place that the Agent has, if it is this one.
#[must_use]
pub fn present_at<'a>(status: &'a AgentStatus, destination: &Destination<'_>) -> Option<&'a Place> {
    present(status).filter(|place| destination.is_at(place))
}

/// The places that the Agent leaves.
pub fn leaving(status: &AgentStatus) -> impl Iterator<Item = &Place> {
    status.places.iter().filter(|place| is_leaving(place))
}

/// Since when an agent that is confirmed where it is to be can be taken off a place that it leaves: that a gateway which it moves to was
/// away for long must not shorten the time that the old one gets.
#[must_use]
pub fn free_to_leave_since(status: &AgentStatus, place: &Place) -> Option<Timestamp> {
    let asked = place.leaving_since.as_ref().map(|Time(since)| *since);
    let confirmed = [REGISTERED, FILES_SYNCED].into_iter().filter_map(|type_| {
        let condition = condition::find(&status.conditions, type_)?;
        let is_true = condition.status == Status::True.as_str();
        is_true.then_some(condition.last_transition_time.0)
    });
    asked.into_iter().chain(confirmed).max()
}

/// Whether the agent may still be somewhere else than at its present place.
#[must_use]
pub fn is_moving(status: &AgentStatus) -> bool {
    leaving(status).next().is_some()
}

fn is_leaving(place: &Place) -> bool {
    place.leaving_since.is_some()
}

/// Whether the agent has never been confirmed at the place that it is to have.
#[must_use]
pub fn is_first_registration(status: &AgentStatus) -> bool {
    present(status).is_some_and(|place| !place.state.is_confirmed())
}

/// What is recorded of one place alone.
#[must_use]
pub fn record_of(status: &AgentStatus, place: &Place) -> AgentStatus {
    if is_leaving(place) {
        AgentStatus {
            own_keys: place.own_keys.clone(),
            ..AgentStatus::default()
        }
    } else {
        status.clone()
    }
}

/// Takes up a place that the Agent holds already: one that it was leaving, or one that it reached through another Gateway object of the
/// same gateway, which `sharing` tells. Answers whether the record is another one now.
pub fn take_up(
    status: &mut AgentStatus,
    to: &Destination<'_>,
    sharing: &[String],
    now: Timestamp,
) -> bool {
    let held = |place: &&Place| to.is_same_agent(place, sharing);
    // The place whose record is the present one goes before others that are the same agent.
    let Some(taken) = status
        .places
        .iter()
        .filter(held)
        .min_by_key(|place| (is_leaving(place), !to.is_at(place)))
        .cloned()
    else {
        return false;
    };
    let before = status.places.clone();
    if is_leaving(&taken) {
        if matches!(taken.state, PlaceState::Registered | PlaceState::Adopting) {
            // It was there all along: what was planned for a new agent is not for this one.
            unplan_wake(status);
        }
        leave(status, now);
        status.own_keys.clone_from(&taken.own_keys);
    }
    let place = Place {
        gateway_uid: to.gateway_uid.to_owned(),
        gateway: to.gateway.clone(),
        leaving_since: None,
        own_keys: Vec::new(),
        ..taken
    };
    status
        .places
        .retain(|place| !to.is_same_agent(place, sharing));
    put(status, place);
    status.places != before
}

/// Claims a place of which nothing is recorded yet, to write these keys there. The place that the Agent had is left from now on.
pub fn claim(status: &mut AgentStatus, place: Place, own_keys: Vec<String>, now: Timestamp) {
    leave(status, now);
    status
        .places
        .retain(|other| other.gateway_uid != place.gateway_uid);
    status.own_keys = own_keys;
    put(status, place);
}

/// Forgets what is held on a Gateway, with the record of it where it was the present place.
pub fn forget(status: &mut AgentStatus, gateway_uid: &str) {
    if present(status).is_some_and(|place| place.gateway_uid == gateway_uid) {
        clear_record(status);
        unplan_wake(status);
    }
    status
        .places
        .retain(|place| place.gateway_uid != gateway_uid);
}

fn put(status: &mut AgentStatus, place: Place) {
    status.agent_id = Some(place.agent_id.clone());
    status.session_key = Some(agent_id::session_key(&place.agent_id));
    status.gateway = Some(place.gateway.clone());
    status.places.insert(0, place);
}

/// The present place is one that the Agent leaves. What its end needs of the record goes with it; the rest speaks of it alone.
fn leave(status: &mut AgentStatus, now: Timestamp) {
    let own_keys = status.own_keys.clone();
    let is_confirmed = status.entry_sha256.is_some();
    clear_record(status);
    for place in status.places.iter_mut().filter(|place| !is_leaving(place)) {
        place.leaving_since = Some(Time(now));
        place.own_keys.clone_from(&own_keys);
        // The entry was confirmed and the files were not: who comes back finds what may be a new workspace.
        if is_confirmed && !place.state.is_confirmed() {
            place.state = PlaceState::Returning;
        }
    }
}

/// No new agent is made, so there is none to be woken.
fn unplan_wake(status: &mut AgentStatus) {
    status.wake = status.wake.take().filter(|wake| !wake::is_planned(wake));
}

fn clear_record(status: &mut AgentStatus) {
    status.own_keys.clear();
    status.entry_sha256 = None;
    status.files.clear();
    status.checklist = None;
    status.workspace_path = None;
    status.session_label = None;
    status.session_reset = None;
}

#[cfg(test)]
mod tests;
