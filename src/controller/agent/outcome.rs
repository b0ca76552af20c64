//! What the conditions say once everything is on the gateway as wanted, and who waits for the monitor that a heartbeat needs.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::SignedDuration;
use kube::{ResourceExt, runtime::reflector::ObjectRef};

use crate::{
    api::{
        Agent,
        agent::PlaceState,
        condition::{FILES_SYNCED, HEARTBEAT_CONFIGURED, Judgement, MODEL_AVAILABLE},
        heartbeat::parse_every,
        reason::Reason,
    },
    controller::{
        agent::visit::{Target, Visit},
        context::Context,
        obstacles::Obstacle,
        runner::Next,
    },
    gateway::CronJob,
    plan::{
        adoption,
        entry::{self, EVERY, HEARTBEAT},
        places,
        render::FileName,
    },
};

/// When to look again for a heartbeat monitor that the gateway has not made yet: soon, and after half as long again as it is missing.
const MONITOR_WAIT: Duration = Duration::from_secs(5);
const LONGEST_MONITOR_WAIT: Duration = Duration::from_mins(5);
/// A gateway makes a monitor within seconds; one that is missing for longer has a cause.
const MONITOR_LATE: Duration = Duration::from_mins(1);

/// Has the Agents looked at that wait for this monitor, which the gateway has made by now.
pub(in crate::controller) fn monitor_made(context: &Context, gateway_uid: &str, agent_id: &str) {
    let agents = context.world.agents_with_id(agent_id);
    let waits = |agent: &&Arc<Agent>| {
        let place = agent.status.as_ref().and_then(places::present);
        let uid = agent.uid().unwrap_or_default();
        place.is_some_and(|place| place.gateway_uid == gateway_uid)
            && context.obstacles.is_met(&uid, Obstacle::NoMonitor)
    };
    let waiting = agents.iter().filter(waits);
    let waiting = waiting.map(|agent| ObjectRef::from_obj(&**agent));
    context.world.touch_agents(waiting);
}

impl Visit<'_> {
    /// Everything is on the gateway as wanted.
    pub(super) fn complete(&mut self, target: &Target) {
        if let Some(place) = places::present_mut(&mut self.status) {
            place.state = PlaceState::Registered;
            place.entry_sha256 = None;
            let is_given_back = place.replaced_every.take().is_some();
            let mut keys = target.keys.clone();
            // What a pause had replaced is the agent's own again, and so is a block with nothing in it.
            keys.remove(HEARTBEAT);
            if is_given_back && place.adopted && !adoption::names_every(&self.agent.spec) {
                keys.remove(EVERY);
            }
            if keys.len() != target.keys.len() {
                self.status.own_keys.retain(|path| keys.contains_key(path));
                self.status.entry_sha256 = Some(entry::digest(&keys));
            }
        }
        // Files that are not ours any more are not spoken of; one that was emptied is remembered, so that it is never emptied twice.
        let wanted = target.workspace.files.iter().map(|file| file.name);
        let names: Vec<_> = wanted.chain(target.desired.ignored.clone()).collect();
        let is_ours = |name: &str| names.iter().any(|own| own.as_str() == name);
        self.status
            .files
            .retain(|file| is_ours(&file.name) || file.name == FileName::Bootstrap.as_str());
        let message = format!(
            "{} files are on the gateway as declared.",
            target.workspace.files.len()
        );
        self.judge(Judgement::holds(FILES_SYNCED, Reason::Synced, message));
    }

    /// An adopted agent that is without an `every` of its own beats by the gateway's default, which its job tells.
    pub(super) fn every_by_default(&mut self, target: &Target) {
        let id = &target.accepted.agent_id;
        let is_silent = self.every.is_none_or(|every| every.is_zero());
        if !is_silent || target.keys.contains_key(EVERY) || !self.is_adopted(&target.accepted) {
            return;
        }
        let entry = target.observed.config.entry(id);
        let job = target.observed.heartbeat_job(id).filter(|job| job.enabled);
        if entry.is_some_and(|entry| entry.pointer("/heartbeat/every").is_none())
            && let Some(every) = job.and_then(CronJob::every)
        {
            self.every = SignedDuration::try_from(every).ok();
        }
    }

    pub(super) fn judge_heartbeat(&mut self, target: &Target) -> Next {
        let heartbeat = &target.desired.heartbeat;
        let every = parse_every(&heartbeat.every);
        let uid = self.agent.uid().unwrap_or_default();
        if target.monitor.is_some() {
            self.context.obstacles.overcome(&uid, Obstacle::NoMonitor);
        }
        if self.is_adopted(&target.accepted) && !adoption::names_every(&self.agent.spec) {
            self.judge(Judgement::holds(
                HEARTBEAT_CONFIGURED,
                Reason::Configured,
                "The agent was adopted, and its heartbeat stays as it was: spec.heartbeat.every names no other.",
            ));
        } else if every.is_some_and(|every| every.is_zero()) {
            self.judge(Judgement::holds(
                HEARTBEAT_CONFIGURED,
                Reason::Disabled,
                "The heartbeat is switched off, as declared.",
            ));
        } else if target.monitor.is_none() {
            let missing = self.context.obstacles.met(&uid, Obstacle::NoMonitor);
            let message = if missing < MONITOR_LATE {
                "The gateway has not made the heartbeat's monitor yet; without it the checklist has no place. It is looked for again."
            } else {
                "The gateway makes no monitor for the heartbeat, so the agent does not beat and the checklist has no place. See whether its scheduler is on (cron.enabled in its config, OPENCLAW_SKIP_CRON in its environment), or switch the heartbeat off here: heartbeat.every: 0m."
            };
            self.judge(Judgement::unknown(
                HEARTBEAT_CONFIGURED,
                Reason::Pending,
                message,
            ));
            return Next::Within((missing / 2).clamp(MONITOR_WAIT, LONGEST_MONITOR_WAIT));
        } else {
            let message = format!(
                "The agent beats every {}, and the gateway holds its checklist.",
                heartbeat.every
            );
            self.judge(Judgement::holds(
                HEARTBEAT_CONFIGURED,
                Reason::Configured,
                message,
            ));
        }
        Next::Change
    }

    /// Says whether the gateway lists the model. A look that fails changes nothing.
    pub(super) async fn judge_model(&mut self, target: &Target) {
        const NAMED: usize = 10;
        let Some(model) = &target.desired.model else {
            self.judge(Judgement::holds(
                MODEL_AVAILABLE,
                Reason::GatewayDefault,
                "No model is named, so the gateway's default serves.",
            ));
            return;
        };
        let Ok(models) = self
            .context
            .pool
            .models(&target.accepted.gateway_uid, &target.accepted.agent_id)
            .await
        else {
            return;
        };
        let mut names: Vec<String> = models
            .iter()
            .map(|model| format!("{}/{}", model.provider, model.id))
            .collect();
        if names.contains(model) {
            self.judge(Judgement::holds(
                MODEL_AVAILABLE,
                Reason::ModelListed,
                format!("The gateway lists {model}."),
            ));
            return;
        }
        names.sort();
        let more = names.len().saturating_sub(NAMED);
        names.truncate(NAMED);
        let rest = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let message = format!(
            "The gateway does not list {model:?}; runs of this agent will fail until it does. It lists: {}{rest}. Name one of these, or add the model to the gateway.",
            names.join(", ")
        );
        self.judge(Judgement::fails(
            MODEL_AVAILABLE,
            Reason::ModelNotListed,
            message,
        ));
    }
}
