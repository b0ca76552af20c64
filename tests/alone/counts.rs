//! What many Agents cost the gateway, counted on the wire and in the gateway's own log.

use std::time::Instant;

use kube::ResourceExt as _;
use mission_operator::api::Agent;

use crate::{
    bed::relay::Relay,
    manifest::{agent, agents, team, together},
    world::{alone, ids, is_ready, reason, say},
};

#[test]
fn twenty_five_agents_cost_two_patches_at_most_and_one_connection() {
    alone("many", async |world| {
        world.start_operator(&[]).await;
        world.apply_team("many").await;
        let began = Instant::now();
        world.apply(&agents("many", 0..25)).await;
        world.agents_ready(25).await;
        let seconds = began.elapsed().as_secs_f64();
        say(&format!(
            "25 Agents: {seconds:.1} s from kubectl apply to the last Ready; calls: {:?}",
            world.relay.counts()
        ));

        let patches = world.relay.count("config.patch");
        assert!((1..=2).contains(&patches), "{patches} patches");
        assert_eq!(world.relay.connections(), 1);
        let log = std::fs::read_to_string(world.gateway.log()).unwrap();
        let logged = log
            .lines()
            .filter(|line| line.contains("config.patch write "))
            .count();
        assert_eq!(logged, patches, "by the gateway's own log");
        assert_eq!(world.our_roster().await, ids("many", 0..25));
    });
}

#[test]
fn an_agent_that_the_gateway_refuses_costs_one_more_write_and_is_left_alone_until_it_is_edited() {
    alone("refused", async |world| {
        world.start_operator(&[]).await;
        world.apply_team("refused").await;
        let bad =
            agent("refused", "bad").replace("{checklist", "{target: carrier-pigeon, checklist");
        let all = together(&[&agents("refused", 0..25), &bad]);
        world.apply(&all).await;
        let others_ready = |agents: &[&Agent]| {
            let (bad, others): (Vec<&Agent>, Vec<&Agent>) = agents
                .iter()
                .copied()
                .partition(|agent| agent.name_any() == "bad");
            let refused = bad.iter().all(|agent| reason(agent) == Some("Rejected"));
            agents.len() == 26 && refused && others.iter().all(|agent| is_ready(agent))
        };
        world
            .until_agents("25 Ready, one refused", others_ready)
            .await;
        let patches = world.relay.count("config.patch");
        assert!((2..=3).contains(&patches), "{patches} patches");

        for (round, name) in ["a3", "a7"].into_iter().enumerate() {
            let renamed = agent("refused", name).replace("Agent a", "Renamed a");
            world.apply(&renamed).await;
            world.until_agents("25 Ready again", others_ready).await;
            assert_eq!(world.relay.count("config.patch"), patches + round + 1);
        }
        world.apply(&agent("refused", "bad")).await;
        world.agents_ready(26).await;
        assert_eq!(world.relay.count("config.patch"), patches + 3);
    });
}

#[test]
fn two_gateway_objects_on_one_gateway_share_one_writer_also_for_deletions() {
    alone("siblings", async |world| {
        let other = Relay::start(world.gateway.port()).unwrap();
        world.start_operator(&[]).await;
        world.apply_team("red").await;
        world
            .apply(&team("blue", &other.url(), world.gateway.secret()))
            .await;
        world.gateway_ready("blue").await;
        let boot_id = world.boot_id().await;

        let began = Instant::now();
        world
            .apply(&together(&[&agents("red", 0..13), &agents("blue", 0..12)]))
            .await;
        world.agents_ready(25).await;
        say(&format!(
            "25 Agents of two Gateways on one gateway: {:.1} s",
            began.elapsed().as_secs_f64()
        ));
        let patches = || world.relay.count("config.patch") + other.count("config.patch");
        assert!((1..=2).contains(&patches()), "{} patches", patches());
        assert_eq!(world.relay.connections(), 1);
        assert_eq!(other.connections(), 1);

        let began = Instant::now();
        world
            .kubectl()
            .run_with(
                &["delete", "-f", "-"],
                &together(&[&agents("red", 0..5), &agents("blue", 0..5)]),
            )
            .await
            .unwrap();
        say(&format!(
            "10 deletions of two Gateways on one gateway: {:.1} s",
            began.elapsed().as_secs_f64()
        ));
        let deletions = world.relay.count("agents.delete") + other.count("agents.delete");
        assert_eq!(deletions, 10);
        world.agents_ready(15).await;
        let left: Vec<_> = ids("red", 5..13)
            .into_iter()
            .chain(ids("blue", 5..12))
            .collect();
        assert_eq!(world.our_roster().await, left.into_iter().collect());
        assert_eq!(world.boot_id().await, boot_id, "the gateway restarted");
        assert_eq!(world.relay.connections() + other.connections(), 2);
        let log = std::fs::read_to_string(world.gateway.log()).unwrap();
        assert!(!log.contains("requires gateway restart"), "{log}");
    });
}
