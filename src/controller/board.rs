//! Boards: which Gateway they are on, and how many of their Agents are Ready.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};

use crate::{
    api::{
        Board,
        board::AgentCounts,
        condition::{self, GATEWAY_RESOLVED, Judgement},
        reason::Reason,
    },
    controller::{
        context::Context,
        runner::{Next, ReconcileError},
    },
    kube::apply,
    plan::admission,
};

/// Reconciles one Board. Nothing of it is on a gateway, so it needs no finalizer.
pub(super) async fn reconcile(
    board: Arc<Board>,
    context: &Context,
) -> Result<Next, ReconcileError> {
    if board.metadata.deletion_timestamp.is_some() {
        return Ok(Next::Change);
    }
    let namespace = board.namespace().unwrap_or_default();
    let wanted = admission::target(&board.spec.gateway_ref, &namespace);
    let gateway = context.world.gateway(&wanted);
    let labels = context.world.labels(&namespace);
    let judgement = match admission::admit(&wanted, gateway.as_deref(), &namespace, labels.as_ref())
    {
        Ok(_) => Judgement::holds(
            GATEWAY_RESOLVED,
            Reason::GatewayResolved,
            format!("The Agents of this Board are on Gateway {}.", wanted.name),
        ),
        Err(refusal) => Judgement::fails(GATEWAY_RESOLVED, refusal.reason, refusal.message),
    };
    let known = board.status.clone().unwrap_or_default();
    let mut next = known.clone();
    next.observed_generation = board.metadata.generation;
    next.gateway = (judgement.status == condition::Status::True).then_some(wanted);
    let agents = context.world.agents_of_board(&namespace, &board.name_any());
    let ready = agents.iter().filter(|agent| {
        agent
            .status
            .as_ref()
            .is_some_and(|status| condition::is_true(&status.conditions, condition::READY))
    });
    next.agents = Some(AgentCounts {
        ready: count(ready.count()),
        total: count(agents.len()),
    });
    let news = condition::find(&known.conditions, GATEWAY_RESOLVED)
        .is_none_or(|before| before.reason != judgement.reason.as_str());
    if news && judgement.status == condition::Status::False {
        context.warn(
            &board.object_ref(&()),
            judgement.reason.as_str(),
            &judgement.message,
        );
    }
    condition::BOARD.merge(
        &mut next.conditions,
        vec![judgement],
        board.metadata.generation,
        Timestamp::now(),
    );
    if next != known {
        apply::patch_status(&context.clients.request, &*board, &next).await?;
    }
    Ok(Next::Change)
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
