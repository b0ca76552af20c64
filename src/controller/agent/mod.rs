//! Agents: gather, plan, execute, status.
//!
//! `accept` looks at other objects, `text` renders, `observe` reads the gateway, `execute` writes to it, `visit` leads through these in order and
//! keeps the status in the making, `end` cleans up.

mod accept;
mod end;
mod execute;
mod observe;
mod text;
mod visit;

use std::sync::Arc;

use crate::{
    api::Agent,
    controller::{
        context::Context,
        runner::{Next, ReconcileError},
    },
};

/// Reconciles one Agent.
pub(super) async fn reconcile(
    agent: Arc<Agent>,
    context: &Context,
) -> Result<Next, ReconcileError> {
    let agent = context.world.latest_agents.or_newer(agent);
    if agent.metadata.deletion_timestamp.is_some() {
        return end::end(agent, context).await;
    }
    let mut visit = visit::Visit::new(agent, context);
    let ended = visit.run().await;
    if let Err(error) = &ended {
        visit.failed(error);
    }
    // What was confirmed before an error is kept all the same; the next pass starts from there.
    visit.write_status().await?;
    ended
}
