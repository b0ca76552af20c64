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
    },
};

impl Visit<'_> {
    /// Makes sure that the agent on the gateway is ours, or free and claimed. Answers whether it must not be there when the writer comes to it.
    pub(super) async fn own(
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
    pub(super) async fn claim(
        &mut self,
        accepted: &Accepted,
        state: PlaceState,
    ) -> Result<(), Stop> {
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
}

/// The judgement on an Agent whose id somebody else has on the gateway.
pub(super) fn exists(agent_id: &str) -> Judgement {
    let message = format!(
        "An agent {agent_id:?} is on the gateway already and does not carry this Agent's mark. It was not touched. Remove it there, or delete this Agent and apply it with another spec.agentId."
    );
    Judgement::fails(ACCEPTED, Reason::AgentExists, message)
}
