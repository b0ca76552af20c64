//! One pass over an Agent that is not being deleted: acceptance, texts, ownership, entry, files, status.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{api::core::v1::ObjectReference, jiff::Timestamp};
use kube::{Resource, ResourceExt};
use tokio::time::Instant;

use crate::{
    api::{
        Agent, AgentStatus,
        agent::{Place, PlaceState},
        annotation::{FINALIZER, RECONCILE_NOW},
        condition::{
            self, ACCEPTED, FILES_SYNCED, HEARTBEAT_CONFIGURED, Judgement, MODEL_AVAILABLE,
            REGISTERED, Status,
        },
        gateway::ForeignHeartbeats,
        heartbeat::parse_every,
        reason::Reason,
    },
    controller::{
        agent::{
            accept::{Accepted, accept},
            execute, observe,
            text::{self, Texts},
        },
        context::Context,
        gateway::down_for,
        runner::{Next, ReconcileError},
    },
    gateway::{self, CallError, EntryWish, Link, LinkState, Observed, WriteError},
    kube::apply,
    plan::{
        agent::{self as plan, EntryStep, Ownership, Seen, Wanted},
        agent_id,
        desired::{Desired, desired},
        entry,
        files::Cause,
        render::{FileName, Workspace},
    },
};

/// Rounds of plan and execution in one pass: entry, reads, writes, a second look, and as many again for an agent that edits its files meanwhile.
const ROUNDS: usize = 8;
/// When to look again for a heartbeat monitor that the gateway has not made yet.
const MONITOR_WAIT: Duration = Duration::from_secs(5);

/// A pass and the status it will end in.
#[derive(Debug)]
pub(super) struct Visit<'a> {
    context: &'a Context,
    agent: Arc<Agent>,
    status: AgentStatus,
    judgements: Vec<Judgement>,
    /// The condition that an error would speak of.
    phase: &'static str,
}

/// Why a pass ends before everything is as wanted.
enum Stop {
    /// A judgement says why; there is nothing to retry.
    Judged(Next),
    /// Something failed; the pass is tried again.
    Failed(ReconcileError),
}

impl<E: Into<ReconcileError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// What the pass reconciles, once it is known.
struct Target {
    accepted: Accepted,
    desired: Desired,
    texts: Texts,
    workspace: Workspace,
    link: Link,
    observed: Arc<Observed>,
    /// The id of the monitor that holds the checklist.
    monitor: Option<String>,
}

impl<'a> Visit<'a> {
    pub(super) fn new(agent: Arc<Agent>, context: &'a Context) -> Self {
        let status = agent.status.clone().unwrap_or_default();
        Self {
            context,
            agent,
            status,
            judgements: Vec::new(),
            phase: ACCEPTED,
        }
    }

    /// Leads through the pass. The status is in the visit, whatever is answered.
    pub(super) async fn run(&mut self) -> Result<Next, ReconcileError> {
        match self.converge().await {
            Ok(next) | Err(Stop::Judged(next)) => Ok(next),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    /// Says in the status what an error keeps from being done. One that passes by itself does not change an Agent that was Ready.
    pub(super) fn failed(&mut self, error: &ReconcileError) {
        let generation = self.agent.metadata.generation;
        let was_ready =
            condition::find(&self.status.conditions, condition::READY).is_some_and(|ready| {
                ready.status == Status::True.as_str() && ready.observed_generation == generation
            });
        if matches!(error, ReconcileError::Kubernetes(_)) || was_ready && error.is_expected() {
            return;
        }
        self.judge(Judgement::unknown(
            self.phase,
            Reason::GatewayError,
            format!("Not confirmed: {error}. It is tried again."),
        ));
    }

    async fn converge(&mut self) -> Result<Next, Stop> {
        let accepted = match accept(&self.agent, self.context) {
            Ok(accepted) => accepted,
            Err(refusal) => {
                return Err(self.stop(Judgement::fails(ACCEPTED, refusal.reason, refusal.message)));
            }
        };
        let accepted_text = format!(
            "The agent is {:?} on Gateway {}.",
            accepted.agent_id, accepted.gateway_name.name
        );
        self.judge(Judgement::holds(ACCEPTED, Reason::Accepted, accepted_text));

        // Everything is rendered and checked before the gateway is asked anything.
        self.phase = FILES_SYNCED;
        let mut desired = desired(
            &self.agent,
            accepted.board.as_deref(),
            &accepted.gateway,
            accepted.agent_id.clone(),
        );
        if let (true, Some(path)) = (
            desired.context.workspace_path.is_empty(),
            &self.status.workspace_path,
        ) {
            desired.context.workspace_path.clone_from(path);
        }
        let texts = match text::gather(&self.agent, &desired, self.context).await? {
            Ok(texts) => texts,
            Err(judgement) => return Err(self.stop(judgement)),
        };
        let workspace = texts
            .render(&desired.context, self.context)
            .map_err(|judgement| self.stop(judgement))?;

        self.phase = REGISTERED;
        let link = self.link(&accepted)?;
        let observed = self
            .context
            .pool
            .observe(&accepted.gateway_uid, self.forced_look())
            .await?;
        let must_be_absent = self.own(&accepted, &link, &observed).await?;
        let monitor = observed
            .heartbeat_job(&accepted.agent_id)
            .map(|job| job.id.clone());
        let mut target = Target {
            accepted,
            desired,
            texts,
            workspace,
            link,
            observed,
            monitor,
        };
        self.rounds(&mut target, must_be_absent).await?;
        self.complete(&target);
        self.judge_model(&target).await;
        Ok(self.judge_heartbeat(&target))
    }

    /// The link to the gateway, if it is up and can do what is needed.
    fn link(&mut self, accepted: &Accepted) -> Result<Link, Stop> {
        let name = &accepted.gateway_name.name;
        let link = self.context.pool.get(&accepted.gateway_uid);
        let (Some(link), None) = (link, self.context.down_since(&accepted.gateway_uid)) else {
            return Err(self.away(accepted));
        };
        if let LinkState::Up(hello) = &*link.state().borrow()
            && !hello.capabilities.missing().is_empty()
        {
            let message = format!(
                "Gateway {name} lacks what the operator needs; its condition Compatible says what."
            );
            return Err(self.stop(Judgement::unknown(
                REGISTERED,
                Reason::GatewayNotReady,
                message,
            )));
        }
        Ok(link)
    }

    /// A short outage changes nothing on an Agent that was judged at this generation; a longer one is said once.
    fn away(&mut self, accepted: &Accepted) -> Stop {
        let since = self
            .context
            .down_since(&accepted.gateway_uid)
            .unwrap_or(self.context.started);
        let left = self
            .context
            .settings
            .unreachable_after
            .saturating_sub(down_for(since));
        let judged = self.status.observed_generation == self.agent.metadata.generation;
        if judged && !left.is_zero() {
            return Stop::Judged(Next::Within(left));
        }
        // No cause and no time in the text: it must not change while the outage lasts.
        let message = format!(
            "Gateway {} is not connected; its own conditions say why. What is on the gateway stays as it is, and this Agent goes on by itself.",
            accepted.gateway_name.name
        );
        self.stop(Judgement::unknown(
            REGISTERED,
            Reason::GatewayUnreachable,
            message,
        ))
    }

    /// Where somebody asked for a reconcile now, only a look from now on will do.
    fn forced_look(&self) -> Option<Instant> {
        let asked = self.agent.annotations().get(RECONCILE_NOW)?;
        self.context
            .is_first_sight(&self.agent.uid().unwrap_or_default(), asked)
            .then(Instant::now)
    }

    /// Makes sure that the agent on the gateway is ours, or free and claimed. Answers whether it must not be there when the writer comes to it.
    async fn own(
        &mut self,
        accepted: &Accepted,
        link: &Link,
        observed: &Observed,
    ) -> Result<bool, Stop> {
        let id = &accepted.agent_id;
        let place = self
            .status
            .places
            .iter()
            .find(|place| place.gateway_uid == accepted.gateway_uid && place.agent_id == *id);
        let present = observed.config.entry(id).is_some();
        let found = if place.is_none() && present {
            observe::mark(link, id).await?
        } else {
            None
        };
        match plan::ownership(
            place,
            present,
            found.as_ref(),
            &text::mark(&self.agent, self.context),
        ) {
            Ownership::Claimed => Ok(false),
            Ownership::Free => self
                .claim(accepted, PlaceState::Claimed)
                .await
                .map(|()| true),
            Ownership::Marked => {
                self.claim(accepted, PlaceState::Registered).await?;
                self.event("OwnershipResumed", &format!("The agent {id:?} on the gateway carries this Agent's mark and is taken up again."));
                Ok(false)
            }
            Ownership::Foreign => Err(self.stop(exists(id))),
        }
    }

    /// Records the claim before anything is written to the gateway, behind a finalizer that will clean up.
    async fn claim(&mut self, accepted: &Accepted, state: PlaceState) -> Result<(), Stop> {
        if !self
            .agent
            .finalizers()
            .iter()
            .any(|finalizer| finalizer == FINALIZER)
        {
            let agent =
                apply::add_finalizer(&self.context.clients.request, &*self.agent, FINALIZER)
                    .await?;
            self.now_is(agent);
        }
        let place = Place {
            gateway_uid: accepted.gateway_uid.clone(),
            agent_id: accepted.agent_id.clone(),
            state,
            gateway: accepted.gateway_name.clone(),
        };
        // Records of another place say nothing about this one.
        self.status = AgentStatus {
            observed_generation: self.status.observed_generation,
            conditions: std::mem::take(&mut self.status.conditions),
            agent_id: Some(accepted.agent_id.clone()),
            session_key: Some(agent_id::session_key(&accepted.agent_id)),
            gateway: Some(accepted.gateway_name.clone()),
            places: vec![place],
            ..AgentStatus::default()
        };
        self.write_status().await?;
        Ok(())
    }

    /// Plans and executes until nothing is left to do.
    async fn rounds(&mut self, target: &mut Target, mut must_be_absent: bool) -> Result<(), Stop> {
        let keys = entry::keys(&target.desired);
        let id = target.accepted.agent_id.clone();
        let mut seen = Seen {
            entry: target.observed.config.entry(&id).cloned(),
            skip_bootstrap: target.observed.config.skip_bootstrap(),
            ..Seen::default()
        };
        for _ in 0..ROUNDS {
            let plan = plan::plan(
                Wanted {
                    keys: &keys,
                    workspace: &target.workspace,
                },
                &self.status,
                &seen,
            );
            plan.files
                .into_iter()
                .for_each(|file| execute::remember_file(&mut self.status, file));
            self.status.checklist = plan.checklist.or(self.status.checklist.take());
            if let Some(step) = plan.entry {
                self.phase = REGISTERED;
                self.write_entry(step, target, &mut seen, must_be_absent)
                    .await?;
                must_be_absent = false;
                continue;
            }
            let Some(files) = &mut seen.files else {
                self.registered(&keys, &id);
                self.look(target, &mut seen).await?;
                continue;
            };
            if !plan.reads.is_empty() {
                for (name, read) in observe::read(&target.link, &id, &plan.reads).await? {
                    if let Some(file) = files.get_mut(&name) {
                        file.read = Some(read);
                    }
                }
                continue;
            }
            if plan.steps.is_empty() {
                return Ok(());
            }
            let monitor = target.monitor.as_deref();
            let executed = execute::execute(
                &target.link,
                &id,
                monitor,
                plan.steps,
                &mut self.status,
                &self.context.metrics,
            )
            .await?;
            self.corrected(&executed.corrected);
            // Without skipBootstrap a heartbeat run may have put files of the gateway's own beside ours meanwhile.
            let second_look = self.is_first_registration() && !seen.skip_bootstrap;
            if !executed.conflict && !second_look {
                return Ok(());
            }
            seen.files = None;
        }
        let message = format!("the files of {id} changed faster than they could be compared");
        Err(CallError::FileConflict {
            name: message,
            current_hash: None,
        }
        .into())
    }

    /// Hands the entry to the config writer.
    async fn write_entry(
        &mut self,
        step: EntryStep,
        target: &mut Target,
        seen: &mut Seen,
        must_be_absent: bool,
    ) -> Result<(), Stop> {
        let EntryStep { set, unset, cause } = step;
        let id = target.accepted.agent_id.clone();
        let writer = self
            .context
            .pool
            .writer(&target.accepted.gateway_uid)
            .ok_or(CallError::Disconnected { sent: false })?;
        let foreign_heartbeats = match target
            .accepted
            .gateway
            .spec
            .foreign_heartbeats
            .unwrap_or_default()
        {
            ForeignHeartbeats::Keep => gateway::ForeignHeartbeats::Keep,
            ForeignHeartbeats::Stop => gateway::ForeignHeartbeats::Stop,
        };
        self.context.metrics.plan_step("write_entry");
        match writer
            .apply(EntryWish {
                agent_id: id.clone(),
                set,
                unset,
                must_be_absent,
                foreign_heartbeats,
            })
            .await
        {
            Ok(applied) => {
                if applied.wrote && cause == Cause::Drift {
                    self.corrected(&["config entry".to_owned()]);
                }
                target.monitor = applied.heartbeat_job.or(target.monitor.take());
                seen.entry = Some(applied.entry);
                Ok(())
            }
            Err(WriteError::Exists) => {
                // Somebody else made it between our look and our write: the claim was never used.
                self.status.places.clear();
                Err(self.stop(exists(&id)))
            }
            Err(WriteError::Rejected { message, issues }) => {
                Err(self.rejected(&message, &issues, seen.entry.is_some()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The gateway refused the entry: that is this Agent's alone, and only an edit helps.
    fn rejected(&mut self, message: &str, issues: &[gateway::Issue], present: bool) -> Stop {
        let said = issues
            .iter()
            .map(|issue| format!("{}: {}", issue.path, issue.message))
            .collect::<Vec<_>>()
            .join("; ");
        let said = if said.is_empty() { message } else { &said };
        let about_heartbeat = issues.iter().any(|issue| issue.path.contains(".heartbeat"));
        let type_ = if present && about_heartbeat {
            HEARTBEAT_CONFIGURED
        } else {
            REGISTERED
        };
        self.stop(Judgement::fails(type_, Reason::Rejected, format!("The gateway refused this Agent's entry: {said}. Change the spec; nothing was written.")))
    }

    /// The entry is there as wanted.
    fn registered(&mut self, keys: &entry::Keys, agent_id: &str) {
        self.status.own_keys = keys.keys().cloned().collect();
        self.status.entry_sha256 = Some(entry::digest(keys));
        self.judge(Judgement::holds(
            REGISTERED,
            Reason::Registered,
            format!("The gateway has agent {agent_id:?} as declared."),
        ));
        self.phase = FILES_SYNCED;
    }

    /// Lists the files, reads the checklist, and renders again where the workspace's path was not known before.
    async fn look(&mut self, target: &mut Target, seen: &mut Seen) -> Result<(), Stop> {
        let id = &target.accepted.agent_id;
        let ((path, files), checklist) = tokio::try_join!(
            observe::files(&target.link, id),
            observe::checklist(&target.link, target.monitor.as_deref())
        )?;
        seen.files = Some(files);
        seen.checklist = checklist;
        self.status.workspace_path = Some(path.clone());
        if target.desired.context.workspace_path.is_empty() {
            target.desired.context.workspace_path = path;
            target.workspace = target
                .texts
                .render(&target.desired.context, self.context)
                .map_err(|judgement| self.stop(judgement))?;
        }
        Ok(())
    }

    fn is_first_registration(&self) -> bool {
        self.status
            .places
            .iter()
            .any(|place| place.state == PlaceState::Claimed)
    }

    /// Everything is on the gateway as wanted.
    fn complete(&mut self, target: &Target) {
        for place in &mut self.status.places {
            place.state = PlaceState::Registered;
        }
        // Files that are not ours any more are not spoken of; one that was emptied is remembered, so that it is never emptied twice.
        let wanted = |name: &str| {
            target
                .workspace
                .files
                .iter()
                .any(|file| file.name.as_str() == name)
        };
        self.status
            .files
            .retain(|file| wanted(&file.name) || file.name == FileName::Bootstrap.as_str());
        let message = format!(
            "{} files are on the gateway as declared.",
            target.workspace.files.len()
        );
        self.judge(Judgement::holds(FILES_SYNCED, Reason::Synced, message));
    }

    fn judge_heartbeat(&mut self, target: &Target) -> Next {
        let heartbeat = &target.desired.heartbeat;
        let every = parse_every(&heartbeat.every);
        if every.is_some_and(|every| every.is_zero()) {
            self.judge(Judgement::holds(
                HEARTBEAT_CONFIGURED,
                Reason::Disabled,
                "The heartbeat is switched off, as declared.",
            ));
        } else if target.monitor.is_none() {
            let message = "The gateway has not made the heartbeat's monitor yet; without it the checklist has no place. Looked for again in a few seconds.";
            self.judge(Judgement::unknown(
                HEARTBEAT_CONFIGURED,
                Reason::Pending,
                message,
            ));
            return Next::Within(MONITOR_WAIT);
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
    async fn judge_model(&mut self, target: &Target) {
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

    /// Replaces what this pass said of a condition before.
    fn judge(&mut self, judgement: Judgement) {
        self.judgements
            .retain(|earlier| earlier.type_ != judgement.type_);
        self.judgements.push(judgement);
    }

    /// Judges, and ends the pass until something changes.
    fn stop(&mut self, judgement: Judgement) -> Stop {
        self.judge(judgement);
        Stop::Judged(Next::Change)
    }

    fn now_is(&mut self, agent: Agent) {
        self.agent = Arc::new(agent);
        self.context.world.latest_agents.remember(&self.agent);
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
        let written =
            apply::patch_status(&self.context.clients.request, &*self.agent, &self.status).await?;
        self.announce(&known);
        self.now_is(written);
        Ok(())
    }

    /// Events for conditions that turned.
    fn announce(&self, known: &AgentStatus) {
        for judgement in &self.judgements {
            let before = condition::find(&known.conditions, judgement.type_);
            let turned = before.is_none_or(|before| before.status != judgement.status.as_str());
            let other_reason =
                before.is_none_or(|before| before.reason != judgement.reason.as_str());
            match judgement.status {
                Status::True if turned && [REGISTERED, FILES_SYNCED].contains(&judgement.type_) => {
                    self.event(judgement.type_, &judgement.message)
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

    fn corrected(&self, names: &[String]) {
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

    fn event(&self, reason: &str, note: &str) {
        self.context.tell(&self.reference(), reason, note);
    }

    fn reference(&self) -> ObjectReference {
        self.agent.object_ref(&())
    }
}

fn exists(agent_id: &str) -> Judgement {
    let message = format!(
        "An agent {agent_id:?} is on the gateway already and does not carry this Agent's mark. It was not touched. Remove it there, or delete this Agent and apply it with another spec.agentId."
    );
    Judgement::fails(ACCEPTED, Reason::AgentExists, message)
}
