//! The end of an Agent: what is ours is taken off the gateway, what is not is never touched, and nothing hangs for ever.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};
use tokio::time::Instant;

use crate::{
    api::{
        Agent, Gateway,
        agent::{DeletionPolicy, Place, PlaceState},
        annotation::{FINALIZER, FORCE_DELETE},
        condition::{self, Judgement, READY},
        reason::Reason,
    },
    controller::{
        agent::{AgentTurn, accept::accept_id, observe, text},
        context::Context,
        gateway::age_of_deletion,
        obstacles::Obstacle,
        runner::{Next, ReconcileError},
    },
    gateway::{self, CallError, Deleted, EntryWish, Link, WriteError},
    kube::apply,
    plan::{agent as plan, mark, render::FileName},
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
    let Some(place) = place(&agent, context).await? else {
        return let_go(&agent, context).await;
    };
    let uid = agent.uid().unwrap_or_default();
    // Its calls are not answered any more.
    context.directory.forget(&uid);
    let gateway = context
        .world
        .gateway_with_uid(&place.gateway, &place.gateway_uid);
    let link = context
        .pool
        .get(&place.gateway_uid)
        .filter(|_| context.down_since(&place.gateway_uid).is_none());
    let is_paused = gateway.as_ref().is_some_and(|gateway| gateway.spec.paused);
    let error = match link.filter(|_| !is_paused) {
        Some(link) => {
            context.obstacles.overcome(&uid, Obstacle::Away);
            match clean(&agent, &place, &link, context, turn).await {
                Ok(()) => return let_go(&agent, context).await,
                Err(error) => Some(error),
            }
        }
        None => None,
    };
    let obstacle = if error.is_some() {
        Obstacle::Failing
    } else {
        Obstacle::Away
    };
    let tried = if waits_for_pause(&agent, gateway.as_deref(), context) {
        // The time to try begins when the pause ends.
        context.obstacles.overcome(&uid, Obstacle::Away);
        context.obstacles.overcome(&uid, Obstacle::Failing);
        Duration::ZERO
    } else {
        context.obstacles.met(&uid, obstacle)
    };
    let left = time_left(&agent, gateway.as_deref(), tried, context);
    if left.is_zero() {
        let why = if is_paused {
            "is paused"
        } else {
            "did not do it in time"
        };
        let (name, id) = (&place.gateway.name, &place.agent_id);
        let note = match agent.spec.deletion_policy.unwrap_or_default() {
            DeletionPolicy::Delete => format!(
                "Gateway {name} was to delete agent {id:?} and {why}, so it may still be there. Remove it by hand: openclaw agents delete {id}"
            ),
            DeletionPolicy::KeepFiles => format!(
                "Gateway {name} was to delete agent {id:?} and keep its files, and {why}, so it may still be there. Copy its files before you remove it by hand."
            ),
            DeletionPolicy::Orphan => format!(
                "Agent {id:?} stays on Gateway {name}, which {why}, so that the operator's mark may still stand at the end of its AGENTS.md."
            ),
        };
        context.warn(&agent.object_ref(&()), "LeftOnGateway", &note);
        return let_go(&agent, context).await;
    }
    say_waiting(&agent, &place, is_paused, context).await?;
    error.map_or(Ok(Next::Within(left.min(RETRY))), Err)
}

/// The place that is ours by claim or, where the status is lost, by the mark as read now.
async fn place(agent: &Agent, context: &Context) -> Result<Option<Place>, ReconcileError> {
    if let Some(place) = agent.status.iter().flat_map(|status| &status.places).next() {
        return Ok(Some(place.clone()));
    }
    let Ok(accepted) = accept_id(agent, context) else {
        return Ok(None);
    };
    let Some(link) = context
        .pool
        .get(&accepted.gateway_uid)
        .filter(|_| context.down_since(&accepted.gateway_uid).is_none())
    else {
        return Ok(None);
    };
    let found = observe::mark(&link, &accepted.agent_id).await?;
    if found != Some(text::mark(agent, context)) {
        return Ok(None);
    }
    let place = Place {
        gateway_uid: accepted.gateway_uid.clone(),
        agent_id: accepted.agent_id.clone(),
        state: PlaceState::Registered,
        entry_sha256: None,
        gateway: accepted.gateway_name.clone(),
    };
    // The mark may go before the agent does, and then nothing else would tell whose it is.
    let mut status = agent.status.clone().unwrap_or_default();
    status.places.push(place.clone());
    let written = apply::patch_status(&context.clients.request, agent, &status).await?;
    context.world.latest_agents.remember(&Arc::new(written));
    Ok(Some(place))
}

/// Takes the agent off the gateway. What is missing counts as done.
async fn clean(
    agent: &Agent,
    place: &Place,
    link: &Link,
    context: &Context,
    turn: &AgentTurn,
) -> Result<(), ReconcileError> {
    if !is_there_by_us(agent, place, link, context).await? {
        return Ok(());
    }
    let writer = context
        .pool
        .writer(&place.gateway_uid)
        .ok_or(CallError::Disconnected { sent: false })?;
    let policy = agent.spec.deletion_policy.unwrap_or_default();
    let own = text::mark(agent, context);
    if policy != DeletionPolicy::Delete && !unmark(&place.agent_id, &own, link).await? {
        return Ok(());
    }
    let files = match policy {
        DeletionPolicy::Delete => "its files are in the gateway's trash",
        DeletionPolicy::KeepFiles => "its files stay in its workspace, without the operator's mark",
        DeletionPolicy::Orphan => {
            let note = format!(
                "Agent {:?} stays on Gateway {} as it is, without the operator's mark.",
                place.agent_id, place.gateway.name
            );
            context.tell(&agent.object_ref(&()), "Orphaned", &note);
            return Ok(());
        }
    };
    context.metrics.plan_step("delete_agent");
    let with_files = policy == DeletionPolicy::Delete;
    match turn.lend(writer.delete(&place.agent_id, with_files)).await {
        Ok(Deleted::Deleted) => {
            let note = format!(
                "Agent {:?} was deleted on Gateway {}; {files}.",
                place.agent_id, place.gateway.name
            );
            context.tell(&agent.object_ref(&()), "Deleted", &note);
            Ok(())
        }
        Ok(Deleted::Missing) => Ok(()),
        Err(WriteError::Call(CallError::AgentCannotBeDeleted { message })) => {
            retire(agent, place, &own, link, &writer).await?;
            let note = format!(
                "The gateway does not delete agent {:?}: {}. Our heartbeat settings and mark were taken out, the agent stays. Remove it there once the gateway lets it go.",
                place.agent_id,
                message.trim_end_matches('.')
            );
            context.warn(&agent.object_ref(&()), "LeftOnGateway", &note);
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether what stands there can be ours: a claim that the gateway never confirmed may never have been used, and somebody else may have
/// made an agent of that id since.
async fn is_there_by_us(
    agent: &Agent,
    place: &Place,
    link: &Link,
    context: &Context,
) -> Result<bool, ReconcileError> {
    let record = agent.status.clone().unwrap_or_default();
    if plan::is_confirmed(&record, place) {
        return Ok(true);
    }
    let now = Some(Instant::now());
    let observed = context.pool.observe(&place.gateway_uid, now).await?;
    if !observed.config.valid {
        return Err(WriteError::ConfigInvalid {
            message: "the config document is broken".to_owned(),
            issues: observed.config.issues.clone(),
        }
        .into());
    }
    let entry = observed.config.agent(&place.agent_id);
    let own = text::mark(agent, context);
    let judge = |found| plan::ownership(&record, Some(place), entry, found, &own);
    if judge(None) != plan::Ownership::Foreign {
        // Free: the writer, which waits for what is under way, has the last word.
        return Ok(true);
    }
    let found = observe::mark(link, &place.agent_id).await?;
    Ok(judge(found.as_ref()) != plan::Ownership::Foreign)
}

/// Takes our heartbeat and our mark out of an agent that the gateway never deletes.
async fn retire(
    agent: &Agent,
    place: &Place,
    own: &mark::Mark,
    link: &Link,
    writer: &gateway::Writer,
) -> Result<(), ReconcileError> {
    let own_keys = agent.status.iter().flat_map(|status| &status.own_keys);
    let wish = EntryWish {
        agent_id: place.agent_id.clone(),
        set: BTreeMap::new(),
        unset: own_keys
            .filter(|path| path.starts_with("heartbeat."))
            .cloned()
            .collect(),
        must_be_absent: false,
        was_there: false,
        may_be_created: false,
        foreign_heartbeats: gateway::ForeignHeartbeats::Stop,
    };
    // Twice: an agent that is alone on a gateway can have another workspace once its entry has changed (seen on 2026.9.6).
    unmark(&place.agent_id, own, link).await?;
    writer.apply(wish).await?;
    unmark(&place.agent_id, own, link).await?;
    Ok(())
}

/// Takes our mark out of the agent's AGENTS.md, if it is there. Answers whether the agent is.
async fn unmark(agent_id: &str, own: &mark::Mark, link: &Link) -> Result<bool, ReconcileError> {
    let name = FileName::Agents.as_str();
    let file = match link.files_get(agent_id, name).await {
        Ok(file) => file,
        Err(CallError::AgentNotFound { .. }) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let text = file.content.as_deref();
    if let Some(text) = text.filter(|text| mark::Mark::find(text).as_ref() == Some(own)) {
        let unmarked = mark::strip(text);
        link.files_set(agent_id, name, unmarked, file.hash.as_deref())
            .await?;
    }
    Ok(true)
}

/// Whether the deletion waits for the end of a pause. Nothing waits for that whose Gateway or namespace goes too.
fn waits_for_pause(agent: &Agent, gateway: Option<&Gateway>, context: &Context) -> bool {
    let namespace = agent.namespace().unwrap_or_default();
    !context.world.is_terminating(&namespace)
        && gateway.is_some_and(|gateway| {
            gateway.spec.paused && gateway.metadata.deletion_timestamp.is_none()
        })
}

/// How long the deletion may still wait for the gateway: as long as it is paused, long while it is only away, short when the Gateway or the namespace goes too.
/// Never less than the short time since this process met what it waits for, however old the deletion is: after a start nothing was
/// tried yet.
fn time_left(
    agent: &Agent,
    gateway: Option<&Gateway>,
    tried: Duration,
    context: &Context,
) -> Duration {
    let short = |tried| context.settings.teardown_deadline.saturating_sub(tried);
    let long = context
        .settings
        .deletion_deadline
        .saturating_sub(age_of_deletion(agent));
    let namespace_goes = context
        .world
        .is_terminating(&agent.namespace().unwrap_or_default());
    match gateway {
        None => short(tried),
        Some(_) if namespace_goes => short(tried),
        Some(gateway) if gateway.metadata.deletion_timestamp.is_some() => {
            short(tried.min(age_of_deletion(gateway)))
        }
        // Somebody wants it to wait.
        gateway if waits_for_pause(agent, gateway, context) => Duration::MAX,
        Some(_) => long.max(short(tried)),
    }
}

/// Says in the status what the deletion waits for.
async fn say_waiting(
    agent: &Agent,
    place: &Place,
    is_paused: bool,
    context: &Context,
) -> Result<(), ReconcileError> {
    let why = if is_paused {
        "is paused"
    } else {
        "does not answer or could not delete the agent yet"
    };
    let message = format!(
        "Deletion waits for Gateway {}, which {why}. To let go without it: kubectl annotate oca {} mission.openclaw.dev/force-delete=true",
        place.gateway.name,
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
