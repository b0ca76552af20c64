//! Gateways: credential, link, conditions, the beat of resyncs, and an end that waits for claims.

mod connect;
mod device;
mod end;
mod orphans;
mod secret;

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};

use crate::{
    api::{
        Agent, Gateway, GatewayStatus,
        agent::Role,
        annotation::FINALIZER,
        condition::{self, Judgement},
        reason::Reason,
        reference::GatewayName,
    },
    controller::{
        context::Context,
        owned,
        runner::{Next, ReconcileError},
    },
    gateway::{Journal as _, LinkState, Released, Topic},
    kube::apply,
    plan::{
        gateway::{LinkView, judge},
        orphans::{self as plan_orphans, Orphan},
        pause, seats,
    },
};
use connect::{connect, view};

/// Time between two looks at the Secret and the link. Secrets are not watched: that would need the right to list them all.
const VISIT: Duration = Duration::from_mins(1);
/// The same while there is no usable credential: somebody is probably about to apply it.
const VISIT_WITHOUT_SECRET: Duration = Duration::from_secs(10);

/// Reconciles one Gateway.
pub(super) async fn reconcile(
    gateway: Arc<Gateway>,
    context: &Context,
) -> Result<Next, ReconcileError> {
    let world = &context.world;
    let gateway = world.latest_gateways.or_newer(gateway, &world.gateways);
    if gateway.metadata.deletion_timestamp.is_some() {
        return end::end(&gateway, context).await;
    }
    let gateway = if gateway
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == FINALIZER)
    {
        gateway
    } else {
        let gateway =
            Arc::new(apply::add_finalizer(&context.clients.request, &*gateway, FINALIZER).await?);
        context.world.latest_gateways.remember(&gateway);
        gateway
    };
    let uid = gateway.uid().unwrap_or_default();
    let problem = connect(&gateway, context).await?;
    if !gateway.spec.paused {
        release_kept(&gateway, context).await?;
    }
    let view = view(context, &uid);
    let main_agent = main_agent(&gateway, context).await?;
    let mut judgements = judge(
        &gateway.spec.url,
        problem.as_ref(),
        &view,
        was_ready(&gateway),
    );
    judgements.push(main_agent);
    judgements.push(pause::judge_gateway(
        &gateway,
        pending(&gateway, context).unwrap_or_default(),
    ));
    let (is_due, next_resync) = context.resync(&uid);
    if is_due {
        // First of all: what fails below must not cost the Agents this comparison.
        let agents = context.world.agents_on(&name_of(&gateway));
        context.world.touch_agents(agents);
    }
    let found = if is_due {
        orphans::look(&gateway, context).await.unwrap_or_else(|error| {
            tracing::info!(%error, "agents without an Agent could not be looked for; they are at the next comparison");
            None
        })
    } else {
        None
    };
    let orphans = orphans::known(found, &gateway, context);
    judgements.extend(orphans.as_deref().map(plan_orphans::told));
    write_status(&gateway, context, judgements, orphans.as_deref()).await?;
    let namespace = gateway.namespace().unwrap_or_default();
    context.metrics.gateway_connected(
        &namespace,
        &gateway.name_any(),
        matches!(view, LinkView::Up { .. }),
    );

    let visit = if problem.is_some() {
        VISIT_WITHOUT_SECRET
    } else {
        VISIT
    };
    Ok(Next::Within(visit.min(next_resync)))
}

/// Whether the status says Ready for the newest generation.
fn was_ready(gateway: &Gateway) -> bool {
    let conditions = gateway.status.iter().flat_map(|status| &status.conditions);
    let mut ready = conditions.filter(|condition| condition.type_ == condition::READY);
    ready.any(|ready| {
        ready.status == condition::Status::True.as_str()
            && ready.observed_generation == gateway.metadata.generation
    })
}

/// The agents of others that got an empty heartbeat block through this Gateway object.
fn kept_heartbeats(gateway: &Gateway, context: &Context) -> BTreeSet<String> {
    context.journal(gateway).recorded(Topic::KeptHeartbeats)
}

/// Takes the empty heartbeat blocks of others out again once no Agent has a claim on the gateway, through whichever Gateway object.
/// Nothing where there are none, or it could not be tried.
async fn release_kept(
    gateway: &Gateway,
    context: &Context,
) -> Result<Option<Released>, ReconcileError> {
    let uid = gateway.uid().unwrap_or_default();
    let kept = kept_heartbeats(gateway, context);
    let sharing = context.pool.siblings(&uid);
    if kept.is_empty()
        || sharing
            .iter()
            .any(|uid| !context.world.claims_on(uid).is_empty())
    {
        return Ok(None);
    }
    let Some(writer) = context.pool.writer(&uid) else {
        return Ok(None);
    };
    Ok(Some(writer.release_kept(&kept).await?))
}

/// The agent of role Main: the declared one, or one that a person applied.
async fn main_agent(gateway: &Gateway, context: &Context) -> Result<Judgement, ReconcileError> {
    let name = name_of(gateway);
    let agents = context.world.agents_directly_on(&name);
    // One of another namespace is nobody's to speak of here.
    let own = agents
        .iter()
        .map(|agent| &**agent)
        .filter(|agent| agent.namespace().as_ref() == Some(&name.namespace));
    owned::reconcile(gateway, seats::holder(Role::Main, own), context).await
}

fn name_of(gateway: &Gateway) -> GatewayName {
    GatewayName {
        name: gateway.name_any(),
        namespace: gateway.namespace().unwrap_or_default(),
    }
}

/// How many Agents wait for the end of the pause that the Gateway is under.
fn pending(gateway: &Gateway, context: &Context) -> Option<usize> {
    if !gateway.spec.paused {
        return None;
    }
    let (world, uid) = (&context.world, gateway.uid().unwrap_or_default());
    let mut agents: HashSet<_> = world.agents_on(&name_of(gateway)).into_iter().collect();
    agents.extend(world.claims_on(&uid));
    let waits = |agent: &Agent| {
        let status = agent.status.as_ref();
        let mut places = status.into_iter().flat_map(|status| &status.places);
        agent.metadata.deletion_timestamp.is_some()
            || status.is_some_and(|status| !status.pending.is_empty())
            || places.any(|place| place.gateway_uid == uid && place.leaving_since.is_some())
    };
    let agents = agents.iter().filter_map(|agent| world.agents.get(agent));
    Some(agents.filter(|agent| waits(agent)).count())
}

/// Writes the status if it says something else than before.
async fn write_status(
    gateway: &Gateway,
    context: &Context,
    judgements: Vec<Judgement>,
    orphans: Option<&[Orphan]>,
) -> Result<(), ReconcileError> {
    let uid = gateway.uid().unwrap_or_default();
    // The journal writes these under its own field manager.
    let known = GatewayStatus {
        kept_heartbeats: Vec::new(),
        deleted_agents: Vec::new(),
        ..gateway.status.clone().unwrap_or_default()
    };
    let mut next = known.clone();
    if let Some(LinkState::Up(hello)) = context
        .pool
        .get(&uid)
        .map(|link| link.state().borrow().clone())
    {
        next.version = Some(hello.version.clone());
        next.boot_id = Some(hello.boot_id.clone());
    }
    next.agents = i32::try_from(context.world.claims_on(&uid).len()).ok();
    if let Some(orphans) = orphans {
        orphans::report(orphans, gateway, &mut next, context);
    }
    next.pending = pending(gateway, context).and_then(|count| i32::try_from(count).ok());
    next.observed_generation = gateway.metadata.generation;
    warn_of_failures(gateway, context, &known, &judgements);
    condition::GATEWAY.merge(
        &mut next.conditions,
        judgements,
        gateway.metadata.generation,
        Timestamp::now(),
    );
    if next != known {
        let written = apply::patch_status(&context.clients.request, gateway, &next).await?;
        context.world.latest_gateways.remember(&Arc::new(written));
    }
    Ok(())
}

/// One Warning per new cause. A gateway that starts is not a cause: it is waited for.
fn warn_of_failures(
    gateway: &Gateway,
    context: &Context,
    known: &GatewayStatus,
    judgements: &[Judgement],
) {
    for judgement in judgements
        .iter()
        .filter(|judgement| judgement.status == condition::Status::False)
        // A main agent that is not Ready tells why itself; no pause is no failure, and no orphan neither.
        .filter(|judgement| {
            !matches!(
                judgement.reason,
                Reason::GatewayNotReady
                    | Reason::AgentNotReady
                    | Reason::NotPaused
                    | Reason::NoneOrphaned
            )
        })
    {
        let before = condition::find(&known.conditions, judgement.type_);
        if before.is_none_or(|before| before.reason != judgement.reason.as_str()) {
            context.warn(
                &gateway.object_ref(&()),
                judgement.reason.as_str(),
                &judgement.message,
            );
        }
    }
}
