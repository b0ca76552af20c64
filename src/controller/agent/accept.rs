//! Whether the Agent may be on its gateway: looks the references up and lets the plan judge.

use std::sync::Arc;

use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef};

use crate::{
    api::{Agent, Board, Gateway, agent::Role, reason::Reason, reference::GatewayName},
    controller::{context::Context, world::World},
    plan::{
        admission::{self, Refusal},
        owned::{InRole, Owner},
        places::Destination,
        seats,
    },
};

/// What an accepted Agent refers to.
#[derive(Debug)]
pub(super) struct Accepted {
    /// Its Board, if it has one.
    pub(super) board: Option<Arc<Board>>,
    /// Its Gateway.
    pub(super) gateway: Arc<Gateway>,
    /// The name of its Gateway.
    pub(super) gateway_name: GatewayName,
    /// The uid of its Gateway: the key of its link.
    pub(super) gateway_uid: String,
    /// Its id there.
    pub(super) agent_id: String,
}

impl Accepted {
    /// Where the Agent is to be.
    pub(super) fn destination(&self) -> Destination<'_> {
        Destination {
            gateway_uid: &self.gateway_uid,
            gateway: &self.gateway_name,
            agent_id: &self.agent_id,
        }
    }

    /// Who leads the Agent's Board, and who is the main agent of its Gateway. No change of theirs has the Agent looked at for this alone:
    /// its texts follow at the next comparison.
    pub(super) fn others(&self, world: &World) -> (Option<InRole>, Option<InRole>) {
        let in_role = |owner: &Owner<'_>, all: Vec<Arc<Agent>>| {
            // What is not accepted yet counts only where the owner's namespace made it.
            let all = all.iter().map(|agent| &**agent).filter(|agent| {
                let is_at_home = agent.namespace().as_deref() == Some(owner.namespace());
                is_at_home || seats::is_accepted(agent)
            });
            let holder = seats::holder_to_be(owner.role, all);
            let name = ObjectRef::new(&owner.agent_name).within(owner.namespace());
            owner.in_role(holder, world.agents.get(&name).as_deref())
        };
        let lead = self.board.as_ref().and_then(|board| {
            let namespace = board.namespace().unwrap_or_default();
            let all = world.agents_of_board(&namespace, &board.name_any());
            in_role(&Owner::from(&**board), all)
        });
        let all = world.agents_directly_on(&self.gateway_name);
        (lead, in_role(&Owner::from(&*self.gateway), all))
    }
}

/// Judges the Agent.
pub(super) fn accept(agent: &Agent, context: &Context) -> Result<Accepted, Refusal> {
    let accepted = accept_id(agent, context)?;
    if let Some(board) = &accepted.board {
        let all = context
            .world
            .agents_of_board(&agent.namespace().unwrap_or_default(), &board.name_any());
        seats::on_board(agent, board, all.iter().map(|agent| &**agent))?;
    } else if agent.spec.role == Role::Main {
        let all = context.world.agents_directly_on(&accepted.gateway_name);
        let gateway = &accepted.gateway_name.name;
        seats::on_gateway(agent, gateway, all.iter().map(|agent| &**agent))?;
    }
    Ok(accepted)
}

/// Judges whether the id is the Agent's own, and not whether its Board has a place for it.
pub(super) fn accept_id(agent: &Agent, context: &Context) -> Result<Accepted, Refusal> {
    let accepted = resolve(agent, &context.world)?;
    if accepted.gateway.metadata.deletion_timestamp.is_some() {
        return Err(Refusal {
            reason: Reason::GatewayNotReady,
            message: format!(
                "Gateway {} is being deleted. Delete this Agent too, or have it moved: name another Gateway, or a Board of another.",
                accepted.gateway_name.name
            ),
        });
    }
    let sharing = context.pool.siblings(&accepted.gateway_uid);
    let id = &accepted.agent_id;
    let own = admission::rank(agent, &sharing, id);
    let rivals = context.world.agents_with_id(id);
    let rivals = rivals.iter().filter(|rival| {
        rival.meta().uid != agent.meta().uid && is_rival(rival, context, &sharing, id)
    });
    admission::settle(
        &own,
        rivals.map(|rival| admission::rank(rival, &sharing, id)),
        id,
    )?;
    Ok(accepted)
}

/// Looks up the Gateway and the Board of an Agent, and its id.
pub(super) fn resolve(agent: &Agent, world: &World) -> Result<Accepted, Refusal> {
    let namespace = agent.namespace().unwrap_or_default();
    let board = agent
        .spec
        .board_ref
        .as_ref()
        .and_then(|board| world.board(board, &namespace));
    let gateway_name = admission::gateway_of(agent, board.as_deref())?;
    let gateway = admission::admit(
        &gateway_name,
        world.gateway(&gateway_name),
        &namespace,
        world.labels(&namespace).as_ref(),
    )?;
    let agent_id = admission::id_of(agent, &gateway_name)?;
    let gateway_uid = gateway.uid().unwrap_or_default();
    Ok(Accepted {
        board,
        gateway,
        gateway_name,
        gateway_uid,
        agent_id,
    })
}

/// Whether another Agent holds, or could come to hold, the same place: one that is not accepted itself stands in nobody's way.
fn is_rival(rival: &Agent, context: &Context, sharing: &[String], agent_id: &str) -> bool {
    let holds = rival
        .status
        .iter()
        .flat_map(|status| &status.places)
        .any(|place| place.agent_id == agent_id && sharing.contains(&place.gateway_uid));
    holds
        || rival.metadata.deletion_timestamp.is_none()
            && !seats::waits(rival)
            && resolve(rival, &context.world).is_ok_and(|other| {
                other.agent_id == agent_id && sharing.contains(&other.gateway_uid)
            })
}
