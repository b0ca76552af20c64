//! The status in the making: judgements, the one write at the end, and the events that go with it.

use std::sync::Arc;

use k8s_openapi::{api::core::v1::ObjectReference, jiff::Timestamp};
use kube::Resource;

use crate::{
    api::{
        Agent, AgentStatus,
        condition::{self, FILES_SYNCED, Judgement, ONLINE, PAUSED, REGISTERED, Status, WOKEN},
        reason::Reason,
    },
    controller::{
        agent::visit::{Stop, Visit},
        runner::{Next, ReconcileError},
    },
    kube::apply,
    plan::presence,
};

impl Visit<'_> {
    /// Replaces what this pass said of a condition before.
    pub(super) fn judge(&mut self, judgement: Judgement) {
        self.judgements
            .retain(|earlier| earlier.type_ != judgement.type_);
        self.judgements.push(judgement);
    }

    /// Judges, and ends the pass until something changes.
    pub(super) fn stop(&mut self, judgement: Judgement) -> Stop {
        self.judge(judgement);
        Stop::Judged(Next::Change)
    }

    /// Takes the object as it was written. What somebody has declared since this pass began is for the next one: this pass goes on with what
    /// it has looked at, and says nothing of any other generation.
    pub(super) fn now_is(&mut self, written: Agent) {
        let written = Arc::new(written);
        self.context.world.latest_agents.remember(&written);
        let mut agent = Agent::clone(&written);
        agent.spec.clone_from(&self.agent.spec);
        agent.metadata.generation = self.agent.metadata.generation;
        agent
            .metadata
            .annotations
            .clone_from(&self.agent.metadata.annotations);
        self.agent = Arc::new(agent);
    }

    /// Whether the status before this pass says Ready for the present spec.
    pub(super) fn was_ready(&self) -> bool {
        condition::find(&self.status.conditions, condition::READY).is_some_and(|ready| {
            ready.status == Status::True.as_str()
                && ready.observed_generation == self.agent.metadata.generation
        })
    }

    /// Says in the status what an error keeps from being done. One that passes by itself does not change an Agent that was Ready, unless
    /// the gateway was there and what is on it was seen to be something else than declared.
    pub(super) fn failed(&mut self, error: &ReconcileError) {
        let may_pass = error.is_expected() && (!self.differs || error.is_outage());
        if matches!(error, ReconcileError::Kubernetes(_)) || self.was_ready() && may_pass {
            return;
        }
        self.judge(Judgement::unknown(
            self.phase,
            Reason::GatewayError,
            format!("Not confirmed: {error}. It is tried again."),
        ));
    }

    /// Writes the status if it says something else than before, and tells people what turned.
    pub(super) async fn write_status(&mut self) -> Result<(), ReconcileError> {
        let known = self.agent.status.clone().unwrap_or_default();
        let generation = self.agent.metadata.generation;
        self.status.observed_generation = generation;
        condition::AGENT.merge(
            &mut self.status.conditions,
            self.judgements.clone(),
            generation,
            Timestamp::now(),
        );
        if self.status == known {
            return Ok(());
        }
        self.refresh_last_seen();
        let written =
            apply::patch_status(&self.context.clients.request, &*self.agent, &self.status).await?;
        self.announce(&known);
        self.now_is(written);
        Ok(())
    }

    /// Events for conditions that turned.
    pub(super) fn announce(&self, known: &AgentStatus) {
        for judgement in &self.judgements {
            let before = condition::find(&known.conditions, judgement.type_);
            let turned = before.is_none_or(|before| before.status != judgement.status.as_str());
            let other_reason =
                before.is_none_or(|before| before.reason != judgement.reason.as_str());
            match judgement.status {
                _ if judgement.type_ == PAUSED => {
                    let was_paused = before.is_some_and(|it| it.status == Status::True.as_str());
                    match judgement.status {
                        Status::True if turned => self.event("Paused", &judgement.message),
                        Status::False if was_paused => {
                            self.event("Resumed", "The pause is over.");
                        }
                        _ => {}
                    }
                }
                _ if judgement.type_ == ONLINE => {
                    let was = before.map(|it| it.status.as_str());
                    let was_heard = known.last_seen_time.is_some();
                    if let Some(reason) = presence::event(was, judgement.status, was_heard) {
                        self.event(reason, &judgement.message);
                    }
                }
                Status::True
                    if turned && [REGISTERED, FILES_SYNCED, WOKEN].contains(&judgement.type_) =>
                {
                    self.event(judgement.type_, &judgement.message);
                }
                Status::False if other_reason => self.context.warn(
                    &self.reference(),
                    judgement.reason.as_str(),
                    &judgement.message,
                ),
                _ => {}
            }
        }
    }

    pub(super) fn corrected(&self, names: &[String]) {
        if !names.is_empty() {
            self.event(
                "DriftCorrected",
                &format!(
                    "Changed on the gateway by somebody else and put back: {}.",
                    names.join(", ")
                ),
            );
        }
    }

    pub(super) fn event(&self, reason: &str, note: &str) {
        self.context.tell(&self.reference(), reason, note);
    }

    pub(super) fn reference(&self) -> ObjectReference {
        self.agent.object_ref(&())
    }
}
