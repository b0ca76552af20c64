//! Whose the agent on the gateway is, and the claim that makes it ours.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;

use crate::{
    api::{
        agent::{AgentStatus, Place, PlaceState},
        annotation::FINALIZER,
        condition::{self, ACCEPTED, Judgement, REGISTERED},
        reason::Reason,
    },
    controller::{
        agent::{
            accept::Accepted,
            adopt::Stranger,
            observe::{self, Marking},
            text,
            visit::{Stop, Target, Visit},
        },
        obstacles::{self, Obstacle},
        runner::Next,
    },
    gateway::{CallError, Link, Observed},
    kube::apply,
    plan::{
        adoption,
        agent::{self as plan, Ownership, Step},
        entry::{self, Keys},
        mark::Mark,
        places,
        render::{FileName, Workspace},
        wake,
    },
};

/// What the writer is to find where the agent is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// Whatever is there.
    Anything,
    /// Nothing: the id is free. What was sent for a claim of an earlier pass may arrive all the same.
    Nothing,
    /// Nothing, and what comes is somebody else's: the claim was made in this pass, and nothing was sent for it.
    NothingOfOurs,
}

impl Visit<'_> {
    /// Makes sure that the agent on the gateway is ours, or free and claimed. Answers what the writer is to find there.
    pub(super) async fn own(
        &mut self,
        accepted: &Accepted,
        link: &Link,
        observed: &Observed,
        keys: &Keys,
        workspace: &Workspace,
    ) -> Result<Awaited, Stop> {
        let id = &accepted.agent_id;
        self.take_up(accepted).await?;
        let place = places::present_at(&self.status, &accepted.destination());
        let entry = observed.config.agent(id);
        let own = text::mark(&self.agent, self.context);
        let marking = if entry.is_some() && place.is_none_or(plan::is_in_doubt) {
            observe::marking(link, id).await?
        } else {
            Marking::Read(None)
        };
        match plan::ownership(&self.status, place, entry, marking.mark(), &own) {
            Ownership::Claimed if entry.is_none() && self.is_adopted(accepted) => {
                // Somebody removed it. What is made anew has nothing of its own that could stay.
                if let Some(place) = places::present_mut(&mut self.status) {
                    place.adopted = false;
                }
                Err(Stop::Judged(Next::Within(Duration::ZERO)))
            }
            Ownership::Claimed => {
                // Confirmed by what stands there, where a crash kept the answer from us.
                let written = place.filter(|place| place.state != PlaceState::Creating);
                let written = written.and_then(|place| place.entry_sha256.clone());
                self.hold().await?;
                self.status.entry_sha256 = self.status.entry_sha256.take().or(written);
                Ok(Awaited::Anything)
            }
            Ownership::Free => {
                let state = place.map_or(PlaceState::Claimed, |place| place.state);
                let awaited = place.map_or(Awaited::NothingOfOurs, |_| Awaited::Nothing);
                self.refuse_marked_workspace(accepted)?;
                self.claim(accepted, state, false, keys).await?;
                Ok(awaited)
            }
            Ownership::Marked => {
                // The agent has come back under our eyes: a place on a Gateway that is gone was most likely this one.
                let world = &self.context.world;
                let is_there = |place: &Place| {
                    let there = world.gateway_with_uid(&place.gateway, &place.gateway_uid);
                    there.is_some()
                };
                self.status.places.retain(is_there);
                let was_adopted = marking.mark().is_some_and(|mark| mark.adopted);
                let keys = if was_adopted {
                    &adoption::named(&self.agent.spec, keys.clone())
                } else {
                    keys
                };
                self.claim(accepted, PlaceState::Registered, was_adopted, keys)
                    .await?;
                self.event("OwnershipResumed", &format!("The agent {id:?} on the gateway carries this Agent's mark and is taken up again."));
                if was_adopted {
                    // What is declared was made for an agent of ours: what of this one is its owner's must not be written.
                    return Err(Stop::Judged(Next::Within(Duration::ZERO)));
                }
                Ok(Awaited::Anything)
            }
            Ownership::Foreign => {
                let stranger = Stranger {
                    accepted,
                    link,
                    entry: entry.unwrap_or(&Value::Null),
                    marking,
                };
                Err(self.meet(stranger, workspace).await)
            }
        }
    }

    /// Takes up a place that this Agent holds already and was leaving, or had through another Gateway object, and writes that down. Ends
    /// the pass then: what is declared was made for another place, and of an adopted agent most is its owner's.
    async fn take_up(&mut self, accepted: &Accepted) -> Result<(), Stop> {
        let sharing = self.context.pool.siblings(&accepted.gateway_uid);
        let to = accepted.destination();
        if places::take_up(&mut self.status, &to, &sharing, Timestamp::now()) {
            self.judge_accepted(accepted);
            self.write_status().await?;
            return Err(Stop::Judged(Next::Within(Duration::ZERO)));
        }
        Ok(())
    }

    /// Before our AGENTS.md goes over one that is not as we left it: it never goes over the mark of another, who has come by the same agent
    /// meanwhile. What comes after this look is not overwritten, because the write names what it replaces; only where there is no file
    /// at all the gateway takes no such condition, and a moment is left.
    pub(super) async fn refuse_marked(
        &mut self,
        target: &Target,
        entry: Option<&Value>,
        steps: &mut [Step],
    ) -> Result<(), Stop> {
        let marks = steps.iter_mut().find_map(|step| match step {
            Step::WriteFile { name, expected, .. } if *name == FileName::Agents => Some(expected),
            _ => None,
        });
        let Some(expected) = marks else {
            return Ok(());
        };
        let is_in_doubt = self.is_in_doubt();
        let as_left = plan::agents_md(&self.status).map(|file| &file.sha256);
        if !is_in_doubt && expected.is_some() && expected.as_ref() == as_left {
            return Ok(());
        }
        let (link, id) = (&target.link, &target.accepted.agent_id);
        let there = link.files_get(id, FileName::Agents.as_str()).await?;
        let own = text::mark(&self.agent, self.context);
        let found = there.content.as_deref().and_then(Mark::find);
        let is_anothers = if is_in_doubt {
            found.as_ref().is_some_and(|found| *found != own)
        } else {
            let sha256 = there.content.as_deref().map(entry::sha256);
            plan::is_marked_over(&self.status, found.as_ref(), sha256.as_deref(), &own)
        };
        if is_anothers {
            return Err(self.yield_to(found, target, entry).await);
        }
        *expected = expected.take().or(there.hash);
        Ok(())
    }

    /// Before our keys go over an entry that is not as we left it: with the mark of another beside it, it is that one's.
    pub(super) async fn refuse_taken(
        &mut self,
        target: &Target,
        entry: Option<&Value>,
    ) -> Result<(), Stop> {
        let is_as_left = entry.is_none_or(|entry| plan::is_as_left(&self.status, entry));
        if is_as_left || self.is_in_doubt() {
            return Ok(());
        }
        let own = text::mark(&self.agent, self.context);
        let id = &target.accepted.agent_id;
        match observe::mark_of_another(&target.link, id, &self.status, &own).await? {
            None => Ok(()),
            found => Err(self.yield_to(found, target, entry).await),
        }
    }

    /// The agent is another's by its mark. Where there was none until we made its entry, only the workspace is, and the entry goes again.
    async fn yield_to(
        &mut self,
        found: Option<Mark>,
        target: &Target,
        entry: Option<&Value>,
    ) -> Stop {
        let elsewhere = "The agent is not on the gateway for this Agent.";
        self.judge(Judgement::unknown(REGISTERED, Reason::Pending, elsewhere));
        if self.made {
            return self.take_back(target).await.unwrap_or_else(|stop| stop);
        }
        let stranger = Stranger {
            accepted: &target.accepted,
            link: &target.link,
            entry: entry.unwrap_or(&Value::Null),
            marking: Marking::Read(found),
        };
        self.meet(stranger, &target.workspace).await
    }

    async fn take_back(&mut self, target: &Target) -> Result<Stop, Stop> {
        let Accepted {
            agent_id,
            gateway_uid,
            ..
        } = &target.accepted;
        let writer = self.context.pool.writer(gateway_uid);
        let writer = writer.ok_or(CallError::Disconnected { sent: false })?;
        self.context.metrics.plan_step("delete_agent");
        let with_files = false;
        self.turn.lend(writer.delete(agent_id, with_files)).await?;
        places::forget(&mut self.status, gateway_uid);
        let key = self.part_at(gateway_uid);
        self.context.obstacles.met(&key, Obstacle::MarkedWorkspace);
        Ok(self.no_workspace(agent_id))
    }

    /// Where the agent was made and taken off again before, it is not tried at every comparison: that would be two writes each time.
    fn refuse_marked_workspace(&mut self, accepted: &Accepted) -> Result<(), Stop> {
        let key = self.part_at(&accepted.gateway_uid);
        let obstacles = &self.context.obstacles;
        if !obstacles.is_met(&key, Obstacle::MarkedWorkspace) {
            return Ok(());
        }
        let known = condition::find(&self.status.conditions, ACCEPTED);
        let is_same = known.is_some_and(|known| {
            known.reason == Reason::AgentExists.as_str()
                && known.observed_generation == self.agent.metadata.generation
        });
        if is_same && !self.asked {
            return Err(self.no_workspace(&accepted.agent_id));
        }
        obstacles.overcome(&key, Obstacle::MarkedWorkspace);
        Ok(())
    }

    fn no_workspace(&mut self, agent_id: &str) -> Stop {
        let refusal = adoption::marked_workspace(agent_id);
        self.stop(Judgement::fails(ACCEPTED, refusal.reason, refusal.message))
    }

    /// What the obstacles on one Gateway are known by.
    fn part_at(&self, gateway_uid: &str) -> String {
        obstacles::within(&self.agent.uid().unwrap_or_default(), gateway_uid)
    }

    /// Whether our mark has not been confirmed yet at the place where the agent is.
    pub(super) fn is_in_doubt(&self) -> bool {
        places::present(&self.status).is_some_and(plan::is_in_doubt)
    }

    /// Puts the finalizer on the Agent where it is missing: nothing of ours is on a gateway without one.
    pub(super) async fn hold(&mut self) -> Result<(), Stop> {
        let finalizers = self.agent.finalizers();
        if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            let client = &self.context.clients.request;
            let agent = apply::add_finalizer(client, &*self.agent, FINALIZER).await?;
            self.now_is(agent);
        }
        Ok(())
    }

    /// Records the claim, and what it is made to write, before anything is written to the gateway.
    async fn claim(
        &mut self,
        accepted: &Accepted,
        state: PlaceState,
        adopted: bool,
        keys: &Keys,
    ) -> Result<(), Stop> {
        self.hold().await?;
        let place = Place {
            gateway_uid: accepted.gateway_uid.clone(),
            agent_id: accepted.agent_id.clone(),
            state,
            entry_sha256: Some(entry::digest(keys)),
            gateway: accepted.gateway_name.clone(),
            adopted,
            ..Place::default()
        };
        // An agent that is about to be made is woken when it is there; one that is found again is not.
        let is_known = self.status.places.iter().any(|known| {
            known.gateway_uid == place.gateway_uid && known.agent_id == place.agent_id
        });
        if state == PlaceState::Claimed && !is_known {
            self.status.wake = wake::on_provision(&self.agent);
        }
        let own_keys = keys.keys().cloned().collect();
        places::claim(&mut self.status, place, own_keys, Timestamp::now());
        if state == PlaceState::Creating {
            self.take_over_created();
        }
        self.write_status().await?;
        Ok(())
    }

    /// What the gateway fills in when it creates the agent is ours to take back.
    pub(super) fn take_over_created(&mut self) {
        let own = &mut self.status.own_keys;
        let missing = entry::CREATED_WITH
            .iter()
            .filter(|path| !own.iter().any(|own| own == *path));
        let missing: Vec<_> = missing.map(|&path| path.to_owned()).collect();
        own.extend(missing);
    }
}

/// Whether the agent with this entry at a place is ours by now: a claim that was never confirmed may never have been used, and to one that
/// was lost somebody else may have come since.
pub(super) async fn is_ours(
    link: &Link,
    record: &AgentStatus,
    place: &Place,
    entry: Option<&Value>,
    own: &Mark,
) -> Result<bool, CallError> {
    let id = &place.agent_id;
    if !plan::is_in_doubt(place) {
        let another = observe::mark_of_another(link, id, record, own).await?;
        return Ok(another.is_none());
    }
    let found = observe::mark(link, id).await?;
    let ownership = plan::ownership(record, Some(place), entry, found.as_ref(), own);
    Ok(ownership != Ownership::Foreign)
}
