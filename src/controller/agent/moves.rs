//! A move from one gateway to another: once the agent is confirmed at its new place, it is taken off those that it has left.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::{
    api::{
        agent::{AgentStatus, Place},
        condition::{ACCEPTED, FILES_SYNCED, HEARTBEAT_CONFIGURED, Judgement, REGISTERED},
        reason::Reason,
    },
    controller::{
        agent::{
            accept::Accepted,
            leave::{Done, Leave, Left},
            visit::{Stop, Visit},
        },
        obstacles::{self, Obstacle},
        runner::Next,
    },
    kube::apply,
    plan::{places, team},
};

/// Longest wait between two tries while the old gateway fails at it; a link that comes up wakes the Agent anyway.
const RETRY: Duration = Duration::from_mins(1);
/// What ends sooner is not worth a word: after a start of the operator, for instance, links come up one after the other.
const TOLD_AFTER: Duration = Duration::from_secs(10);

impl Visit<'_> {
    /// Says where the Agent is, and what it still leaves.
    pub(super) fn judge_accepted(&mut self, accepted: &Accepted) {
        let (id, name) = (&accepted.agent_id, &accepted.gateway_name.name);
        let others = self.status.places.iter();
        let others = others.filter(|place| place.gateway_uid != accepted.gateway_uid);
        let from: Vec<_> = others
            .map(|place| format!("Gateway {}", place.gateway.name))
            .collect();
        let message = if from.is_empty() {
            format!("The agent is {id:?} on Gateway {name}.")
        } else {
            format!(
                "The agent is to be {id:?} on Gateway {name}. Once it is confirmed there, it is taken off {}.",
                from.join(" and ")
            )
        };
        self.judge(Judgement::holds(ACCEPTED, Reason::Accepted, message));
    }

    /// An Agent that a lead added goes with its Board, and from the moment that it is on another one with that: accepted there or not, paused or
    /// not, because its old Board may be deleted meanwhile.
    pub(super) async fn follow_board(&mut self) -> Result<(), Stop> {
        let world = &self.context.world;
        let named = self.agent.spec.board_ref.as_ref();
        let namespace = self.agent.namespace().unwrap_or_default();
        let board = named.and_then(|board| world.board(board, &namespace));
        if named.is_some() && board.is_none() {
            return Ok(());
        }
        if let Some(owners) = team::owners(&self.agent, board.as_deref()) {
            let client = &self.context.clients.request;
            let agent = apply::set_owners(client, &*self.agent, &owners).await?;
            self.now_is(agent);
            tracing::info!("an agent that a lead added is owned by the board that it has moved to");
        }
        Ok(())
    }

    /// Whether the agent is at another place than the one where it is to be.
    pub(super) fn is_elsewhere(&self, accepted: &Accepted) -> bool {
        let sharing = self.context.pool.siblings(&accepted.gateway_uid);
        places::present(&self.status).is_some_and(|place| {
            place.gateway_uid != accepted.gateway_uid && !sharing.contains(&place.gateway_uid)
        })
    }

    /// What was confirmed somewhere else says nothing about where the agent is to be. A Board can move it without a change of the
    /// Agent's own spec.
    pub(super) fn judge_move(&mut self, accepted: &Accepted) {
        if !self.is_elsewhere(accepted) {
            return;
        }
        for type_ in [REGISTERED, HEARTBEAT_CONFIGURED, FILES_SYNCED] {
            let message = format!(
                "The agent moves to Gateway {}; not confirmed there yet.",
                accepted.gateway_name.name
            );
            self.judge(Judgement::unknown(type_, Reason::Pending, message));
        }
    }

    /// Takes the agent off the places that it leaves. It is confirmed where it is to be, so whatever keeps the others waiting is told in
    /// an event and changes nothing about Ready.
    pub(super) async fn leave_others(&mut self, accepted: &Accepted) -> Result<Next, Stop> {
        let leaving: Vec<Place> = places::leaving(&self.status).cloned().collect();
        let Some(stays) = places::present(&self.status).cloned() else {
            return Ok(Next::Change);
        };
        if leaving.is_empty() {
            return Ok(Next::Change);
        }
        // What was confirmed here has to outlive a crash before anything goes from there.
        self.write_status().await?;
        let mut next = Next::Change;
        for place in leaving {
            let agent = std::sync::Arc::clone(&self.agent);
            let leave = Leave {
                agent: &agent,
                place: &place,
                record: places::record_of(&self.status, &place),
                asked: age(&self.status, &place),
                stays: Some(&stays),
                context: self.context,
                turn: self.turn,
            };
            let (old, new) = (&place.gateway.name, &stays.gateway.name);
            match leave.run().await {
                Left::Done(done) => self.has_left(&place, &stays, &done),
                Left::GivenUp(note) => {
                    self.context.warn(&self.reference(), "LeftOnGateway", &note);
                }
                Left::Waits(waits) => {
                    if let Some(error) = &waits.error {
                        tracing::info!(%error, gateway = old, "the agent could not be taken off the gateway that it leaves; tried again");
                    }
                    let uid = self.agent.uid().unwrap_or_default();
                    let key = obstacles::within(&uid, &place.gateway_uid);
                    // A pause does not pass by itself.
                    let is_late = waits.for_pause || waits.tried >= TOLD_AFTER;
                    if is_late && self.context.obstacles.is_first(&key, Obstacle::Told) {
                        let note = format!(
                            "The agent is on Gateway {new}. To be taken off the gateway that it leaves it waits for {}.",
                            waits.what
                        );
                        self.context.warn(&self.reference(), "MoveWaits", &note);
                    }
                    let longest = match &waits.error {
                        _ if !is_late => TOLD_AFTER,
                        Some(_) => RETRY,
                        None => Duration::MAX,
                    };
                    // A pause ends with a change of its Gateway.
                    if waits.left < Duration::MAX {
                        next = next.or_sooner(Next::Within(waits.left.min(longest)));
                    }
                    continue;
                }
            }
            // What stands there from now on is somebody else's, however long the others take.
            places::forget(&mut self.status, &place.gateway_uid);
            self.judge_accepted(accepted);
            self.write_status().await?;
        }
        Ok(next)
    }

    fn has_left(&self, place: &Place, stays: &Place, done: &Done) {
        let (old, new) = (&place.gateway.name, &stays.gateway.name);
        let moved = format!("The agent has moved from Gateway {old} to Gateway {new}.");
        match done {
            Done::Nothing => self.event("Moved", &moved),
            Done::Deleted(note) | Done::Orphaned(note) => {
                self.event("Moved", &format!("{moved} {note}"));
            }
            Done::Retired(note) | Done::Anothers(note) => {
                self.event("Moved", &moved);
                self.context.warn(&self.reference(), "LeftOnGateway", note);
            }
        }
    }
}

/// For how long nothing but the place itself has kept the agent from being taken off it.
fn age(status: &AgentStatus, place: &Place) -> Duration {
    let since = places::free_to_leave_since(status, place);
    since
        .and_then(|since| Duration::try_from(Timestamp::now().duration_since(since)).ok())
        .unwrap_or_default()
}
