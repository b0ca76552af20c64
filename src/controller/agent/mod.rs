//! Agents: gather, plan, execute, status.
//!
//! `visit` leads through a pass, and the others each hold a part of it:
//! - `accept` looks at other objects, `token` at the Secret, `text` renders.
//! - `own` proves or claims ownership; `adopt` takes over what was there before.
//! - `rounds` plans and executes, reading with `observe` and writing with `execute`.
//! - `life` keeps the session and wakes, `online` tells of signs of life, `outcome` judges, `status` writes.
//! - `pause` takes the place of all this while a pause lasts.
//! - `moves` and `end` take the agent off gateways (by `leave`) that it has left, or that it is on when its Agent is deleted.

mod accept;
mod adopt;
mod end;
mod execute;
mod leave;
mod life;
mod moves;
mod observe;
mod online;
mod outcome;
mod own;
mod pause;
#[cfg(test)]
mod properties;
mod rounds;
mod status;
mod text;
mod token;
mod visit;

use std::sync::Arc;

use kube::runtime::reflector::ObjectRef;

use crate::{
    api::Agent,
    controller::{
        context::Context,
        queue::Turn,
        runner::{Next, ReconcileError},
    },
};

pub(super) use observe::mark as mark_of;
pub(super) use outcome::monitor_made;

/// The turn of one Agent.
type AgentTurn = Turn<ObjectRef<Agent>>;

/// Reconciles one Agent.
pub(super) async fn reconcile(
    agent: Arc<Agent>,
    context: &Context,
    turn: &AgentTurn,
) -> Result<Next, ReconcileError> {
    let world = &context.world;
    let agent = world.latest_agents.or_newer(agent, &world.agents);
    if agent.metadata.deletion_timestamp.is_some() {
        return end::end(agent, context, turn).await;
    }
    let mut visit = visit::Visit::new(agent, context, turn);
    let ended = visit.run().await;
    if let Err(error) = &ended {
        // Nothing was written to the gateway then, so there is nothing to keep; a write now would be what the server does not want.
        if error.is_overload() {
            return ended;
        }
        visit.failed(error);
    }
    // What was confirmed before an error is kept all the same; the next pass starts from there.
    visit.write_status().await?;
    ended
}
