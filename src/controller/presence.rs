//! Signs of life: brings those that a gateway tells of to their Agents, and has Agents looked at whose presence turned.
//!
//! What they mean is decided in `plan::presence`; an Agent that is heard of as expected costs nothing here.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use tokio::{sync::mpsc, time::MissedTickBehavior};

use crate::{api::Agent, controller::context::Context, plan::places, presence::AgentKey};

/// How often it is looked for agents that fell silent: a small part of the shortest time after which one counts as offline.
const SWEEP: Duration = Duration::from_secs(5);

/// Has Agents looked at that came back or fell silent.
pub(super) async fn follow(context: Arc<Context>, mut turned: mpsc::UnboundedReceiver<AgentKey>) {
    let presence = context.directory.presence();
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let agents = tokio::select! {
            agent = turned.recv() => match agent {
                Some(agent) => vec![agent],
                None => return,
            },
            _ = sweep.tick() => {
                context.directory.expect_only(|uid| is_there(&context, uid));
                presence.overdue(Timestamp::now())
            }
        };
        context.world.touch_agents(agents.iter().map(reference));
    }
}

/// Takes a sign of life of an agent on a gateway in. It is of the Agent that is confirmed there: what is about to leave another place may
/// still beat at that one, and says nothing about the new.
pub(super) fn heard(context: &Context, gateway_uid: &str, agent_id: &str) {
    let now = Timestamp::now();
    for agent in context.world.agents_with_id(agent_id) {
        let place = agent.status.as_ref().and_then(places::present);
        let is_there = place.is_some_and(|place| {
            place.gateway_uid == gateway_uid
                && place.agent_id == agent_id
                && place.state.is_confirmed()
        });
        if is_there {
            context.directory.presence().seen(&key(&agent), now);
        }
    }
}

/// The Agent as the tables of presence and tokens name it.
pub(super) fn key(agent: &Agent) -> AgentKey {
    AgentKey {
        namespace: agent.namespace().unwrap_or_default(),
        name: agent.name_any(),
        uid: agent.uid().unwrap_or_default(),
    }
}

fn reference(agent: &AgentKey) -> ObjectRef<Agent> {
    ObjectRef::new(&agent.name).within(&agent.namespace)
}

fn is_there(context: &Context, uid: &str) -> bool {
    let agents = context.world.agents.state();
    agents
        .iter()
        .any(|agent| agent.uid().as_deref() == Some(uid))
}
