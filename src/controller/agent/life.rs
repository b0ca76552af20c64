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
        condition::{ONLINE, REGISTERED, Status},
        session::SessionReset,
    },
    controller::{
        agent::visit::{Stop, Target, Visit},
        runner::{Next, ReconcileError},
    },
    gateway::Link,
    plan::{
        agent_id,
        once::Once,
        places,
        presence::{self, Signs},
        wake,
    },
    presence::Told,
};

/// How old the time in the status may become while there is nothing else to write: a fleet that beats costs the API server nothing.
const STALE: SignedDuration = SignedDuration::from_hours(1);

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
        let revision = session
            .lifecycle_revision
            .or_else(|| session.session_id.clone());
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
                link.session_reset(&key, session.session_id.as_deref())
                    .await?;
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
        let step = wake::decide(self.status.wake.as_ref(), last, now);
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

    /// Sends the message. It is written down before, so that a crash in between costs one attempt and never sends one twice.
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
        let cause = HEXLOWER.encode(&Sha256::digest(wake.cause.as_bytes()));
        let short = cause.get(..12).unwrap_or_default();
        let uid = self.agent.uid().unwrap_or_default();
        let key = format!("wake-{uid}-{short}-{attempt}");
        self.write_status().await?;
        self.context.metrics.plan_step("wake");
        link.chat_send(&agent_id::session_key(id), &message, &key)
            .await?;
        Ok(())
    }

    /// Judges whether the agent is online, if it is on its gateway.
    pub(super) fn judge_online(&mut self) -> Next {
        let place = places::present(&self.status).filter(|it| it.state.is_confirmed());
        let (Some(place), Some(every)) = (place, self.every) else {
            return Next::Change;
        };
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
            heard_since: self.context.heard_since(&place.gateway_uid),
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
        self.judge(said.judgement);
        let look_in = said.look_in.and_then(|left| Duration::try_from(left).ok());
        look_in.map_or(Next::Change, Next::Within)
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
