//! Looks for agents that carry this cluster's mark and that no Agent stands for; `plan::orphans` judges.

use futures_util::future;
use kube::{Api, Resource as _, ResourceExt, runtime::reflector::ObjectRef};
use tokio::time::Instant;

use super::name_of;
use crate::{
    api::{Agent, Gateway, GatewayStatus},
    controller::{agent::mark_of, context::Context},
    gateway::{CallError, Link},
    plan::{
        admission,
        mark::Mark,
        orphans::{self, MOST_LISTED, Orphan},
    },
};

/// Files that are read at once: the link has to serve others meanwhile.
const AT_ONCE: usize = 8;

/// What is found on the gateway now. Nothing where it cannot be looked at.
pub(super) async fn look(
    gateway: &Gateway,
    context: &Context,
) -> Result<Option<Vec<Orphan>>, CallError> {
    let uid = gateway.uid().unwrap_or_default();
    let Some(link) = context.link(&uid) else {
        return Ok(None);
    };
    // The list before the claims, and the marks after them: an agent that goes meanwhile has no mark any more, and one that comes is not
    // in the list.
    let observed = context.pool.observe(&uid, Some(Instant::now())).await?;
    if !observed.config.valid {
        return Ok(None);
    }
    let sharing = context.pool.siblings(&uid);
    let entries = observed.config.entries();
    let ids = entries.into_iter().flat_map(|entries| entries.keys());
    let unclaimed: Vec<String> = ids
        .filter(|id| !is_claimed(id, &sharing, context))
        .cloned()
        .collect();
    let mut orphans = Vec::new();
    for ids in unclaimed.chunks(AT_ONCE) {
        let looked = ids.iter().map(|id| orphan(id, gateway, &link, context));
        let found = future::try_join_all(looked).await?;
        orphans.extend(found.into_iter().flatten());
    }
    orphans.sort();
    Ok(Some(orphans))
}

async fn orphan(
    agent_id: &str,
    gateway: &Gateway,
    link: &Link,
    context: &Context,
) -> Result<Option<Orphan>, CallError> {
    // A file that the gateway does not read names nobody, and hides no other orphan.
    let Some(mark) = mark_of(link, agent_id).await? else {
        return Ok(None);
    };
    let object = ObjectRef::<Agent>::new(&mark.name).within(&mark.namespace);
    let object = context.world.agents.get(&object);
    if object.is_none() && mark.cluster_id == context.cluster_id && is_stored(&mark, context).await
    {
        return Ok(None);
    }
    let means_it = object.as_ref().is_some_and(|object| {
        let is_known = |uid: &str| context.down_since(uid).is_none();
        means(object, agent_id, gateway, context) || orphans::may_hold(object, agent_id, is_known)
    });
    let judged = orphans::judge(
        agent_id,
        &mark,
        &context.cluster_id,
        object.as_deref(),
        means_it,
    );
    Ok(judged)
}

/// Whether there is an Agent that the mark names, be it one that does not parse: another version wrote it, and its agent is no orphan.
/// Where that cannot be told, there may be one.
async fn is_stored(mark: &Mark, context: &Context) -> bool {
    let api = Api::<Agent>::namespaced(context.clients.request.clone(), &mark.namespace);
    match api.get_metadata_opt(&mark.name).await {
        Ok(object) => object.is_some(),
        Err(error) => {
            tracing::info!(%error, agent = mark.name, namespace = mark.namespace, "it could not be told whether the Agent of a mark is there");
            true
        }
    }
}

/// Whether an Agent is to be the agent of this id on this Gateway.
fn means(agent: &Agent, agent_id: &str, gateway: &Gateway, context: &Context) -> bool {
    let namespace = agent.namespace().unwrap_or_default();
    let board = agent.spec.board_ref.as_ref();
    let board = board.and_then(|board| context.world.board(board, &namespace));
    let wanted = admission::gateway_of(agent, board.as_deref());
    wanted.is_ok_and(|wanted| {
        wanted == name_of(gateway)
            && admission::id_of(agent, &wanted).is_ok_and(|id| id == agent_id)
    })
}

/// The orphans as they are known now: what was found, or found last, but for those that have been claimed since. Nothing before the first
/// look of this process.
pub(super) fn known(
    found: Option<Vec<Orphan>>,
    gateway: &Gateway,
    context: &Context,
) -> Option<Vec<Orphan>> {
    let uid = gateway.uid().unwrap_or_default();
    let sharing = context.pool.siblings(&uid);
    let mut orphans = found.or_else(|| context.orphans.get(&uid))?;
    orphans.retain(|orphan| !is_claimed(&orphan.agent_id, &sharing, context));
    Some(orphans)
}

/// Puts them into the status, warns of those that are new, and remembers all of them.
pub(super) fn report(
    orphans: &[Orphan],
    gateway: &Gateway,
    status: &mut GatewayStatus,
    context: &Context,
) {
    let uid = gateway.uid().unwrap_or_default();
    let told = context.orphans.get(&uid).unwrap_or_default();
    context.orphans.set(&uid, orphans.to_vec());
    let new = orphans::news(orphans, &status.orphaned_agents, &told);
    if !new.is_empty() {
        let told = orphans::told(&new);
        let reference = gateway.object_ref(&());
        context.warn(&reference, told.reason.as_str(), &told.message);
    }
    let ids = orphans.iter().map(|orphan| orphan.agent_id.clone());
    status.orphaned_agents = ids.take(MOST_LISTED).collect();
}

fn is_claimed(agent_id: &str, sharing: &[String], context: &Context) -> bool {
    let agents = context.world.agents_with_id(agent_id);
    orphans::is_claimed(agents.iter().map(|agent| &**agent), agent_id, sharing)
}
