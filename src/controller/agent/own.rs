//! Whose the agent on the gateway is, and the claim that makes it ours.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;

use crate::{
    api::{
        agent::{Place, PlaceState},
        annotation::FINALIZER,
    },
    controller::{
        agent::{
            accept::Accepted,
            adopt::Stranger,
            observe::{self, Marking},
            text,
            visit::{Stop, Target, Visit},
        },
        runner::Next,
    },
    gateway::{Link, Observed},
    kube::apply,
    plan::{
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
                self.claim(accepted, state, keys).await?;
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
                self.claim(accepted, PlaceState::Registered, keys).await?;
                self.event("OwnershipResumed", &format!("The agent {id:?} on the gateway carries this Agent's mark and is taken up again."));
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

    /// Takes up a place that this Agent holds already and was leaving, or had through another Gateway object, and writes that down.
    async fn take_up(&mut self, accepted: &Accepted) -> Result<(), Stop> {
        let sharing = self.context.pool.siblings(&accepted.gateway_uid);
        let to = accepted.destination();
        if places::take_up(&mut self.status, &to, &sharing, Timestamp::now()) {
            self.judge_accepted(accepted);
            self.write_status().await?;
        }
        Ok(())
    }

    /// Before AGENTS.md brings our mark to a place for the first time: it never goes over the mark of another, who has come by the same
    /// agent meanwhile. What comes after this look is not overwritten, because the write names what it replaces; only where there is no file
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
        let Some(expected) = marks.filter(|_| self.is_in_doubt()) else {
            return Ok(());
        };
        let (link, id) = (&target.link, &target.accepted.agent_id);
        let there = link.files_get(id, FileName::Agents.as_str()).await?;
        let mark = there.content.as_deref().and_then(Mark::find);
        if mark
            .as_ref()
            .is_some_and(|mark| *mark != text::mark(&self.agent, self.context))
        {
            let stranger = Stranger {
                accepted: &target.accepted,
                link,
                entry: entry.unwrap_or(&Value::Null),
                marking: Marking::Read(mark),
            };
            return Err(self.meet(stranger, &target.workspace).await);
        }
        *expected = expected.take().or(there.hash);
        Ok(())
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
        keys: &Keys,
    ) -> Result<(), Stop> {
        self.hold().await?;
        let place = Place {
            gateway_uid: accepted.gateway_uid.clone(),
            agent_id: accepted.agent_id.clone(),
            state,
            entry_sha256: Some(entry::digest(keys)),
            gateway: accepted.gateway_name.clone(),
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
