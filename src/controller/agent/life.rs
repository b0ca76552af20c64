//! What an agent does beyond what is written for it: its session, waking it, and whether it is online.

use std::time::Duration;

use data_encoding::HEXLOWER;
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use kube::ResourceExt;
use sha2::{Digest, Sha256};

use crate::{
    api::{
        condition::{self, ONLINE, REGISTERED, Status},
        heartbeat::parse_every,
        reason::Reason,
        session::SessionReset,
        wake::WakeStatus,
    },
    controller::{
        agent::{
            accept,
            visit::{Stop, Target, Visit},
        },
        gateway::down_for,
        runner::{Next, ReconcileError},
    },
    gateway::{CallError, Link},
    plan::{
        agent_id, desired,
        once::Once,
        places,
        presence::{self, Signs},
        wake,
    },
    presence::Told,
};

/// How old the time in the status may become while there is nothing else to write: a fleet that beats costs the API server nothing.
const STALE: SignedDuration = SignedDuration::from_hours(1);
/// How long after a message its key still says what became of it. The gateway remembers it for five minutes after the turn's end.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(4);

impl Visit<'_> {
    /// Keeps the label of the main session, and resets it where that is asked for.
    pub(super) async fn session(&mut self, link: &Link, id: &str) -> Result<(), Stop> {
        let wanted = self.agent.spec.session.as_ref();
        let label = wanted.and_then(|session| session.label.clone());
        let due = Once::ResetSession.due(&self.agent, self.status.recorded.as_ref());
        let is_at_rest = due.is_none() && self.status.session_reset.is_none();
        if label.is_none() && self.status.session_label.is_none() && is_at_rest {
            return Ok(());
        }
        self.phase = REGISTERED;
        let key = agent_id::session_key(id);
        let session = link.session(&key).await?.unwrap_or_default();
        let session_id = session.session_id.as_deref();
        // Asked for only now, because it is told by writes alone.
        let revision = match session_id {
            Some(id) if !is_at_rest => Some(link.session_revision(&key, id).await?),
            _ => None,
        };
        if let Some(value) = due {
            Once::ResetSession.done(&self.agent, &mut self.status.recorded);
            // Where there is no session yet there is nothing to forget.
            self.status.session_reset = revision
                .clone()
                .map(|revision| SessionReset { value, revision });
            // Written down first: after a crash the revision tells whether it was done.
            self.write_status().await?;
        }
        if let Some(reset) = self.status.session_reset.clone() {
            if revision.as_ref() == Some(&reset.revision) {
                link.session_reset(&key, session_id).await?;
                let note = format!("Session {key} begins anew, as {:?} asks.", reset.value);
                self.event("SessionReset", &note);
            }
            self.status.session_reset = None;
        }
        match (label, self.status.session_label.take()) {
            (Some(label), _) => {
                if session.label.as_ref() != Some(&label) {
                    link.session_label(&key, Some(&label)).await?;
                }
                self.status.session_label = Some(label);
            }
            // Only a label that is still ours goes.
            (None, Some(ours)) if session.label.as_ref() == Some(&ours) => {
                link.session_label(&key, None).await?;
            }
            (None, _) => {}
        }
        Ok(())
    }

    /// Wakes the agent where there is a cause, and judges what became of it.
    pub(super) async fn wake(&mut self, target: &Target) -> Result<Next, ReconcileError> {
        if let Some(value) = Once::Wake.due(&self.agent, self.status.recorded.as_ref()) {
            Once::Wake.done(&self.agent, &mut self.status.recorded);
            self.status.wake = Some(wake::asked(&self.agent, &value));
        }
        let last = self.context.directory.presence().last_seen(&self.key());
        let now = Timestamp::now();
        let mut step = wake::decide(self.status.wake.as_ref(), last, now);
        if matches!(step, wake::Step::Wait(_)) && self.was_answered(target, now).await? {
            step = wake::Step::Woken;
        }
        let mut next = Next::Change;
        match step {
            wake::Step::Nothing | wake::Step::GiveUp => {}
            wake::Step::Woken => {
                if let Some(wake) = &mut self.status.wake {
                    wake.done = true;
                }
            }
            wake::Step::Wait(left) => {
                next = Next::Within(Duration::try_from(left).unwrap_or_default());
            }
            wake::Step::Send(attempt) => {
                let id = &target.accepted.agent_id;
                self.send_wake(&target.link, id, attempt, now).await?;
                let wait = wake::decide(self.status.wake.as_ref(), None, now);
                if let wake::Step::Wait(left) = wait {
                    next = Next::Within(Duration::try_from(left).unwrap_or_default());
                }
            }
        }
        let gave_up = step == wake::Step::GiveUp;
        self.judge(wake::judge(self.status.wake.as_ref(), gave_up));
        Ok(next)
    }

    /// Whether the agent has answered the message that it was sent last, as far as this process does not hear it by itself: it may have been
    /// sent by another one, which ended before the answer, or before it was sent at all. The same key again sends it only then.
    async fn was_answered(&self, target: &Target, now: Timestamp) -> Result<bool, ReconcileError> {
        let Some(wake) = &self.status.wake else {
            return Ok(false);
        };
        let (uid, key) = (self.agent.uid().unwrap_or_default(), self.wake_key(wake));
        let sent = wake.last_time.as_ref().map(|Time(sent)| *sent);
        let is_remembered = sent.is_some_and(|sent| now.duration_since(sent) < REMEMBERED);
        if !is_remembered || self.context.has_sent(&uid, &key) {
            return Ok(false);
        }
        let session = agent_id::session_key(&target.accepted.agent_id);
        let message = wake::message(&self.agent, wake);
        let answered = match target.link.chat_send(&session, &message, &key).await {
            Ok(sent) => sent.is_answered(),
            // The turn has failed, or what the agent is told has been changed since: the next attempt follows.
            Err(
                CallError::Unavailable {
                    retry_after: None, ..
                }
                | CallError::Rejected { .. },
            ) => false,
            Err(error) => return Err(error.into()),
        };
        self.context.sent(&uid, &key);
        if answered {
            self.context.directory.presence().recall(&self.key(), now);
        }
        Ok(answered)
    }

    /// What the gateway knows this attempt by. The time is in it because a value may be asked for again after another one.
    fn wake_key(&self, wake: &WakeStatus) -> String {
        let cause = HEXLOWER.encode(&Sha256::digest(wake.cause.as_bytes()));
        let short = cause.get(..12).unwrap_or_default();
        let uid = self.agent.uid().unwrap_or_default();
        let sent = wake.last_time.as_ref().map(|Time(sent)| sent.as_second());
        let sent = sent.unwrap_or_default();
        format!("wake-{uid}-{short}-{}-{sent}", wake.attempts)
    }

    /// Sends the message. The attempt is written down before: whoever comes after a crash asks the gateway what became of it.
    async fn send_wake(
        &mut self,
        link: &Link,
        id: &str,
        attempt: i32,
        now: Timestamp,
    ) -> Result<(), ReconcileError> {
        let Some(wake) = &mut self.status.wake else {
            return Ok(());
        };
        wake.attempts = attempt;
        wake.last_time = Some(Time(whole_seconds(now)));
        let message = wake::message(&self.agent, wake);
        let wake = wake.clone();
        let key = self.wake_key(&wake);
        self.write_status().await?;
        self.context.metrics.plan_step("wake");
        // Also of an agent that is online: the answer may come before this pass ends.
        let presence = self.context.directory.presence();
        presence.told(&self.key(), Told::Awaited);
        link.chat_send(&agent_id::session_key(id), &message, &key)
            .await?;
        let uid = self.agent.uid().unwrap_or_default();
        self.context.sent(&uid, &key);
        Ok(())
    }

    /// Judges whether the agent is online, if it is on its gateway.
    pub(super) fn judge_online(&mut self) -> Next {
        let place = places::present(&self.status).filter(|it| it.state.is_confirmed());
        let Some(place) = place else {
            return Next::Change;
        };
        let Some(every) = self.every.or_else(|| self.declared_every()) else {
            return Next::Change;
        };
        let uid = place.gateway_uid.clone();
        let (key, presence) = (self.key(), self.context.directory.presence());
        if self.silenced {
            presence.told(&key, Told::Unconcerned);
            self.judge(presence::paused());
            return Next::Change;
        }
        if let Some(Time(seen)) = &self.status.last_seen_time {
            presence.recall(&key, *seen);
        }
        let last = presence.last_seen(&key);
        let signs = Signs {
            every,
            last,
            heard_since: self.context.heard_since(&uid),
        };
        let said = presence::judge(&signs, Timestamp::now());
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
        let known = self
            .status
            .last_seen_time
            .as_ref()
            .map(|Time(known)| *known);
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
        let away = self.context.down_since(gateway_uid).map(down_for);
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

    /// Moves the time in a status that is written anyway.
    pub(super) fn refresh_last_seen(&mut self) {
        let turned = self.judgements.iter().any(|it| it.type_ == ONLINE);
        let last = self.context.directory.presence().last_seen(&self.key());
        if let Some(last) = last.filter(|_| turned) {
            self.status.last_seen_time = Some(Time(whole_seconds(last)));
        }
    }
}

/// As the API server keeps times: a finer one would differ from what comes back.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
