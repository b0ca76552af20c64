//! A gateway that ends and comes back as another process, in the middle of a registration and after it.

use crate::{
    manifest::agents,
    world::{PATIENCE, World, alone, ids, reason, say},
};

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

/// Ends the gateway when so many requests of a method have come since the moment before, and starts it again, for each of `moments`; and
/// once more when all is done.
async fn survives(world: &mut World, how: End, count: usize, moments: &[(&str, usize)]) {
    world.start_operator(&[]).await;
    world.apply_team("reborn").await;
    let foreign = world.foreign().await;
    let mut before = world.relay.seen();
    world.apply(&agents("reborn", 0..count)).await;
    for &(method, count) in moments {
        let enough = before.count(method) + count;
        let reached = world.relay.until(|seen| seen.count(method) >= enough);
        tokio::time::timeout(PATIENCE, reached)
            .await
            .unwrap_or_else(|_| panic!("never {count} more of {method}"));
        end(world, how).await;
        before = world.relay.seen();
        world.gateway.start_again().await.unwrap();
    }
    let converging = std::time::Instant::now();
    world.agents_ready(count).await;
    say(&format!(
        "{how:?} at {moments:?} of {count} registrations: all were Ready {:.1} s after the last start",
        converging.elapsed().as_secs_f64()
    ));
    assert_eq!(world.our_roster().await, ids("reborn", 0..count));
    assert_eq!(world.foreign().await, foreign);

    let calls = world.relay.counts();
    end(world, how).await;
    let all_compared = world.relay.count("agents.files.list") + count;
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
    let agents = world.agents_ready(count).await;
    assert!(
        agents
            .iter()
            .all(|agent| reason(agent) == Some("Reconciled"))
    );
    assert_eq!(world.gateway_writes_since(&calls), [].into());
    assert_eq!(world.our_roster().await, ids("reborn", 0..count));
    assert_eq!(world.foreign().await, foreign);
}

#[test]
fn all_agents_converge_when_the_gateway_is_stopped_and_started_meanwhile() {
    alone("stopped", async |world| {
        survives(world, End::Stopped, 25, &[("config.patch", 1)]).await;
    });
}

#[test]
fn all_agents_converge_when_the_gateway_is_killed_and_started_meanwhile() {
    alone("killed", async |world| {
        let moments = [("config.patch", 1), ("agents.files.set", 60)];
        survives(world, End::Killed, 50, &moments).await;
    });
}
