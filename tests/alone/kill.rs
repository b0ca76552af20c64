//! An operator that is killed without a word, wherever it is: the next one goes on from there.

use std::collections::BTreeSet;

use mission_operator::api::agent::PlaceState;
use tokio::time::timeout;

use crate::{
    manifest::{agent, agents},
    world::{PATIENCE, World, alone, ids},
};

const AGENTS: usize = 25;
/// The operator is killed when it has sent so many requests of a method since it started. One after the other, each where the
/// one before left off.
const WHILE_REGISTERING: [(&str, usize); 5] = [
    ("config.get", 1),
    ("config.patch", 1),
    ("agents.files.set", 1),
    ("agents.files.set", 30),
    ("cron.scratch.set", 2),
];
/// The same while all are deleted.
const WHILE_DELETING: [(&str, usize); 4] = [
    ("agents.delete", 1),
    ("agents.delete", 2),
    ("agents.delete", 8),
    ("config.get", 6),
];

/// Kills the operator at each of `points`, and starts a fresh one each time.
async fn kill_at_each(world: &mut World, points: &[(&str, usize)]) {
    let mut before = world.relay.seen();
    for &(method, count) in points {
        let reached = world
            .relay
            .until(|seen| seen.count(method) >= before.count(method) + count);
        timeout(PATIENCE, reached)
            .await
            .unwrap_or_else(|_| panic!("never {count} more of {method}"));
        world.kill_operator().await;
        before = world.relay.seen();
        world.start_operator(&[]).await;
    }
}

/// Reasons of all Warning events so far.
async fn warnings(world: &World) -> BTreeSet<String> {
    let events = world
        .kubectl()
        .get(&[
            "events",
            "--all-namespaces",
            "--field-selector=type=Warning",
        ])
        .await
        .unwrap();
    let events = events["items"].as_array().unwrap().iter();
    events
        .filter(|event| event["reportingComponent"] == "mission-operator")
        .filter_map(|event| event["reason"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn an_operator_killed_again_and_again_leaves_no_orphan_and_no_double() {
    alone("victim", async |world| {
        world.start_operator(&[]).await;
        world.apply_team("victim").await;
        let (foreign, boot_id) = (world.foreign().await, world.boot_id().await);
        world.apply(&agents("victim", 0..AGENTS)).await;
        kill_at_each(world, &WHILE_REGISTERING).await;
        world.agents_ready(AGENTS).await;
        assert_eq!(world.our_roster().await, ids("victim", 0..AGENTS));

        let all = agents("victim", 0..AGENTS);
        world
            .kubectl()
            .run_with(&["delete", "--wait=false", "-f", "-"], &all)
            .await
            .unwrap();
        kill_at_each(world, &WHILE_DELETING).await;
        world.agents_gone().await;
        assert_eq!(world.our_roster().await, BTreeSet::new());
        assert_eq!(world.foreign().await, foreign);
        assert_eq!(world.boot_id().await, boot_id, "the gateway restarted");
        assert_eq!(warnings(world).await, BTreeSet::new());
    });
}

#[test]
fn an_agent_that_comes_back_and_is_created_but_not_written_is_finished_by_the_next_operator() {
    alone("halfway", async |world| {
        world.start_operator(&[]).await;
        world.apply_team("halfway").await;
        let (foreign, boot_id) = (world.foreign().await, world.boot_id().await);
        world.apply(&agents("halfway", 0..2)).await;
        world.agents_ready(2).await;
        let before = world.our_entries().await;
        world
            .kubectl()
            .run_with(&["delete", "-f", "-"], &agents("halfway", 0..2))
            .await
            .unwrap();
        world.agents_gone().await;

        // What this one does not know of the deletion is in the Gateway's status.
        world.kill_operator().await;
        world.start_operator(&[]).await;
        world.relay.stall_at("config.patch");
        world.apply(&agents("halfway", 0..2)).await;
        timeout(PATIENCE, world.relay.stalled()).await.unwrap();
        world.kill_operator().await;
        world.relay.cut();
        world.relay.restore();
        assert_eq!(world.relay.count("agents.create"), 2);
        assert_eq!(world.our_roster().await, ids("halfway", 0..2));
        // One is finished, one is deleted as it is.
        world
            .kubectl()
            .run_with(
                &["delete", "--wait=false", "-f", "-"],
                &agent("halfway", "a1"),
            )
            .await
            .unwrap();
        world.start_operator(&[]).await;
        world.agents_ready(1).await;
        let mut after = world.our_entries().await;
        let first = ids("halfway", 0..1).pop_first().unwrap();
        assert_eq!(after.remove(&first), before.get(&first).cloned());
        assert_eq!(after, [].into());
        assert_eq!(world.foreign().await, foreign);
        assert_eq!(world.boot_id().await, boot_id, "the gateway restarted");
        assert_eq!(warnings(world).await, BTreeSet::new());
    });
}

#[test]
fn an_agent_claimed_and_never_written_is_registered_by_the_next_operator() {
    alone("claimed", async |world| {
        world.start_operator(&[]).await;
        world.apply_team("claimed").await;

        world.relay.stall_at("config.patch");
        world.apply(&agent("claimed", "a0")).await;
        timeout(PATIENCE, world.relay.stalled()).await.unwrap();
        let claimed = world
            .until_agents("the Agent is claimed", |agents| {
                agents.iter().all(|agent| agent.status.is_some())
            })
            .await;
        let places = &claimed[0].status.as_ref().unwrap().places;
        assert_eq!(places[0].state, PlaceState::Claimed);
        world.kill_operator().await;
        world.relay.cut();
        world.relay.restore();
        assert_eq!(world.our_roster().await, BTreeSet::new());
        world.start_operator(&[]).await;
        world.agents_ready(1).await;
        assert_eq!(world.our_roster().await, ids("claimed", 0..1));

        world.relay.stall_at("agents.delete");
        world
            .kubectl()
            .run_with(
                &["delete", "--wait=false", "-f", "-"],
                &agent("claimed", "a0"),
            )
            .await
            .unwrap();
        timeout(PATIENCE, world.relay.stalled()).await.unwrap();
        world.kill_operator().await;
        world.relay.cut();
        world.relay.restore();
        assert_eq!(world.our_roster().await, ids("claimed", 0..1));
        world.start_operator(&[]).await;
        world.agents_gone().await;
        assert_eq!(world.our_roster().await, BTreeSet::new());
        assert_eq!(warnings(world).await, BTreeSet::new());
    });
}
