//! The end of an Agent: every place that it holds is left, and then the object goes.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};

use crate::{
    api::{
        Agent, AgentStatus,
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
        obstacles::{self, Obstacle, age_of_deletion},
        runner::{Next, ReconcileError},
    },
    gateway::Class,
    kube::apply,
    plan::places,
};

/// Longest wait between two tries while the gateway is away; a link that comes up wakes the Agent anyway.
const RETRY: Duration = Duration::from_secs(30);
/// The same where it fails and little time is left.
const LAST_RETRY: Duration = Duration::from_secs(5);

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
    let mut agent = match with_places(agent, context).await? {
        Held::Known(agent) => agent,
        Held::Unread(unread) => return unread.end(context, turn).await,
    };
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
    wait(&agent, waiting, context).await
}

/// Says what the deletion waits for, and comes again: in time for every deadline, however often it failed before.
async fn wait(
    agent: &Agent,
    waiting: Vec<Waits>,
    context: &Context,
) -> Result<Next, ReconcileError> {
    say_waiting(agent, &waiting, context).await?;
    let left = waiting.iter().map(|waits| waits.left).min();
    let next = left.unwrap_or(RETRY).min(RETRY);
    match waiting.into_iter().find_map(|waits| waits.error) {
        Some(error) if next == RETRY => Err(error),
        Some(error) => {
            tracing::info!(%error, "the agent could not be taken off its gateway; tried again");
            Ok(Next::Within(next.min(LAST_RETRY)))
        }
        None => Ok(Next::Within(next)),
    }
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
        Done::Retired(note) | Done::Anothers(note) => {
            context.warn(&reference, "LeftOnGateway", note);
        }
    }
}

/// Where an Agent may be.
enum Held {
    /// It holds these places, or none.
    Known(Arc<Agent>),
    /// It holds none by its status, and the gateway does not tell whether there is a mark.
    Unread(Box<Unread>),
}

/// A gateway that fails at showing whether an agent carries the mark of an Agent without places.
struct Unread {
    agent: Arc<Agent>,
    place: Place,
    error: ReconcileError,
}

impl Unread {
    /// Waits for it as for a gateway that fails at a deletion. In the end what is there is left alone.
    async fn end(self, context: &Context, turn: &AgentTurn) -> Result<Next, ReconcileError> {
        let (agent, place) = (&*self.agent, &self.place);
        let leave = Leave {
            agent,
            place,
            record: AgentStatus::default(),
            asked: age_of_deletion(agent),
            stays: None,
            context,
            turn,
        };
        if let Left::Waits(waits) = leave.not_yet(Some(self.error)) {
            return wait(agent, vec![waits], context).await;
        }
        let note = format!(
            "Gateway {} did not show in time whether its agent {:?} is this Agent's, so that one was left alone. If AGENTS.md there ends with the operator's mark for this Agent, remove it by hand: openclaw agents delete {}",
            place.gateway.name, place.agent_id, place.agent_id
        );
        context.warn(&agent.object_ref(&()), "LeftOnGateway", &note);
        let_go(agent, context).await
    }
}

/// The Agent with the places that are its own by claim or, where the status is lost, by the mark as read now.
async fn with_places(agent: Arc<Agent>, context: &Context) -> Result<Held, ReconcileError> {
    let claims = agent.status.iter().flat_map(|status| &status.places);
    if claims.count() > 0 {
        return Ok(Held::Known(agent));
    }
    let Ok(accepted) = accept_id(&agent, context) else {
        return Ok(Held::Known(agent));
    };
    let Some(link) = context.link(&accepted.gateway_uid) else {
        return Ok(Held::Known(agent));
    };
    let place = Place {
        gateway_uid: accepted.gateway_uid.clone(),
        agent_id: accepted.agent_id.clone(),
        state: PlaceState::Registered,
        gateway: accepted.gateway_name.clone(),
        ..Place::default()
    };
    // The time counts from the first try on.
    let key = obstacles::within(&agent.uid().unwrap_or_default(), &place.gateway_uid);
    context.obstacles.met(&key, Obstacle::NotLeft);
    let found = match observe::mark(&link, &accepted.agent_id).await {
        Ok(found) => found,
        // What nobody may read was never written by us.
        Err(error) if error.class() == Class::Rejected => None,
        Err(error) => {
            let error = error.into();
            let unread = Unread {
                agent,
                place,
                error,
            };
            return Ok(Held::Unread(Box::new(unread)));
        }
    };
    if found.as_ref() != Some(&text::mark(&agent, context)) {
        return Ok(Held::Known(agent));
    }
    // The mark may go before the agent does, and then nothing else would tell whose it is.
    let mut status = agent.status.clone().unwrap_or_default();
    let adopted = found.is_some_and(|found| found.adopted);
    status.places.push(Place { adopted, ..place });
    let written = apply::patch_status(&context.clients.request, &*agent, &status).await?;
    let written = Arc::new(written);
    context.world.latest_agents.remember(&written);
    Ok(Held::Known(written))
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
