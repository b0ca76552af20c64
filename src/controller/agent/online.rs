//! Whether an agent is online: brings what is known of its signs of life to the plan, and keeps the time of the last one.

use std::time::Duration;

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};

use crate::{
    api::{
        agent::Place,
        condition::{self, ONLINE, Status},
        heartbeat::parse_every,
        reason::Reason,
    },
    controller::{
        agent::{accept, visit::Visit},
        runner::Next,
    },
    gateway::{CronJob, Observed},
    plan::{
        desired,
        entry::{EVERY, Keys},
        places,
        presence::{self, Signs},
        wake::whole_seconds,
    },
    presence::Told,
};

/// How old the time in the status may become while there is nothing else to write: a fleet that beats costs the API server nothing more.
const STALE: SignedDuration = SignedDuration::from_hours(1);

impl Visit<'_> {
    /// Judges whether the agent is online, if it is on its gateway.
    pub(super) async fn judge_online(&mut self) -> Next {
        let Some(place) = places::present(&self.status).cloned() else {
            return Next::Change;
        };
        let (key, presence) = (self.key(), self.context.directory.presence());
        if !place.state.is_confirmed() {
            if places::is_moving(&self.status) {
                presence.told(&key, Told::Unconcerned);
                self.judge(presence::moving(&place.gateway.name));
            }
            return Next::Change;
        }
        if self.silenced {
            presence.told(&key, Told::Unconcerned);
            self.judge(presence::paused());
            return Next::Change;
        }
        let every = match self.every.or_else(|| self.declared_every()) {
            None => self.every_there(&place).await,
            every => every,
        };
        let Some(every) = every else {
            presence.told(&key, Told::Unconcerned);
            self.judge(presence::without_every());
            return Next::Change;
        };
        let (uid, now) = (place.gateway_uid, Timestamp::now());
        let known = self.status.last_seen_time.as_ref().map(|Time(seen)| *seen);
        let known = presence::credible(known, now);
        if let Some(seen) = known {
            presence.recall(&key, seen);
        }
        let last = presence.last_seen(&key, now);
        let signs = Signs {
            every,
            last,
            heard_since: self.context.heard_since(&uid),
            beats_since: presence.beats(&key, every, now),
        };
        let said = presence::judge(&signs, now);
        let is_woken = self.status.wake.as_ref().is_none_or(|wake| wake.done);
        presence.told(
            &key,
            match said.judgement.status {
                _ if !is_woken => Told::Awaited,
                Status::True => Told::Online(presence::window(every)),
                _ if every.is_zero() => Told::Unconcerned,
                _ => Told::Awaited,
            },
        );
        if let Some(last) = last
            && known.is_none_or(|known| last.duration_since(known) > STALE)
        {
            self.status.last_seen_time = Some(Time(whole_seconds(last)));
        }
        // A short outage changes nothing, here as elsewhere: after a start every link is down for a moment.
        if said.judgement.reason != Reason::GatewayUnreachable || !self.is_short_outage(&uid) {
            self.judge(said.judgement);
        }
        let look_in = said.look_in.and_then(|left| Duration::try_from(left).ok());
        look_in.map_or(Next::Change, Next::Within)
    }

    /// Whether the gateway is away for a shorter time than is told of, and something was said of the agent before.
    fn is_short_outage(&self, gateway_uid: &str) -> bool {
        let was_told = condition::find(&self.status.conditions, ONLINE)
            .is_some_and(|it| it.reason != Reason::Pending.as_str());
        let away = self.context.down_for(gateway_uid);
        was_told && away.is_some_and(|away| away < self.context.settings.unreachable_after)
    }

    /// Time between two heartbeats as declared, where a pass ends before it comes to that.
    fn declared_every(&self) -> Option<SignedDuration> {
        let found = accept::resolve(&self.agent, &self.context.world).ok()?;
        let wanted = desired::desired(
            &self.agent,
            found.board.as_deref(),
            &found.gateway,
            found.agent_id,
        );
        SignedDuration::try_from(parse_every(&wanted.heartbeat.every)?).ok()
    }

    /// Time between two heartbeats as it is on the gateway, where nobody declares it any more: the Board is gone, for instance, and the
    /// agent beats on.
    async fn every_there(&self, place: &Place) -> Option<SignedDuration> {
        let uid = &place.gateway_uid;
        if self.context.down_since(uid).is_some() {
            return None;
        }
        let observed = self.context.pool.observe(uid, None).await.ok()?;
        let is_there = observed.config.valid && observed.config.entry(&place.agent_id).is_some();
        is_there.then(|| every_of(&observed, &place.agent_id))?
    }

    /// An agent that was adopted may beat as somebody else wrote, or not at all.
    pub(super) fn every_of_others(&mut self, keys: &Keys, observed: &Observed, id: &str) {
        if !keys.contains_key(EVERY) {
            self.every = every_of(observed, id);
        }
    }

    /// The gateway's own record of the last heartbeat counts also where its event was missed.
    pub(super) fn recall_heartbeat(&self, observed: &Observed, id: &str) {
        let ran = observed.heartbeat_job(id).and_then(CronJob::last_good_run);
        let ran = ran.and_then(|ran| Timestamp::from_millisecond(i64::try_from(ran).ok()?).ok());
        if let Some(ran) = presence::credible(ran, Timestamp::now()) {
            self.context.directory.presence().recall(&self.key(), ran);
        }
    }

    /// Moves the time in a status that is written anyway.
    pub(super) fn refresh_last_seen(&mut self) {
        let turned = self.judgements.iter().any(|it| it.type_ == ONLINE);
        let presence = self.context.directory.presence();
        let last = presence.last_seen(&self.key(), Timestamp::now());
        if let Some(last) = last.filter(|_| turned) {
            self.status.last_seen_time = Some(Time(whole_seconds(last)));
        }
    }
}

/// Time between two heartbeats as the agent's entry says it; none where it does not.
fn every_of(observed: &Observed, id: &str) -> Option<SignedDuration> {
    let entry = observed.config.entry(id);
    let every = entry.and_then(|entry| entry.pointer("/heartbeat/every")?.as_str());
    let every = every.and_then(parse_every).unwrap_or_default();
    SignedDuration::try_from(every).ok()
}
