//! A pass over an Agent that is paused: it is kept from beating, unless its whole gateway is left alone, and what waits is said.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kube::ResourceExt;
use serde_json::{Value, json};

use crate::{
    api::{
        agent::Place,
        condition::{self, HEARTBEAT_CONFIGURED, Judgement},
        reason::Reason,
    },
    controller::{
        agent::{
            accept::resolve,
            leave::Leave,
            rounds::foreign_heartbeats,
            visit::{Stop, Visit},
        },
        runner::{Next, ReconcileError},
    },
    gateway::{EntryWish, WriteError, Writer},
    plan::{
        adoption, agent as plan,
        desired::desired,
        entry::{self, EVERY},
        pause::{self, NEVER, Pause},
        places,
    },
};

/// Time between two tries to switch a heartbeat off; a link that comes up wakes the Agent anyway.
const RETRY: Duration = Duration::from_secs(30);

impl Visit<'_> {
    /// The pause that the Agent is under. One whose Board or Gateway is not there can be paused by itself.
    pub(super) fn pause(&self) -> Option<Pause> {
        match resolve(&self.agent, &self.context.world) {
            Ok(found) => pause::of(&self.agent, found.board.as_deref(), &found.gateway),
            Err(_) => self.agent.spec.paused.then_some(Pause::Agent),
        }
    }

    /// Leads through the pass. What is declared is judged as ever, but nothing of it is written.
    pub(super) async fn paused(&mut self, pause: &Pause) -> Result<Next, Stop> {
        self.frozen = true;
        // During a move the agent can beat at two places.
        let held: Vec<Place> = self.status.places.clone();
        let held: Vec<&Place> = held
            .iter()
            .filter(|place| plan::is_confirmed(&places::record_of(&self.status, place), place))
            .collect();
        for judgement in pause::carried_over(&self.status) {
            self.judge(judgement);
        }
        let mut silenced = Ok(false);
        if !matches!(pause, Pause::Gateway(_)) {
            for place in &held {
                silenced = match (silenced, self.silence(place).await) {
                    (Err(why), _) | (_, Err(why)) => Err(why),
                    (Ok(before), Ok(now)) => Ok(before || now),
                };
            }
        }
        if silenced == Ok(true) {
            self.silenced = true;
            self.judge(Judgement::holds(
                HEARTBEAT_CONFIGURED,
                Reason::Disabled,
                "The heartbeat is switched off while the pause lasts.",
            ));
        }
        let declared = self.declared().await;
        if let Ok(declared) = &declared {
            self.status.pending = pause::pending(&declared.keys, &declared.workspace, &self.status);
        }
        let why = silenced.as_ref().err().map(String::as_str);
        self.judge(pause.judge(!held.is_empty(), &self.status.pending, why));
        match declared {
            Err(Stop::Failed(error)) => Err(error.into()),
            _ if silenced.is_err() => Ok(Next::Within(RETRY)),
            _ => Ok(Next::Change),
        }
    }

    /// Switches the heartbeat off, and touches nothing else of the entry. Answers whether it is off now: an entry that somebody removed
    /// comes back when the pause ends. An error says why it is not known to be off.
    async fn silence(&mut self, place: &Place) -> Result<bool, String> {
        let (context, uid) = (self.context, &place.gateway_uid);
        let name = &place.gateway.name;
        let gateway = context.world.gateway_with_uid(&place.gateway, uid);
        let gateway = gateway.ok_or_else(|| format!("Gateway {name} does not exist"))?;
        if gateway.spec.paused {
            return Err(format!("Gateway {name} is paused"));
        }
        if context.down_since(uid).is_some() {
            return Err(format!("Gateway {name} is not connected"));
        }
        let observed = context.pool.observe(uid, None).await;
        let observed = observed.map_err(|error| error.to_string())?;
        if !observed.config.valid {
            return Err(format!("the config document of Gateway {name} is broken"));
        }
        let Some(there) = observed.config.entry(&place.agent_id) else {
            return Ok(false);
        };
        if there
            .pointer("/heartbeat/every")
            .is_some_and(|every| every == NEVER)
        {
            // Switched off by an operator that ended before it wrote that down: later what differs is somebody else's change.
            let is_told = condition::find(&self.status.conditions, HEARTBEAT_CONFIGURED)
                .is_some_and(|it| it.reason == Reason::Disabled.as_str());
            if !is_told {
                self.record_silence(place, there);
            }
            return Ok(true);
        }
        if let Some(every) = adoption::replaced_by_pause(&self.agent.spec, place, there) {
            let job = observed.heartbeat_job(&place.agent_id);
            if !job.is_some_and(|job| job.enabled) {
                return Ok(true);
            }
            let known = &mut self.status.places;
            if let Some(known) = known.iter_mut().find(|it| it.gateway_uid == *uid) {
                known.replaced_every = Some(every);
            }
            // What is not ours has to come back, whatever happens.
            let written = self.write_status().await;
            written.map_err(|error| error.to_string())?;
        }
        let writer = context.pool.writer(uid);
        let writer = writer.ok_or_else(|| format!("Gateway {name} is not connected"))?;
        context.metrics.plan_step("write_entry");
        let wish = EntryWish {
            agent_id: place.agent_id.clone(),
            set: BTreeMap::from([(EVERY.to_owned(), json!(NEVER))]),
            unset: BTreeSet::new(),
            must_be_absent: false,
            was_there: true,
            may_be_created: false,
            foreign_heartbeats: foreign_heartbeats(&gateway),
        };
        match self.turn.lend(writer.apply(wish)).await {
            Ok(applied) => {
                self.record_silence(place, &applied.entry);
                Ok(true)
            }
            // Somebody removed it meanwhile.
            Err(WriteError::WasDeleted) => Ok(false),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Notes the entry whose heartbeat was switched off as the one that is ours.
    fn record_silence(&mut self, place: &Place, there: &Value) {
        if place.leaving_since.is_none() {
            let there = entry::taken(there, &self.status.own_keys);
            self.status.entry_sha256 = Some(entry::digest(&there));
        }
    }
}

impl Leave<'_> {
    /// Has an agent that stays, and that nobody stands for any more, beat again where a pause has switched that off.
    pub(super) async fn lift_pause(&self, writer: &Writer) -> Result<(), ReconcileError> {
        let (context, place) = (self.context, self.place);
        let Some(gateway) = context
            .world
            .gateway_with_uid(&place.gateway, &place.gateway_uid)
        else {
            return Ok(());
        };
        let observed = self.look().await?;
        let Some(there) = observed.config.entry(&place.agent_id) else {
            return Ok(());
        };
        let namespace = self.agent.namespace().unwrap_or_default();
        let board = self.agent.spec.board_ref.as_ref();
        let board = board.and_then(|board| context.world.board(board, &namespace));
        let id = place.agent_id.clone();
        let declared = desired(self.agent, board.as_deref(), &gateway, id).heartbeat;
        let others_beat = adoption::others_beat(observed.config.entries(), &place.agent_id);
        let (spec, every) = (&self.agent.spec, &declared.every);
        let Some((set, unset)) = pause::lifted(spec, place, every, there, others_beat) else {
            return Ok(());
        };
        context.metrics.plan_step("write_entry");
        let wish = EntryWish {
            agent_id: place.agent_id.clone(),
            set,
            unset,
            must_be_absent: false,
            was_there: true,
            may_be_created: false,
            foreign_heartbeats: foreign_heartbeats(&gateway),
        };
        match self.turn.lend(writer.apply(wish)).await {
            // Somebody removed it meanwhile.
            Ok(_) | Err(WriteError::WasDeleted) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
