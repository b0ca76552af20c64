//! What an agent does beyond what is written for it: its session, and waking it.

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
        condition::{self, Judgement, REGISTERED, WOKEN},
        reason::Reason,
        session::SessionReset,
        wake::WakeStatus,
    },
    controller::{
        agent::visit::{Stop, Target, Visit},
        context::Sent,
        runner::{Next, ReconcileError},
    },
    gateway::{CallError, Class, Link},
    plan::{
        agent_id,
        once::Once,
        wake::{self, Process, Step},
    },
    presence::Told,
};

/// What the gateway says of a message that it was sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The agent has answered it.
    Answered,
    /// The agent has it, or is at work on something else, and its turn goes on.
    UnderWay,
    /// Its turn has failed; or it was not asked.
    Unknown,
}

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
        match (label, &self.status.session_label) {
            (Some(label), _) => {
                if session.label.as_ref() != Some(&label) {
                    match link.session_label(&key, Some(&label)).await {
                        // One that was ours before is still there, and still ours.
                        Err(CallError::Rejected { message, .. }) => {
                            self.label_refused(&label, &message);
                            return Ok(());
                        }
                        written => written?,
                    }
                }
                self.status.session_label = Some(label);
            }
            // Only a label that is still ours goes.
            (None, Some(ours)) => {
                if session.label.as_ref() == Some(ours) {
                    link.session_label(&key, None).await?;
                }
                self.status.session_label = None;
            }
            (None, None) => {}
        }
        Ok(())
    }

    /// The agent is there and works without the label, so everything else goes on; but it is not as declared.
    fn label_refused(&mut self, label: &str, message: &str) {
        self.judge(Judgement::fails(
            REGISTERED,
            Reason::Rejected,
            format!(
                "The gateway has the agent as declared, but does not call its main session {label:?}: {message}. Change spec.session.label, or free the label on the gateway; it is looked at again at the next comparison."
            ),
        ));
    }

    /// Wakes the agent where there is a cause, and judges what became of it.
    pub(super) async fn wake(&mut self, target: &Target) -> Result<Next, ReconcileError> {
        if let Some(value) = Once::Wake.due(&self.agent, self.status.recorded.as_ref()) {
            Once::Wake.done(&self.agent, &mut self.status.recorded);
            self.status.wake = Some(wake::asked(&self.agent, &value));
        }
        let now = Timestamp::now();
        let last = self
            .context
            .directory
            .presence()
            .last_seen(&self.key(), now);
        let since = self.context.heard_since(&target.accepted.gateway_uid);
        let unheard = since.filter(|_| !self.has_heard(since) && !self.was_given_up());
        let exactly = self.known_as_sent().map(|message| message.at);
        let mut step = wake::decide(self.status.wake.as_ref(), exactly, last, unheard, now);
        if matches!(step, Step::Wait(_) | Step::Send(_) | Step::GiveUp) && !self.was_given_up() {
            match self.fate(target, step, since, now).await? {
                Fate::Answered => step = Step::Woken,
                Fate::UnderWay => step = wake::until_turn_ends(step),
                Fate::Unknown => {}
            }
        }
        let mut next = Next::Change;
        let mut said = wake::judge(self.status.wake.as_ref(), step == Step::GiveUp);
        match step {
            Step::Nothing | Step::GiveUp => {}
            Step::Woken => {
                if let Some(wake) = &mut self.status.wake {
                    wake.done = true;
                }
                said = wake::judge(self.status.wake.as_ref(), false);
            }
            Step::Wait(left) => {
                next = Next::Within(Duration::try_from(left).unwrap_or_default());
                said = wake::refused_before(&self.status.conditions).unwrap_or(said);
            }
            Step::Send(_) => {
                self.count_attempt(step, last, now);
                match self.send_wake(target).await {
                    // The agent is there as declared all the same.
                    Err(ReconcileError::Call(error)) if error.class() == Class::Rejected => {
                        said = wake::refused(&error.to_string());
                    }
                    sent => sent?,
                }
                self.note_sent(target, since, now);
                let wait = wake::decide(self.status.wake.as_ref(), None, None, None, now);
                if let Step::Wait(left) = wait {
                    next = Next::Within(Duration::try_from(left).unwrap_or_default());
                }
            }
        }
        self.judge(said);
        Ok(next)
    }

    /// What became of the message that the agent was sent last, where its answer may have come while nobody listened: it was sent by another
    /// process, which ended before the answer or before it was sent at all; or the link was down since. The same key again sends it only
    /// where the gateway does not have it. Before more is said, the session tells whether the agent is still at work.
    async fn fate(
        &self,
        target: &Target,
        step: Step,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Fate, ReconcileError> {
        let session = agent_id::session_key(&target.accepted.agent_id);
        if let Some((wake, at)) = self.unheard_message(target, since, now) {
            let (message, key) = (wake::message(&self.agent, wake), self.wake_key(wake));
            let fate = match target.link.chat_send(&session, &message, &key).await {
                Ok(sent) if sent.is_answered() => Fate::Answered,
                Ok(_) => Fate::UnderWay,
                // The turn has failed, or what the agent is told has been changed since: the next attempt follows.
                Err(
                    CallError::Unavailable {
                        retry_after: None, ..
                    }
                    | CallError::Rejected { .. },
                ) => Fate::Unknown,
                Err(error) => return Err(error.into()),
            };
            self.note_sent(target, since, at);
            if fate == Fate::Answered {
                self.context.directory.presence().recall(&self.key(), now);
            }
            if fate != Fate::Unknown {
                return Ok(fate);
            }
        }
        if wake::waits_for_turns(step) && target.link.session_is_at_work(&session).await? {
            return Ok(Fate::UnderWay);
        }
        Ok(Fate::Unknown)
    }

    /// The message that was sent last, and when, where nobody may have heard the answer and the gateway can still tell of it.
    fn unheard_message(
        &self,
        target: &Target,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<(&WakeStatus, Timestamp)> {
        let wake = self.status.wake.as_ref()?;
        let Time(sent) = wake.last_time.as_ref()?;
        let hello = target.link.hello()?;
        let process = Process {
            boot_id: &hello.boot_id,
            age: hello
                .age()
                .and_then(|age| SignedDuration::try_from(age).ok()),
        };
        let message = self.known_as_sent();
        let at = message.as_ref().map_or(*sent, |message| message.at);
        let had_by = message.map(|message| message.boot_id);
        let is_known = wake::is_known(*sent, had_by.as_deref(), process, now);
        (is_known && !self.has_heard(since)).then_some((wake, at))
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

    /// Whether an answer to the last message, if there was one, was heard: this process has sent it, or asked for it, and listened since.
    fn has_heard(&self, since: Option<Timestamp>) -> bool {
        self.known_as_sent()
            .is_some_and(|message| message.heard_since == since)
    }

    /// The last message, if this process knows that the gateway has it.
    fn known_as_sent(&self) -> Option<Sent> {
        let uid = self.agent.uid().unwrap_or_default();
        let wake = self.status.wake.as_ref()?;
        let sent = self.context.sent.get(&uid);
        sent.filter(|last| last.attempt == attempt_of(wake))
    }

    fn note_sent(&self, target: &Target, since: Option<Timestamp>, at: Timestamp) {
        let uid = self.agent.uid().unwrap_or_default();
        if let (Some(wake), Some(hello)) = (&self.status.wake, target.link.hello()) {
            let message = Sent {
                attempt: attempt_of(wake),
                at,
                boot_id: hello.boot_id.clone(),
                heard_since: since,
            };
            self.context.sent.set(&uid, message);
        }
    }

    /// Whether the status says so: that is not taken back because nobody listened for a while.
    fn was_given_up(&self) -> bool {
        condition::find(&self.status.conditions, WOKEN)
            .is_some_and(|it| it.reason == Reason::WakeGaveUp.as_str())
    }

    fn count_attempt(&mut self, step: Step, last: Option<Timestamp>, now: Timestamp) {
        if let (Some(wake), Step::Send(attempt)) = (&mut self.status.wake, step) {
            wake.attempts = attempt;
            wake.last_time = Some(Time(wake::sent_at(last, now)));
        }
    }

    /// Sends the message. The attempt is written down before: whoever comes after a crash asks the gateway what became of it.
    async fn send_wake(&mut self, target: &Target) -> Result<(), ReconcileError> {
        let Some(wake) = self.status.wake.clone() else {
            return Ok(());
        };
        let (message, key) = (wake::message(&self.agent, &wake), self.wake_key(&wake));
        self.write_status().await?;
        self.context.metrics.plan_step("wake");
        // Also of an agent that is online: the answer may come before this pass ends.
        let presence = self.context.directory.presence();
        presence.told(&self.key(), Told::Awaited);
        let session = agent_id::session_key(&target.accepted.agent_id);
        target.link.chat_send(&session, &message, &key).await?;
        Ok(())
    }
}

/// What tells an attempt from the others to the same agent.
fn attempt_of(wake: &WakeStatus) -> String {
    format!("{} {}", wake.cause, wake.attempts)
}
