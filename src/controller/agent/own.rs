//! Whose the agent on the gateway is, and the claim that makes it ours.

use kube::ResourceExt;

use crate::{
    api::{
        AgentStatus,
        agent::{Place, PlaceState},
        annotation::FINALIZER,
        condition::{ACCEPTED, Judgement},
        reason::Reason,
    },
    controller::agent::{
        accept::Accepted,
        observe, text,
        visit::{Stop, Visit},
    },
    gateway::{Link, Observed},
    kube::apply,
    plan::{
        agent::{self as plan, Ownership},
        agent_id,
        entry::{self, Keys},
        wake,
    },
};

impl Visit<'_> {
    /// Stops an Agent that is still on another Gateway: to write it here too would leave the agent there to nobody.
    pub(super) fn not_elsewhere(&mut self, accepted: &Accepted) -> Result<(), Stop> {
        let world = &self.context.world;
        let elsewhere = self.status.places.iter().find(|place| {
            place.gateway_uid != accepted.gateway_uid
                && world
                    .gateway_with_uid(&place.gateway, &place.gateway_uid)
                    .is_some()
        });
        let Some(place) = elsewhere else {
            return Ok(());
        };
        let message = format!(
            "This Agent is still agent {:?} on Gateway {}, and its Board names Gateway {} now. Agents do not move between gateways yet: delete this Agent, which deletes it there, and apply it again, or have the Board name the old Gateway again.",
            place.agent_id, place.gateway.name, accepted.gateway_name.name
        );
        Err(self.stop(Judgement::fails(ACCEPTED, Reason::StillOnGateway, message)))
    }

    /// Makes sure that the agent on the gateway is ours, or free and claimed. Answers whether it must not be there when the writer comes to it.
    pub(super) async fn own(
        &mut self,
        accepted: &Accepted,
        link: &Link,
        observed: &Observed,
        keys: &Keys,
    ) -> Result<bool, Stop> {
        let id = &accepted.agent_id;
        let place = self
            .status
            .places
            .iter()
            .find(|place| place.gateway_uid == accepted.gateway_uid && place.agent_id == *id);
        let entry = observed.config.agent(id);
        let own = text::mark(&self.agent, self.context);
        let judge = |found| plan::ownership(&self.status, place, entry, found, &own);
        let mut ownership = judge(None);
        if ownership == Ownership::Foreign {
            ownership = judge(observe::mark(link, id).await?.as_ref());
        }
        match ownership {
            Ownership::Claimed => {
                // Confirmed by what stands there, where a crash kept the answer from us.
                let written = place.filter(|place| place.state != PlaceState::Creating);
                let written = written.and_then(|place| place.entry_sha256.clone());
                self.hold().await?;
                self.status.entry_sha256 = self.status.entry_sha256.take().or(written);
                Ok(false)
            }
            Ownership::Free => {
                let state = place.map_or(PlaceState::Claimed, |place| place.state);
                self.claim(accepted, state, keys).await?;
                Ok(true)
            }
            Ownership::Marked => {
                self.claim(accepted, PlaceState::Registered, keys).await?;
                self.event("OwnershipResumed", &format!("The agent {id:?} on the gateway carries this Agent's mark and is taken up again."));
                Ok(false)
            }
            Ownership::Foreign => {
                // A claim that was never used is worth nothing now.
                self.status.places.clear();
                self.status.own_keys.clear();
                Err(self.stop(exists(id)))
            }
        }
    }

    /// Puts the finalizer on the Agent where it is missing: nothing of ours is on a gateway without one.
    async fn hold(&mut self) -> Result<(), Stop> {
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
        };
        // An agent that is about to be made is woken when it is there; one that is found again is not.
        let is_new = state == PlaceState::Claimed && self.status.places.is_empty();
        let wake = match is_new {
            true => wake::on_provision(&self.agent),
            false => self.status.wake.take(),
        };
        // Records of another place say nothing about this one.
        self.status = AgentStatus {
            recorded: self.status.recorded.take(),
            token_secret_name: self.status.token_secret_name.take(),
            wake,
            observed_generation: self.status.observed_generation,
            conditions: std::mem::take(&mut self.status.conditions),
            agent_id: Some(accepted.agent_id.clone()),
            session_key: Some(agent_id::session_key(&accepted.agent_id)),
            gateway: Some(accepted.gateway_name.clone()),
            places: vec![place],
            own_keys: keys.keys().cloned().collect(),
            ..AgentStatus::default()
        };
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

/// The judgement on an Agent whose id somebody else has on the gateway.
fn exists(agent_id: &str) -> Judgement {
    let message = format!(
        "An agent {agent_id:?} is on the gateway already and does not carry this Agent's mark. It was not touched. Remove it there, or delete this Agent and apply it with another spec.agentId."
    );
    Judgement::fails(ACCEPTED, Reason::AgentExists, message)
}
