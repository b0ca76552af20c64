//! The end of an Agent: every place that it holds is left, and then the object goes.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};

use crate::{
    api::{
        Agent,
        agent::{Place, PlaceState},
        annotation::{FINALIZER, FORCE_DELETE},
        condition::{self, Judgement, READY},
        reason::Reason,
    },
    controller::{
        agent::{
            AgentTurn,
            accept::accept_id,
            leave::{Done, Leave, Left, Waits},
            observe, text, token,
        },
        context::Context,
        gateway::age_of_deletion,
        obstacles::Obstacle,
        runner::{Next, ReconcileError},
    },
    kube::apply,
    plan::places,
};

/// Longest wait between two tries while the gateway is away; a link that comes up wakes the Agent anyway.
const RETRY: Duration = Duration::from_secs(30);

/// Ends one Agent.
pub(super) async fn end(
    agent: Arc<Agent>,
    context: &Context,
    turn: &AgentTurn,
) -> Result<Next, ReconcileError> {
    if !agent
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == FINALIZER)
    {
        return Ok(Next::Change);
    }
    if agent
        .annotations()
        .get(FORCE_DELETE)
        .is_some_and(|value| value == "true")
    {
        let note = "The annotation force-delete was set: what is on the gateway was left there.";
        context.warn(&agent.object_ref(&()), "ForceDeleted", note);
        return let_go(&agent, context).await;
    }
    take_calls(&agent, context).await;
    let mut agent = with_places(agent, context).await?;
    let status = agent.status.clone().unwrap_or_default();
    let mut waiting = Vec::new();
    for place in &status.places {
        let leave = Leave {
            agent: &agent,
            place,
            record: places::record_of(&status, place),
            asked: age_of_deletion(&*agent),
            stays: None,
            context,
            turn,
        };
        match leave.run().await {
            Left::Done(done) => tell(&agent, &done, context),
            Left::GivenUp(note) => {
                context.warn(&agent.object_ref(&()), "LeftOnGateway", &note);
            }
            Left::Waits(waits) => {
                waiting.push(waits);
                continue;
            }
        }
        if status.places.len() > 1 {
            // What stands there from now on is somebody else's, however long the other places take.
            agent = without_place(&agent, place, context).await?;
        }
    }
    if waiting.is_empty() {
        return let_go(&agent, context).await;
    }
    say_waiting(&agent, &waiting, context).await?;
    let left = waiting.iter().map(|waits| waits.left).min();
    let error = waiting.into_iter().find_map(|waits| waits.error);
    let next = Next::Within(left.unwrap_or(RETRY).min(RETRY));
    error.map_or(Ok(next), Err)
}

/// Has the agent's calls taken until it is gone, also where this process has seen nothing of it but its end.
async fn take_calls(agent: &Agent, context: &Context) {
    let (uid, read) = (agent.uid().unwrap_or_default(), Obstacle::TokensRead);
    if !context.obstacles.is_first(&uid, read) {
        return;
    }
    if let Err(error) = token::recall(agent, context).await {
        tracing::debug!(%error, "the tokens of an agent that is being deleted were not read; tried again with its deletion");
        context.obstacles.overcome(&uid, read);
    }
}

fn tell(agent: &Agent, done: &Done, context: &Context) {
    let reference = agent.object_ref(&());
    match done {
        Done::Nothing => {}
        Done::Deleted(note) => context.tell(&reference, "Deleted", note),
        Done::Orphaned(note) => context.tell(&reference, "Orphaned", note),
        Done::Retired(note) => context.warn(&reference, "LeftOnGateway", note),
    }
}

/// The Agent with the places that are its own by claim or, where the status is lost, by the mark as read now.
async fn with_places(agent: Arc<Agent>, context: &Context) -> Result<Arc<Agent>, ReconcileError> {
    let claims = agent.status.iter().flat_map(|status| &status.places);
    if claims.count() > 0 {
        return Ok(agent);
    }
    let Ok(accepted) = accept_id(&agent, context) else {
        return Ok(agent);
    };
    let Some(link) = context
        .pool
        .get(&accepted.gateway_uid)
        .filter(|_| context.down_since(&accepted.gateway_uid).is_none())
    else {
        return Ok(agent);
    };
    let found = observe::mark(&link, &accepted.agent_id).await?;
    if found != Some(text::mark(&agent, context)) {
        return Ok(agent);
    }
    // The mark may go before the agent does, and then nothing else would tell whose it is.
    let mut status = agent.status.clone().unwrap_or_default();
    status.places.push(Place {
        gateway_uid: accepted.gateway_uid.clone(),
        agent_id: accepted.agent_id.clone(),
        state: PlaceState::Registered,
        gateway: accepted.gateway_name.clone(),
        ..Place::default()
    });
    let written = apply::patch_status(&context.clients.request, &*agent, &status).await?;
    let written = Arc::new(written);
    context.world.latest_agents.remember(&written);
    Ok(written)
}

async fn without_place(
    agent: &Agent,
    place: &Place,
    context: &Context,
) -> Result<Arc<Agent>, ReconcileError> {
    let mut status = agent.status.clone().unwrap_or_default();
    places::forget(&mut status, &place.gateway_uid);
    let written = apply::patch_status(&context.clients.request, agent, &status).await?;
    let written = Arc::new(written);
    context.world.latest_agents.remember(&written);
    Ok(written)
}

/// Says in the status what the deletion waits for.
async fn say_waiting(
    agent: &Agent,
    waiting: &[Waits],
    context: &Context,
) -> Result<(), ReconcileError> {
    let what: Vec<_> = waiting.iter().map(|waits| waits.what.as_str()).collect();
    let message = format!(
        "Deletion waits for {}. To let go without it: kubectl annotate oca {} mission.openclaw.dev/force-delete=true",
        what.join(", and for "),
        agent.name_any()
    );
    let known = agent.status.clone().unwrap_or_default();
    let mut next = known.clone();
    next.observed_generation = agent.metadata.generation;
    let judgement = Judgement::fails(READY, Reason::Deleting, message);
    condition::AGENT.merge(
        &mut next.conditions,
        vec![judgement],
        agent.metadata.generation,
        Timestamp::now(),
    );
    if next != known {
        let written = apply::patch_status(&context.clients.request, agent, &next).await?;
        context.world.latest_agents.remember(&Arc::new(written));
    }
    Ok(())
}

async fn let_go(agent: &Agent, context: &Context) -> Result<Next, ReconcileError> {
    apply::remove_finalizer(&context.clients.request, agent, FINALIZER).await?;
    context.forget_agent(agent.meta().uid.as_deref().unwrap_or_default());
    Ok(Next::Change)
}
