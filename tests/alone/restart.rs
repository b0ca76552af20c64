//! A gateway that ends and comes back as another process, in the middle of a registration and after it.

use mission_operator::api::Agent;

use crate::{
    bed::{provider, wait::until_true},
    manifest::{GATEWAY, agents},
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

#[test]
fn an_agent_whose_gateway_is_killed_while_it_is_woken_is_not_told_again_beside_what_the_gateway_takes_up()
 {
    alone("taken-up", async |world| {
        world.start_operator(&["--resync-interval=5s"]).await;
        world.apply_team("taken").await;
        let agent = format!(
            "apiVersion: mission.openclaw.dev/v1alpha1
kind: Agent
metadata: {{name: early, namespace: taken}}
spec:
  gatewayRef: {{name: {GATEWAY}}}
  wake: {{message: \"SLEEP:90000 Get up.\"}}
"
        );
        world.apply(&agent).await;
        let url = world.provider_url();
        until_true(PATIENCE, "its turn is under way", async || {
            let turns = provider::turns(&url).await.unwrap();
            turns.iter().any(|turn| turn.user.contains("Get up."))
        })
        .await
        .unwrap();
        world.agents_ready(1).await;
        end(world, End::Killed).await;
        world.gateway.start_again().await.unwrap();
        world.gateway_ready("taken").await;
        // The second look begins after the first has ended.
        world.compared(1, 2).await;
        assert_eq!(world.relay.count("chat.send"), 1, "when the link is back");

        // The gateway takes the turn up, where it had come far enough; else the message is due again after its two minutes, and counted.
        let wake = |agent: &Agent| agent.status.as_ref()?.wake.clone();
        let is_awake = |agents: &[&Agent]| {
            let woken = agents.iter().filter_map(|agent| wake(agent));
            woken.filter(|wake| wake.done).count() == 1
        };
        let agents = world.until_agents("it is awake", is_awake).await;
        let attempts = agents.iter().find_map(wake).unwrap().attempts;
        let sent = world.relay.count("chat.send");
        assert_eq!(usize::try_from(attempts), Ok(sent));
        let turns = provider::turns(&url).await.unwrap();
        let asked = turns.iter().filter(|turn| turn.user.contains("Get up."));
        say(&format!(
            "a turn killed with its gateway: {sent} messages, {} requests to the model",
            asked.count()
        ));
    });
}
