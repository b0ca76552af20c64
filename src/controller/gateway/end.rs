//! The end of a Gateway: it waits for the Agents on it, gives heartbeats of others back, and closes the link.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use kube::{
    Api, Resource, ResourceExt,
    api::{DynamicObject, ListParams},
    core::ApiResource,
    runtime::reflector::ObjectRef,
};

use super::{VISIT_WITHOUT_SECRET, connect::connect, kept_heartbeats, release_kept, write_status};
use crate::{
    api::{Agent, Gateway, annotation::FINALIZER},
    controller::{
        context::Context,
        obstacles::Obstacle,
        owned,
        runner::{Next, ReconcileError},
    },
    gateway::{Journal as _, Released, Topic, WriteError},
    kube::apply,
    plan::gateway::waits_for,
};

/// Time between two tries to give heartbeats back.
const RETRY: Duration = Duration::from_secs(2);

/// Ends a Gateway: waits for claims, gives heartbeats of others back, closes the link.
pub(super) async fn end(gateway: &Gateway, context: &Context) -> Result<Next, ReconcileError> {
    let uid = gateway.uid().unwrap_or_default();
    if !gateway
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == FINALIZER)
    {
        context.forget_gateway(&uid);
        return Ok(Next::Change);
    }
    // Agents that are being deleted need the link for their cleanup.
    connect(gateway, context).await?;
    if context.down_since(&uid).is_some() {
        context.obstacles.met(&uid, Obstacle::Away);
    } else {
        context.obstacles.overcome(&uid, Obstacle::Away);
    }
    owned::reconcile(gateway, None, context).await?;
    let holders = holders(gateway, context).await?;
    if !holders.is_empty() {
        write_status(gateway, context, vec![waits_for(holders)], None).await?;
        return Ok(Next::Within(VISIT_WITHOUT_SECRET));
    }
    if !kept_heartbeats(gateway, context).is_empty() {
        match give_back(gateway, context).await? {
            GivenBack::Yes => {}
            GivenBack::No(why) => context.warn(
                &gateway.object_ref(&()),
                "HeartbeatsLeft",
                &format!("{why}, so the empty heartbeat blocks that kept agents of others beating stay in its config."),
            ),
            GivenBack::Later => return Ok(Next::Within(RETRY)),
        }
    }
    apply::remove_finalizer(&context.clients.request, gateway, FINALIZER).await?;
    context.metrics.gateway_gone(
        &gateway.namespace().unwrap_or_default(),
        &gateway.name_any(),
    );
    context.forget_gateway(&uid);
    Ok(Next::Change)
}

/// What became of the kept heartbeats of a Gateway that goes.
enum GivenBack {
    /// They are released, or another Gateway object's to release.
    Yes,
    /// They stay as they are, for this reason.
    No(&'static str),
    /// It is to be tried again.
    Later,
}

/// Gives the heartbeats of others back, or to another Gateway object, or up: a Gateway that goes does not wait for ever.
async fn give_back(gateway: &Gateway, context: &Context) -> Result<GivenBack, ReconcileError> {
    let uid = gateway.uid().unwrap_or_default();
    let released = if gateway.spec.paused {
        Ok(None)
    } else {
        release_kept(gateway, context).await
    };
    let kept = kept_heartbeats(gateway, context);
    if kept.is_empty() || hand_over(&kept, context, &uid).await? {
        return Ok(GivenBack::Yes);
    }
    if gateway.spec.paused {
        return Ok(GivenBack::No("The Gateway was paused"));
    }
    if matches!(released, Ok(Some(Released::StillNeeded))) {
        return Ok(GivenBack::No(
            "Another agent on the gateway has a heartbeat block, without theirs they would fall silent",
        ));
    }
    let obstacle = if context.down_since(&uid).is_some() {
        Obstacle::Away
    } else {
        Obstacle::Failing
    };
    if context.obstacles.met(&uid, obstacle) >= context.settings.teardown_deadline {
        return Ok(GivenBack::No("The gateway could not be asked in time"));
    }
    released.map(|_| GivenBack::Later)
}

/// Where Agents are on the same gateway process through other Gateway objects, the kept heartbeats are theirs to release from now on;
/// one that came later does not know of them yet. Answers whether there is such an object.
async fn hand_over(
    kept: &BTreeSet<String>,
    context: &Context,
    uid: &str,
) -> Result<bool, ReconcileError> {
    let mut siblings = context.pool.siblings(uid);
    siblings.retain(|sibling| sibling != uid && !context.world.claims_on(sibling).is_empty());
    let heirs: Vec<_> = siblings
        .iter()
        .filter_map(|sibling| context.known_journal(sibling))
        .collect();
    for heir in &heirs {
        heir.record(Topic::KeptHeartbeats, kept)
            .await
            .map_err(|error| WriteError::Journal(Arc::new(error)))?;
    }
    Ok(!heirs.is_empty())
}

/// The Agents that hold a claim, by `namespace/name`. The cache may lag behind a claim that was just made, so the last word is the API server's.
async fn holders(gateway: &Gateway, context: &Context) -> Result<Vec<String>, ReconcileError> {
    let uid = gateway.uid().unwrap_or_default();
    let known = context.world.claims_on(&uid);
    if !known.is_empty() {
        let name = |agent: &ObjectRef<Agent>| {
            format!(
                "{}/{}",
                agent.namespace.as_deref().unwrap_or_default(),
                agent.name
            )
        };
        return Ok(known.iter().map(name).collect());
    }
    // Untyped, so that an object which no longer parses still counts.
    let agents = Api::<DynamicObject>::all_with(
        context.clients.request.clone(),
        &ApiResource::erase::<Agent>(&()),
    );
    let selected =
        ListParams::default().fields(&format!("status.gateway.name={}", gateway.name_any()));
    let holds = |agent: &DynamicObject| {
        let places = agent
            .data
            .pointer("/status/places")
            .and_then(|places| places.as_array());
        places.is_some_and(|places| {
            places
                .iter()
                .any(|place| place.get("gatewayUid").and_then(|held| held.as_str()) == Some(&uid))
        })
    };
    let agents = agents.list(&selected).await?;
    Ok(agents
        .iter()
        .filter(|agent| holds(agent))
        .map(|agent| {
            format!(
                "{}/{}",
                agent.namespace().unwrap_or_default(),
                agent.name_any()
            )
        })
        .collect())
}
