//! Plans and executes in rounds until nothing is left to do: the entry first, then files and checklist.

use kube::Resource;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    api::{
        Gateway,
        agent::{FileState, FileStatus, PlaceState},
        condition::{FILES_SYNCED, HEARTBEAT_CONFIGURED, Judgement, REGISTERED},
        gateway::ForeignHeartbeats,
        reason::Reason,
    },
    controller::agent::{
        execute::{self, Executed},
        observe,
        own::Awaited,
        visit::{Stop, Target, Visit},
    },
    gateway::{self, CallError, EntryWish, WriteError},
    plan::{
        agent::{self as plan, EntryStep, Seen, Step, Wanted},
        entry,
        files::Cause,
        places,
        render::FileName,
    },
};

/// Rounds of plan and execution in one pass: entry, reads, writes, a second look, and as many again for an agent that edits its files meanwhile.
const ROUNDS: usize = 8;

/// What the Gateway wants for the heartbeats of others.
pub(super) fn foreign_heartbeats(gateway: &Gateway) -> gateway::ForeignHeartbeats {
    match gateway.spec.foreign_heartbeats.unwrap_or_default() {
        ForeignHeartbeats::Keep => gateway::ForeignHeartbeats::Keep,
        ForeignHeartbeats::Stop => gateway::ForeignHeartbeats::Stop,
    }
}

impl Visit<'_> {
    /// Plans and executes until nothing is left to do.
    pub(super) async fn rounds(
        &mut self,
        target: &mut Target,
        mut awaited: Awaited,
    ) -> Result<(), Stop> {
        self.keep_block(target);
        self.every_by_default(target);
        let id = target.accepted.agent_id.clone();
        let mut seen = Seen {
            entry: target.observed.config.entry(&id).cloned(),
            skip_bootstrap: target.observed.config.skip_bootstrap(),
            ..Seen::default()
        };
        for _ in 0..ROUNDS {
            let plan = plan::plan(
                Wanted {
                    keys: &target.keys,
                    workspace: &target.workspace,
                    ignored: &target.desired.ignored,
                },
                &self.status,
                &seen,
            );
            self.remember_files(plan.files);
            self.status.checklist = plan.checklist.or_else(|| self.status.checklist.take());
            if let Some(step) = plan.entry {
                self.phase = REGISTERED;
                self.differs = true;
                self.refuse_taken(target, seen.entry.as_ref()).await?;
                awaited = self.write_entry(step, target, &mut seen, awaited).await?;
                continue;
            }
            let Some(files) = &mut seen.files else {
                self.registered(target);
                self.look(target, &mut seen).await?;
                continue;
            };
            if !plan.reads.is_empty() {
                let read = observe::read(&target.link, &id, &plan.reads, &plan.left_alone).await?;
                for (name, read) in read {
                    if let Some(file) = files.get_mut(&name) {
                        file.read = Some(read);
                    }
                }
                continue;
            }
            if plan.steps.is_empty() {
                return Ok(());
            }
            self.differs = true;
            let mut steps = plan.steps;
            self.refuse_marked(target, seen.entry.as_ref(), &mut steps)
                .await?;
            self.keep_replaced(target, &steps).await?;
            let executed = self.execute(target, steps).await;
            // Also where another step failed: the next pass finds these as they should be, and says nothing.
            self.corrected(&executed.corrected);
            if let Some(error) = executed.failed {
                return Err(error.into());
            }
            self.differs = false;
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

    /// Carries out steps. AGENTS.md goes first where it brings our mark: who loses that one to somebody else writes nothing else.
    async fn execute(&mut self, target: &Target, steps: Vec<Step>) -> Executed {
        let is_in_doubt = self.is_in_doubt();
        let (marks, rest): (Vec<_>, Vec<_>) = steps
            .into_iter()
            .partition(|step| is_in_doubt && step.file() == Some(FileName::Agents));
        let mut executed = Executed::default();
        for steps in [marks, rest] {
            if executed.conflict || executed.failed.is_some() {
                break;
            }
            let more = execute::execute(
                &target.link,
                &target.accepted.agent_id,
                target.monitor.as_deref(),
                steps,
                &mut self.status,
                &self.context.metrics,
            );
            executed.add(more.await);
        }
        executed
    }

    /// Records files that need no write, and tells once of those that are left alone and are not as we left them any more.
    fn remember_files(&mut self, files: Vec<FileStatus>) {
        let mut drifted = Vec::new();
        for file in files {
            let known = self.status.files.iter().find(|it| it.name == file.name);
            let was_told = known.is_none_or(|known| known.state == FileState::Drifted);
            if !was_told && file.state == FileState::Drifted {
                drifted.push(file.name.clone());
            }
            execute::remember_file(&mut self.status, file);
        }
        if !drifted.is_empty() {
            let note = format!(
                "Changed since they were written, and left as they are, because their policy is Seed or Ignore: {}.",
                drifted.join(", ")
            );
            self.event("DriftDetected", &note);
        }
    }

    /// Writes down what only this pass knows and the next would need after a crash, before the entry is written: the keys that are ours
    /// from now on, and that the agent comes back.
    async fn record_write(&mut self, target: &Target, seen: &Seen) -> Result<(), Stop> {
        let own = &mut self.status.own_keys;
        let mut differs = false;
        for path in target.keys.keys() {
            if !own.contains(path) {
                own.push(path.clone());
                differs = true;
            }
        }
        if seen.entry.is_none() && !self.is_first_registration() {
            // Somebody removed the agent, perhaps with its files: a Seed file that is missing is written again, one that is there stays.
            self.status
                .files
                .retain(|file| file.state == FileState::Synced);
            differs |= self.will_be(PlaceState::Returning);
        }
        if differs {
            self.write_status().await?;
        }
        Ok(())
    }

    /// The gateway may have to create the agent. Answers whether that was not known.
    fn will_be(&mut self, state: PlaceState) -> bool {
        let mut differs = false;
        if let Some(place) = places::present_mut(&mut self.status) {
            differs = place.state != state;
            place.state = state;
        }
        self.take_over_created();
        differs
    }

    /// Hands the entry to the config writer. Answers what it is to find at the next try.
    async fn write_entry(
        &mut self,
        step: EntryStep,
        target: &mut Target,
        seen: &mut Seen,
        awaited: Awaited,
    ) -> Result<Awaited, Stop> {
        let EntryStep { set, unset, cause } = step;
        let id = target.accepted.agent_id.clone();
        self.record_write(target, seen).await?;
        let writer = self
            .context
            .pool
            .writer(&target.accepted.gateway_uid)
            .ok_or(CallError::Disconnected { sent: false })?;
        let foreign_heartbeats = foreign_heartbeats(&target.accepted.gateway);
        let may_be_created = places::present(&self.status).is_some_and(|place| {
            matches!(place.state, PlaceState::Creating | PlaceState::Returning)
        });
        self.context.metrics.plan_step("write_entry");
        let wish = EntryWish {
            agent_id: id.clone(),
            set,
            unset,
            must_be_absent: awaited != Awaited::Anything,
            was_there: may_be_created || self.status.entry_sha256.is_some(),
            may_be_created,
            foreign_heartbeats,
        };
        match self.turn.lend(writer.apply(wish)).await {
            Ok(applied) => {
                self.made |= applied.wrote && awaited != Awaited::Anything;
                if applied.wrote && cause == Cause::Drift {
                    self.corrected(&["config entry".to_owned()]);
                }
                if applied.wrote && foreign_heartbeats == gateway::ForeignHeartbeats::Stop {
                    self.warn_of_silenced(target);
                }
                target.monitor = applied.heartbeat_job.or_else(|| target.monitor.take());
                seen.entry = Some(applied.entry);
                self.differs = false;
                Ok(Awaited::Anything)
            }
            Err(WriteError::Exists) => {
                // Somebody made it between our look and our write, or what was sent before a crash has arrived: the claim is judged again.
                // One for which nothing was sent is worth nothing, however much what is there is like what we would have written.
                if awaited == Awaited::NothingOfOurs {
                    places::forget(&mut self.status, &target.accepted.gateway_uid);
                }
                let uid = &target.accepted.gateway_uid;
                let newer = Some(Instant::now());
                target.observed = self.context.pool.observe(uid, newer).await?;
                seen.entry = target.observed.config.entry(&id).cloned();
                self.own(
                    &target.accepted,
                    &target.link,
                    &target.observed,
                    &target.keys,
                    &target.workspace,
                )
                .await
            }
            Err(WriteError::WasDeleted) => {
                // Written down first: what is created and not written yet is known as ours only by that.
                self.will_be(PlaceState::Creating);
                self.write_status().await?;
                Ok(awaited)
            }
            Err(WriteError::NotAsWritten { paths, entry }) => {
                self.came_by_us(entry.as_ref());
                Err(WriteError::NotAsWritten { paths, entry }.into())
            }
            Err(WriteError::Rejected { message, issues }) => {
                Err(self.rejected(&message, &issues, seen.entry.is_some()))
            }
            Err(WriteError::KeptOtherwise { message, entry }) => {
                self.came_by_us(entry.as_ref());
                Err(self.stop(Judgement::fails(
                    REGISTERED,
                    Reason::Rejected,
                    format!("The gateway does not keep this Agent's entry as declared: {message}. Change the spec to that; the rest was written."),
                )))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// An entry that is not as it was sent came by us all the same.
    fn came_by_us(&mut self, entry: Option<&Value>) {
        if let Some(entry) = entry {
            let there = entry::taken(entry, &self.status.own_keys);
            self.status.entry_sha256 = Some(entry::digest(&there));
        }
    }

    /// With `foreignHeartbeats: Stop` nothing is done for the agents that our first heartbeat block silences; people are told.
    fn warn_of_silenced(&self, target: &Target) {
        let observed = &target.observed;
        let entries = observed
            .config
            .entries()
            .into_iter()
            .flat_map(|e| e.values());
        let jobs = observed.jobs.iter().filter(|job| job.enabled);
        let beating = jobs.filter_map(|job| job.heartbeat_of());
        let names = entry::silenced(entries, beating)
            .into_iter()
            .collect::<Vec<_>>()
            .join(", ");
        if !names.is_empty() {
            let note = format!(
                "The first heartbeat block on the gateway ended the heartbeat of {names}, which has none. Give it one there, or set foreignHeartbeats: Keep before the first Agent comes."
            );
            let gateway = target.accepted.gateway.object_ref(&());
            self.context.warn(&gateway, "HeartbeatsStopped", &note);
        }
    }

    /// The gateway refused the entry: that is this Agent's alone, and only an edit helps.
    pub(super) fn rejected(
        &mut self,
        message: &str,
        issues: &[gateway::Issue],
        present: bool,
    ) -> Stop {
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
    fn registered(&mut self, target: &Target) {
        let (keys, agent_id) = (&target.keys, &target.accepted.agent_id);
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
    pub(super) async fn look(&mut self, target: &mut Target, seen: &mut Seen) -> Result<(), Stop> {
        let id = &target.accepted.agent_id;
        let ((path, files), checklist) = tokio::try_join!(
            observe::files(&target.link, id),
            observe::checklist(&target.link, target.monitor.as_deref())
        )?;
        seen.files = Some(files);
        seen.checklist = self.own_checklist(target, checklist);
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

    pub(super) fn is_first_registration(&self) -> bool {
        places::is_first_registration(&self.status)
    }
}
