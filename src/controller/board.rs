//! Boards: which Gateway they are on, the lead that they declare, and how many of their Agents are Ready.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};

use crate::{
    api::{
        Board,
        agent::Role,
        board::AgentCounts,
        condition::{self, GATEWAY_RESOLVED, Judgement},
        reason::Reason,
    },
    controller::{
        context::Context,
        owned,
        runner::{Next, ReconcileError},
    },
    kube::apply,
    plan::{admission, pause, seats},
};

/// Time between two looks whether the name of the lead is free, and whether the API server takes it now.
const LEAD_WAIT: Duration = Duration::from_mins(1);

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
    let admitted = admission::admit(&wanted, gateway.as_deref(), &namespace, labels.as_ref());
    let gateway_is_paused = admitted.as_ref().is_ok_and(|gateway| gateway.spec.paused);
    let judgement = match admitted {
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
    let lead = seats::holder(Role::Lead, agents.iter().map(|agent| &**agent));
    let lead = owned::reconcile(&*board, lead, context).await?;
    let looks_again = matches!(lead.reason, Reason::NameTaken | Reason::AgentNotApplied);
    let judgements = vec![
        judgement,
        lead,
        pause::judge_board(&board, gateway_is_paused),
    ];
    let how_many = |type_| {
        let status = agents.iter().filter_map(|agent| agent.status.as_ref());
        count(
            status
                .filter(|status| condition::is_true(&status.conditions, type_))
                .count(),
        )
    };
    next.agents = Some(AgentCounts {
        total: count(agents.len()),
        ready: how_many(condition::READY),
        online: how_many(condition::ONLINE),
    });
    for judgement in &judgements {
        let news = condition::find(&known.conditions, judgement.type_)
            .is_none_or(|before| before.reason != judgement.reason.as_str());
        // A lead that is not Ready tells why itself; no pause is no failure.
        let told_elsewhere = matches!(judgement.reason, Reason::AgentNotReady | Reason::NotPaused);
        if news && !told_elsewhere && judgement.status == condition::Status::False {
            context.warn(
                &board.object_ref(&()),
                judgement.reason.as_str(),
                &judgement.message,
            );
        }
    }
    condition::BOARD.merge(
        &mut next.conditions,
        judgements,
        board.metadata.generation,
        Timestamp::now(),
    );
    if next != known {
        apply::patch_status(&context.clients.request, &*board, &next).await?;
    }
    Ok(if looks_again {
        Next::Within(LEAD_WAIT)
    } else {
        Next::Change
    })
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
