//! ConfigMaps that texts stand in: who is looked at when one changes, how many at once, and what people are told of it.
//!
//! What of a ConfigMap matters to an Agent is decided in `plan::sources`.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference};
use kube::{Api, ResourceExt, runtime::reflector::ObjectRef};

use crate::{
    api::Agent,
    controller::{context::Context, queue::Queue},
    plan::sources::{Data, Sources},
    unwind::{self, Caught},
};

/// Time between two Agents that are looked at because of one ConfigMap, so that a change which reaches a whole fleet leaves room for others.
const SPACING: Duration = Duration::from_millis(20);
/// When to read a ConfigMap again that could not be read.
const RETRY: Duration = Duration::from_secs(10);

/// Those whose texts may stand in a ConfigMap because one object names it.
#[derive(Debug)]
pub(super) struct Users {
    /// The Board or the Gateway that names it for them; none where they do themselves.
    pub(super) owner: Option<ObjectReference>,
    /// The Agents.
    pub(super) agents: Vec<ObjectRef<Agent>>,
}

/// Has Agents looked at whose texts have changed in a ConfigMap.
pub(super) async fn follow(context: Arc<Context>, changed: Queue<ObjectRef<ConfigMap>>) {
    loop {
        let turn = changed.next().await;
        let name = turn.object();
        match unwind::catch(spread(&context, name)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(config_map = %name, %error, "a ConfigMap that has changed could not be read; tried again");
                turn.again_after(RETRY);
            }
            Err(Caught(place)) => {
                let place = place.map(tracing::field::display);
                tracing::error!(place, config_map = %name, "a change of a ConfigMap could not be followed; its Agents find it at their next comparison");
            }
        }
    }
}

async fn spread(context: &Context, name: &ObjectRef<ConfigMap>) -> Result<(), kube::Error> {
    let namespace = name.namespace.clone().unwrap_or_default();
    let map = (namespace.clone(), name.name.clone());
    let users = context.world.users_of_config_map(&map);
    // Each Agent once, with what is known of its texts.
    let mut known: HashMap<ObjectRef<Agent>, Option<Sources>> = HashMap::new();
    for agent in users.iter().flat_map(|users| &users.agents) {
        if let Some(object) = context.world.agents.get(agent) {
            let uid = object.uid().unwrap_or_default();
            known.insert(agent.clone(), context.texts.get(&uid));
        }
    }
    // Who is about to gather texts anyway, as all are after a start, needs no look of ours at the ConfigMap.
    let data = if known.values().any(Option::is_some) {
        let api = Api::<ConfigMap>::namespaced(context.clients.request.clone(), &namespace);
        let there = api.get_opt(&name.name).await?;
        there.and_then(|map| map.data).unwrap_or_default()
    } else {
        Data::new()
    };
    let differ: HashSet<&ObjectRef<Agent>> = known
        .iter()
        .filter(|(_, sources)| sources.as_ref().is_some_and(|it| it.differ(&map, &data)))
        .map(|(agent, _)| agent)
        .collect();
    let unknown = known.iter().filter(|(_, sources)| sources.is_none());
    context
        .world
        .touch_agents(unknown.map(|(agent, _)| agent.clone()));
    // In the order of their names, so that those of one namespace come together.
    let sorted: BTreeMap<_, _> = differ
        .iter()
        .map(|agent| ((&agent.namespace, &agent.name), *agent))
        .collect();
    context
        .world
        .touch_agents_spaced(sorted.into_values(), SPACING);
    if differ.is_empty() {
        return Ok(());
    }
    tracing::info!(config_map = %name, agents = differ.len(), "texts in a ConfigMap have changed; the Agents that use them are compared");
    for Users { owner, agents } in users {
        let touched = agents.iter().filter(|agent| differ.contains(agent)).count();
        if let Some(owner) = owner.filter(|_| touched > 0) {
            let who = if touched == 1 {
                "1 Agent uses".to_owned()
            } else {
                format!("{touched} Agents use")
            };
            let note = format!(
                "Texts in ConfigMap {} have changed that {who}: each is compared with them now, {} a second.",
                name.name,
                Duration::from_secs(1).as_millis() / SPACING.as_millis()
            );
            context.tell(&owner, "TextsChanged", &note);
        }
    }
    Ok(())
}
