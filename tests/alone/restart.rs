//! A gateway that ends and comes back as another process, in the middle of a registration and after it.

use crate::{
    manifest::agents,
    world::{PATIENCE, World, alone, ids, reason, say},
};

const AGENTS: usize = 25;

/// How a gateway ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// SIGTERM.
    Stopped,
    /// SIGKILL.
    Killed,
}

async fn end(world: &World, how: End) {
    match how {
        End::Stopped => {
            world.gateway.stop().await.unwrap();
        }
        End::Killed => world.gateway.kill().await.unwrap(),
    }
}

async fn survives(world: &mut World, how: End) {
    world.start_operator(&[]).await;
    world.apply_team("reborn").await;
    let foreign = world.foreign().await;
    world.apply(&agents("reborn", 0..AGENTS)).await;
    let patched = world.relay.until(|seen| seen.count("config.patch") > 0);
    tokio::time::timeout(PATIENCE, patched)
        .await
        .expect("nothing is registered");
    end(world, how).await;
    let began = std::time::Instant::now();
    world.gateway.start_again().await.unwrap();
    let started = began.elapsed();
    let converging = std::time::Instant::now();
    world.agents_ready(AGENTS).await;
    say(&format!(
        "{how:?} in the middle of 25 registrations: the gateway was back after {:.1} s, all were Ready {:.1} s later",
        started.as_secs_f64(),
        converging.elapsed().as_secs_f64()
    ));
    assert_eq!(world.our_roster().await, ids("reborn", 0..AGENTS));
    assert_eq!(world.foreign().await, foreign);

    let calls = world.relay.counts();
    end(world, how).await;
    let all_compared = world.relay.count("agents.files.list") + AGENTS;
    world.gateway.start_again().await.unwrap();
    let boot_id = world.boot_id().await;
    world
        .until_gateway("reborn", "the Gateway shows the new process", |gateway| {
            let shown = gateway
                .status
                .as_ref()
                .and_then(|status| status.boot_id.as_ref());
            shown == Some(&boot_id)
        })
        .await;
    let compared = world
        .relay
        .until(|seen| seen.count("agents.files.list") >= all_compared);
    tokio::time::timeout(PATIENCE, compared)
        .await
        .expect("the Agents are not compared with the new process");
    let agents = world.agents_ready(AGENTS).await;
    assert!(
        agents
            .iter()
            .all(|agent| reason(agent) == Some("Reconciled"))
    );
    assert_eq!(world.gateway_writes_since(&calls), [].into());
    assert_eq!(world.our_roster().await, ids("reborn", 0..AGENTS));
    assert_eq!(world.foreign().await, foreign);
}

#[test]
fn all_agents_converge_when_the_gateway_is_stopped_and_started_meanwhile() {
    alone("stopped", async |world| survives(world, End::Stopped).await);
}

#[test]
fn all_agents_converge_when_the_gateway_is_killed_and_started_meanwhile() {
    alone("killed", async |world| survives(world, End::Killed).await);
}
