//! Signs of life: brings those that a gateway tells of to their Agents, and has Agents looked at whose presence turned.
//!
//! What they mean is decided in `plan::presence`; an Agent that is heard of as expected costs nothing here.

use std::{collections::HashSet, sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use tokio::{sync::mpsc, time::MissedTickBehavior};

use crate::{api::Agent, controller::context::Context, plan::places, presence::AgentKey};

/// How often it is looked for agents that fell silent: a small part of the shortest time after which one counts as offline.
const SWEEP: Duration = Duration::from_secs(5);

/// How often it is looked for what is kept of Agents that are gone. Those that our finalizer held are forgotten as they go; these went without
/// it.
const PRUNE: Duration = Duration::from_mins(1);

/// Has Agents looked at that came back or fell silent.
pub(super) async fn follow(context: Arc<Context>, mut turned: mpsc::UnboundedReceiver<AgentKey>) {
    let presence = context.directory.presence();
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut prune = tokio::time::interval(PRUNE);
    prune.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut missed = HashSet::new();
    loop {
        let agents = tokio::select! {
            agent = turned.recv() => match agent {
                Some(agent) => vec![agent],
                None => return,
            },
            _ = sweep.tick() => {
                if context.directory.awaits_tokens() {
                    context.directory.expect_only(&uids(&context));
                }
                presence.overdue(Timestamp::now())
            }
            _ = prune.tick() => {
                // What is known is looked at first: who was known before the objects were read was among them, if it is there.
                let mut known = context.directory.uids();
                known.extend(presence.uids());
                for uid in gone(&mut missed, known, &uids(&context)) {
                    context.forget_agent(&uid);
                }
                continue;
            }
        };
        context.world.touch_agents(agents.iter().map(reference));
    }
}

/// Takes a sign of life of an agent on a gateway in. It is of the Agent that is confirmed there: what is about to leave another place may
/// still beat at that one, and says nothing about the new.
pub(super) fn heard(context: &Context, gateway_uid: &str, agent_id: &str) {
    let now = Timestamp::now();
    for agent in context.world.agents_with_id(agent_id) {
        let place = agent.status.as_ref().and_then(places::present);
        let is_there = place.is_some_and(|place| {
            place.gateway_uid == gateway_uid
                && place.agent_id == agent_id
                && place.state.is_confirmed()
        });
        if is_there {
            context
                .directory
                .presence()
                .seen(&AgentKey::of(&agent), now);
        }
    }
}

fn reference(agent: &AgentKey) -> ObjectRef<Agent> {
    ObjectRef::new(&agent.name).within(&agent.namespace)
}

/// The uids of all Agents that are there.
fn uids(context: &Context) -> HashSet<String> {
    let agents = context.world.agents.state();
    agents.iter().filter_map(|agent| agent.uid()).collect()
}

/// Who of the `known` is gone: not `there` now, and `missed` at the look before. A list after an interruption may be older than what the
/// watch has told, so one look alone says nothing.
fn gone(
    missed: &mut HashSet<String>,
    known: HashSet<String>,
    there: &HashSet<String>,
) -> HashSet<String> {
    let (gone, first): (HashSet<_>, HashSet<_>) = known
        .into_iter()
        .filter(|uid| !there.contains(uid))
        .partition(|uid| missed.contains(uid));
    *missed = first;
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_missed_once_is_kept_and_who_is_missed_twice_is_gone() {
        let set = |uids: &[&str]| -> HashSet<String> {
            uids.iter().map(|uid| (*uid).to_owned()).collect()
        };
        let mut missed = HashSet::new();
        let known = || set(&["here", "blinked", "went"]);
        assert!(gone(&mut missed, known(), &known()).is_empty());
        assert!(gone(&mut missed, known(), &set(&["here"])).is_empty());
        let there = set(&["here", "blinked"]);
        assert_eq!(gone(&mut missed, known(), &there), set(&["went"]));
        // Back in between, it is missed for the first time again.
        let known = || set(&["here", "blinked"]);
        assert!(gone(&mut missed, known(), &set(&["here"])).is_empty());
    }
}
