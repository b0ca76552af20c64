//! An API server that ends and comes back on the same data.

use crate::{
    bed::{audit::per_second, operator},
    manifest::{agent, agents},
    world::{alone, ids, say},
};

const AGENTS: usize = 10;
/// Requests that the operator may make within one second when its watches resume: five lists, five watches, and what each of so few
/// objects needs.
const STORM: usize = 40;

#[test]
fn watches_resume_without_a_storm_when_the_api_server_was_killed() {
    alone("api", async |world| {
        world.start_operator(&["--resync-interval=5s"]).await;
        world.apply_team("api").await;
        world.apply(&agents("api", 0..AGENTS)).await;
        world.agents_ready(AGENTS).await;
        world.told_of("api", AGENTS).await;
        world.compared(AGENTS, 1).await;

        let (requests, calls) = (world.requests().len(), world.relay.counts());
        world.plane.kill_api_server().await.unwrap();
        world.plane.start_api_server_again().await.unwrap();
        world.compared(AGENTS, 2).await;
        assert_eq!(world.writes_since(requests), []);
        assert_eq!(world.gateway_writes_since(&calls), [].into());

        let name = format!("a{AGENTS}");
        world.apply(&agent("api", &name)).await;
        world.agents_ready(AGENTS + 1).await;
        assert_eq!(world.our_roster().await, ids("api", 0..AGENTS + 1));
        let all = world.requests();
        let busiest = per_second(&all[requests..], operator::USER)
            .into_values()
            .max();
        say(&format!(
            "after a restart of the API server the operator's busiest second has {busiest:?} requests"
        ));
        assert!(busiest.is_some_and(|count| count <= STORM), "{busiest:?}");
    });
}
