//! A pass over an Agent that is paused: it is kept from beating, unless its whole gateway is left alone, and what waits is said.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kube::ResourceExt;
use serde_json::{Value, json};

use crate::{
    api::{
        agent::Place,
        condition::{self, HEARTBEAT_CONFIGURED, Judgement, PAUSED},
        reason::Reason,
    },
    controller::{
        agent::{
            accept::resolve,
            leave::Leave,
            own,
            rounds::foreign_heartbeats,
            text,
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
    /// The pause that the Agent is under.
    pub(super) fn pause(&self) -> Option<Pause> {
        let world = &self.context.world;
        let namespace = self.agent.namespace().unwrap_or_default();
        let board = self.agent.spec.board_ref.as_ref();
        let board = board.and_then(|board| world.board(board, &namespace));
        let found = resolve(&self.agent, world).ok();
        let gateway = found.as_ref().map(|found| &*found.gateway);
        pause::of(&self.agent, board.as_deref(), gateway)
    }

    /// Leads through the pass. What is declared is judged as ever, but nothing of it is written.
    pub(super) async fn paused(&mut self, pause: &Pause) -> Result<Next, Stop> {
        self.frozen = true;
        // During a move the agent can beat at two places, and where it was not confirmed yet as well.
        let held: Vec<Place> = self.status.places.clone();
        let is_confirmed = held
            .iter()
            .any(|place| plan::is_confirmed(&places::record_of(&self.status, place), place));
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
        let is_registered = is_confirmed || silenced == Ok(true);
        self.judge(pause.judge(is_registered, &self.status.pending, why));
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
        let is_off = there
            .pointer("/heartbeat/every")
            .is_some_and(|every| every == NEVER);
        let record = places::record_of(&self.status, place);
        if !is_off || !plan::is_confirmed(&record, place) {
            let link = context.pool.get(uid);
            let link = link.ok_or_else(|| format!("Gateway {name} is not connected"))?;
            let own = text::mark(&self.agent, context);
            let is_ours = own::is_ours(&link, &record, place, Some(there), &own).await;
            if !is_ours.map_err(|error| error.to_string())? {
                return Ok(false);
            }
        }
        if is_off {
            // Switched off by an operator that ended before it wrote that down: later what differs is somebody else's change.
            let is_told = condition::find(&self.status.conditions, HEARTBEAT_CONFIGURED)
                .is_some_and(|it| it.reason == Reason::Disabled.as_str());
            if !is_told {
                self.record_silence(place, there);
            }
            return Ok(true);
        }
        let others_beat = adoption::others_beat(observed.config.entries(), &place.agent_id);
        let is_theirs = place.adopted && !adoption::names_every(&self.agent.spec);
        if is_theirs && adoption::cannot_beat(there, others_beat) {
            return Ok(true);
        }
        if let Some(every) = adoption::replaced_by_pause(place, there) {
            let known = &mut self.status.places;
            if let Some(known) = known.iter_mut().find(|it| it.gateway_uid == *uid) {
                known.replaced_every = Some(every);
            }
        }
        if self.status.entry_sha256.is_none() {
            // Ours until now by what the claim was made to write, which is about to stand there no more.
            self.record_silence(place, there);
        }
        // It has to come back, whatever happens.
        let written = self.write_status().await;
        written.map_err(|error| error.to_string())?;
        let writer = context.pool.writer(uid);
        let writer = writer.ok_or_else(|| format!("Gateway {name} is not connected"))?;
        context.metrics.plan_step("write_entry");
        let wish = EntryWish {
            set: BTreeMap::from([(EVERY.to_owned(), json!(NEVER))]),
            was_there: true,
            foreign_heartbeats: foreign_heartbeats(&gateway),
            ..EntryWish::of(&place.agent_id)
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

    /// After a pass over an Agent that is not paused any more. What a pause replaced comes back with what is declared; where that could not
    /// be written, or is not even known, it comes back by itself. Until then the pause is not over.
    pub(super) async fn after_pause(&mut self, ended: Result<Next, Stop>) -> Result<Next, Stop> {
        let is_over = |it: &Judgement| it.type_ == PAUSED && it.reason == Reason::NotPaused;
        let waits = |place: &Place| place.replaced_every.is_some();
        if !self.judgements.iter().any(is_over) || !self.status.places.iter().any(waits) {
            return ended;
        }
        let why = match &ended {
            // The next pass begins at once.
            Ok(_) | Err(Stop::Judged(Next::Within(Duration::ZERO))) => return ended,
            Err(Stop::Failed(error)) if !error.is_refusal() => error.to_string(),
            Err(_) => match self.give_back().await {
                Ok(()) => return ended,
                Err(why) => why,
            },
        };
        let known = condition::find(&self.status.conditions, PAUSED);
        let reason = known.and_then(|known| Reason::parse(&known.reason));
        let reason = reason.filter(|reason| *reason != Reason::NotPaused);
        self.judge(pause::judge_lingering(
            reason.unwrap_or(Reason::Agent),
            &why,
        ));
        match ended {
            Err(Stop::Judged(next)) => Err(Stop::Judged(next.or_sooner(Next::Within(RETRY)))),
            ended => ended,
        }
    }

    /// Switches on again what a pause has switched off, wherever the agent is, and touches nothing else. An error says what keeps it off.
    async fn give_back(&mut self) -> Result<(), String> {
        let (context, agent) = (self.context, Arc::clone(&self.agent));
        let places = self.status.places.clone();
        let mut outcome = Ok(());
        for place in places.iter().filter(|it| it.replaced_every.is_some()) {
            let leave = Leave {
                agent: &agent,
                place,
                record: places::record_of(&self.status, place),
                asked: Duration::ZERO,
                stays: None,
                context,
                turn: self.turn,
            };
            match leave.beat_again().await {
                Ok(entry) => {
                    let spec = &agent.spec;
                    pause::gave_back(&mut self.status, &place.gateway_uid, spec, entry.as_ref());
                    let is_judged = |it: &Judgement| it.type_ == HEARTBEAT_CONFIGURED;
                    if place.leaving_since.is_none() && !self.judgements.iter().any(is_judged) {
                        let said = "The pause is over, and the agent beats as it did before. What is declared is compared once this Agent goes on.";
                        self.judge(Judgement::unknown(
                            HEARTBEAT_CONFIGURED,
                            Reason::Pending,
                            said,
                        ));
                    }
                }
                Err(why) => outcome = Err(why),
            }
        }
        outcome
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
    /// Has an agent beat again after a pause. Answers its entry, if that is there; an error says why it could not be done.
    async fn beat_again(&self) -> Result<Option<Value>, String> {
        let (context, place) = (self.context, self.place);
        let (uid, name) = (&place.gateway_uid, &place.gateway.name);
        let gateway = context.world.gateway_with_uid(&place.gateway, uid);
        let gateway = gateway.ok_or_else(|| format!("Gateway {name} does not exist"))?;
        if gateway.spec.paused {
            return Err(format!("Gateway {name} is paused"));
        }
        let (Some(link), Some(writer)) = (context.link(uid), context.pool.writer(uid)) else {
            return Err(format!("Gateway {name} is not connected"));
        };
        let lifted = async {
            if self.is_there_by_us(&link).await? {
                self.lift_pause(&writer).await
            } else {
                Ok(None)
            }
        };
        lifted.await.map_err(|error| error.to_string())
    }

    /// Has an agent for which nothing else is written beat again where a pause has switched that off. Answers its entry, if that is there.
    pub(super) async fn lift_pause(
        &self,
        writer: &Writer,
    ) -> Result<Option<Value>, ReconcileError> {
        let (context, place) = (self.context, self.place);
        let Some(gateway) = context
            .world
            .gateway_with_uid(&place.gateway, &place.gateway_uid)
        else {
            return Ok(None);
        };
        let observed = self.look().await?;
        let Some(there) = observed.config.entry(&place.agent_id) else {
            return Ok(None);
        };
        let namespace = self.agent.namespace().unwrap_or_default();
        let board = self.agent.spec.board_ref.as_ref();
        let board = board.and_then(|board| context.world.board(board, &namespace));
        let id = place.agent_id.clone();
        let declared = desired(self.agent, board.as_deref(), &gateway, id).heartbeat;
        let others_beat = adoption::others_beat(observed.config.entries(), &place.agent_id);
        let (spec, every) = (&self.agent.spec, &declared.every);
        let Some((set, unset)) = pause::lifted(spec, place, every, there, others_beat) else {
            return Ok(Some(there.clone()));
        };
        context.metrics.plan_step("write_entry");
        let wish = EntryWish {
            set,
            unset,
            was_there: true,
            foreign_heartbeats: foreign_heartbeats(&gateway),
            ..EntryWish::of(&place.agent_id)
        };
        match self.turn.lend(writer.apply(wish)).await {
            Ok(applied) => Ok(Some(applied.entry)),
            // Somebody removed it meanwhile.
            Err(WriteError::WasDeleted) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
