//! A gateway that cannot be reached for a while: what its Agents say, and what saying it costs.

use std::collections::BTreeMap;

use mission_operator::api::{Agent, condition};

use crate::{
    bed::audit::Request,
    manifest::agents,
    world::{PATIENCE, World, alone, ready, reason},
};

const RESYNC: &str = "--resync-interval=5s";
const AGENTS: usize = 5;
/// Tries to connect that fail while the test looks on.
const TRIES: usize = 4;

/// Writes to Agents since the first `from` requests, by name.
fn agent_writes(world: &World, from: usize) -> BTreeMap<String, Vec<Request>> {
    let mut writes: BTreeMap<String, Vec<Request>> = BTreeMap::new();
    for request in world.writes_since(from) {
        if request.resource.starts_with("agents") {
            writes
                .entry(request.name.clone())
                .or_default()
                .push(request);
        }
    }
    writes
}

/// Ready is Unknown, because the gateway does not answer.
fn is_unreachable(agent: &Agent) -> bool {
    let conditions = agent.status.iter().flat_map(|status| &status.conditions);
    ready(conditions) == Some(condition::Status::Unknown.as_str())
        && reason(agent) == Some("GatewayUnreachable")
}

#[test]
fn a_short_outage_changes_nothing_on_the_agents_and_a_long_one_is_said_once() {
    alone("outage", async |world| {
        world
            .start_operator(&[RESYNC, "--unreachable-after=10m"])
            .await;
        world.apply_team("outage").await;
        world.apply(&agents("outage", 0..AGENTS)).await;
        world.agents_ready(AGENTS).await;
        world.compared(AGENTS, 1).await;

        let requests = world.requests().len();
        world.relay.cut();
        world
            .until_gateway("outage", "the Gateway says that it is away", |gateway| {
                let conditions = gateway.status.iter().flat_map(|status| &status.conditions);
                ready(conditions) != Some("True")
            })
            .await;
        world.relay.restore();
        world.gateway_ready("outage").await;
        world.compared(AGENTS, 1).await;
        assert_eq!(agent_writes(world, requests), BTreeMap::new());

        world.stop_operator().await;
        world
            .start_operator(&[RESYNC, "--unreachable-after=2s"])
            .await;
        world.compared(AGENTS, 1).await;
        let requests = world.requests().len();
        world.relay.cut();
        world
            .until_agents("all Agents say that the gateway is away", |agents| {
                agents.iter().all(|agent| is_unreachable(agent))
            })
            .await;
        let refused = world.relay.seen().refused;
        let tried = world.relay.until(|seen| seen.refused >= refused + TRIES);
        tokio::time::timeout(PATIENCE, tried)
            .await
            .expect("the link is not tried again");
        let writes = agent_writes(world, requests);
        assert_eq!(writes.len(), AGENTS);
        for (name, writes) in writes {
            assert_eq!(writes.len(), 1, "{name}: {writes:#?}");
            assert_eq!(
                writes[0].permission().to_string(),
                "patch agents/status.mission.openclaw.dev"
            );
        }

        world.relay.restore();
        world.agents_ready(AGENTS).await;
    });
}
