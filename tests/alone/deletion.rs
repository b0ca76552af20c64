//! Everything goes, one by one and all at once, with the gateway there and away: it always ends by itself, and nothing of others goes
//! with it.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Event;
use kube::Api;
use serde_json::json;

use crate::{
    bed::wait::wait_for_all,
    manifest::{GATEWAY, agent, agents, board, team, together},
    world::{PATIENCE, World, alone, ids, reason, say},
};

/// Time that `kubectl delete` may take for a handful of Agents.
const BOUND: &str = "--timeout=120s";
const DEADLINE: Duration = Duration::from_secs(6);
/// How our mark in an AGENTS.md begins.
const MARK: &str = "<!-- mission-operator:";

/// Deletes what a manifest names and waits until it is gone.
async fn delete(world: &World, manifest: &str) -> Duration {
    let began = Instant::now();
    world
        .kubectl()
        .run_with(&["delete", BOUND, "-f", "-"], manifest)
        .await
        .unwrap();
    began.elapsed()
}

/// Deletes a namespace with all that is in it and waits until it is gone.
async fn delete_namespace(world: &World, name: &str) -> Duration {
    let began = Instant::now();
    world
        .kubectl()
        .run(&["delete", BOUND, "namespace", name])
        .await
        .unwrap();
    began.elapsed()
}

/// Waits for a Warning about an Agent of `namespace`, and returns its note.
async fn warning(world: &World, namespace: &str, reason: &str) -> String {
    let api = Api::<Event>::namespaced(world.client.clone(), namespace);
    let is_it = |event: &Event| {
        event.reason.as_deref() == Some(reason) && event.type_.as_deref() == Some("Warning")
    };
    let what = format!("Warning {reason}");
    let events = wait_for_all(api, &what, PATIENCE, |events| {
        events.iter().any(|event| is_it(event))
    });
    let events = events.await.unwrap();
    let event = events.into_iter().find(is_it).unwrap();
    event.message.unwrap()
}

/// Waits until the Agents say that their deletion waits.
async fn says_waiting(world: &World) {
    world
        .until_agents("the Agent says what its deletion waits for", |agents| {
            agents.iter().all(|agent| reason(agent) == Some("Deleting"))
        })
        .await;
}

/// Cuts the link and waits until the Gateway says so.
async fn cut(world: &World, namespace: &str) {
    world.relay.cut();
    world
        .until_gateway(namespace, "the Gateway says that it is away", |gateway| {
            let conditions = gateway.status.iter().flat_map(|status| &status.conditions);
            crate::world::ready(conditions) != Some("True")
        })
        .await;
}

/// Takes agents off the gateway that were let go, as the note of the Warning says.
async fn sweep(world: &World) {
    let mut rpc = world.gateway.rpc().await.unwrap();
    for id in world.our_roster().await {
        rpc.call("agents.delete", json!({"agentId": id}))
            .await
            .unwrap();
        rpc.config_applied().await.unwrap();
    }
}

#[test]
fn with_the_gateway_away_deletions_wait_say_so_and_end_at_their_deadlines() {
    alone("away", async |world| {
        world
            .start_operator(&["--deletion-deadline=1h", "--teardown-deadline=3s"])
            .await;
        // At once by annotation.
        world.apply_team("one").await;
        world.apply(&agent("one", "a0")).await;
        world.agents_ready(1).await;
        cut(world, "one").await;
        let kubectl = world.kubectl();
        kubectl
            .run(&["delete", "--wait=false", "-n", "one", "oca/a0"])
            .await
            .unwrap();
        says_waiting(world).await;
        kubectl
            .run(&[
                "annotate",
                "-n",
                "one",
                "oca/a0",
                "mission.openclaw.dev/force-delete=true",
            ])
            .await
            .unwrap();
        world.agents_gone().await;
        let note = warning(world, "one", "ForceDeleted").await;
        assert!(note.contains("left"), "{note}");
        assert_eq!(world.our_roster().await, ids("one", 0..1));
        world.relay.restore();
        world.gateway_ready("one").await;
        sweep(world).await;

        // Everything of a manifest at once: the Gateway goes too.
        world.apply(&agents("one", 1..4)).await;
        world.agents_ready(3).await;
        cut(world, "one").await;
        let everything = together(&[
            &team("one", &world.relay.url(), world.gateway.secret()),
            &agents("one", 1..4),
        ]);
        let took = delete(world, &everything).await;
        say(&format!(
            "delete -f of everything, gateway away: {took:.1?}"
        ));
        assert_eq!(world.our_roster().await, ids("one", 1..4));
        world.relay.restore();
        sweep(world).await;

        // A whole namespace.
        world.apply_team("two").await;
        world.apply(&agents("two", 0..3)).await;
        world.agents_ready(3).await;
        cut(world, "two").await;
        let took = delete_namespace(world, "two").await;
        say(&format!("delete namespace, gateway away: {took:.1?}"));
        world.relay.restore();
        sweep(world).await;

        // An Agent alone, at the long deadline.
        world.stop_operator().await;
        let deadline = format!("--deletion-deadline={}s", DEADLINE.as_secs());
        world
            .start_operator(&[&deadline, "--teardown-deadline=1s"])
            .await;
        world.apply_team("three").await;
        world.apply(&agent("three", "a0")).await;
        world.agents_ready(1).await;
        cut(world, "three").await;
        let took = delete(world, &agent("three", "a0")).await;
        // The API server's times have whole seconds.
        assert!(took + Duration::from_secs(1) >= DEADLINE, "{took:?}");
        let note = warning(world, "three", "LeftOnGateway").await;
        assert!(note.contains("openclaw agents delete three_a0"), "{note}");
    });
}

#[test]
fn with_the_gateways_process_dead_everything_is_gone_within_a_minute_by_the_default_deadlines_in_any_order()
 {
    alone("dead", async |world| {
        const MINUTE: Duration = Duration::from_mins(1);
        world.start_operator(&[]).await;
        let board =
            board("one", "desk", "b0").replace("  boardRef", "  wake: {policy: Never}\n  boardRef");
        let team = team("one", &world.relay.url(), world.gateway.secret());
        let (_, gateway) = team.split_once("---\n").unwrap();
        let agents = agents("one", 0..2);
        let mut parts = [gateway, &board, &agents];
        for order in ["as applied", "reversed"] {
            world.apply_team("one").await;
            world.apply(&together(&[&agents, &board])).await;
            world.agents_ready(3).await;
            world.gateway.kill().await.unwrap();
            let began = Instant::now();
            for part in parts {
                let delete = ["delete", "--wait=false", "-f", "-"];
                world.kubectl().run_with(&delete, part).await.unwrap();
            }
            for kind in ["oca", "ocb", "ocgw"] {
                let gone = ["wait", BOUND, "--for=delete", "-n", "one", "--all", kind];
                world.kubectl().run(&gone).await.unwrap();
            }
            let took = began.elapsed();
            say(&format!("everything, gateway dead, {order}: {took:.1?}"));
            assert!(took <= MINUTE, "{took:?}");
            world.gateway.start_again().await.unwrap();
            sweep(world).await;
            parts.reverse();
        }
    });
}

#[test]
fn with_the_gateway_there_everything_at_once_leaves_nothing_of_ours_and_all_of_others() {
    alone("everything", async |world| {
        world.start_operator(&[]).await;
        world.apply_team("one").await;
        let (foreign, boot_id) = (world.foreign().await, world.boot_id().await);
        world.apply(&agents("one", 0..10)).await;
        world.agents_ready(10).await;
        let everything = together(&[
            &team("one", &world.relay.url(), world.gateway.secret()),
            &agents("one", 0..10),
        ]);
        let took = delete(world, &everything).await;
        say(&format!("delete -f of everything, 10 Agents: {took:.1?}"));
        assert_eq!(world.our_roster().await, BTreeSet::new());

        world.apply_team("two").await;
        world.apply(&agents("two", 0..10)).await;
        world.agents_ready(10).await;
        // Somebody else was faster with one of them.
        let mut rpc = world.gateway.rpc().await.unwrap();
        rpc.call("agents.delete", json!({"agentId": "two_a3"}))
            .await
            .unwrap();
        rpc.config_applied().await.unwrap();
        let deletions = world.relay.count("agents.delete");
        delete(world, &agent("two", "a3")).await;
        assert_eq!(world.relay.count("agents.delete"), deletions);

        let took = delete_namespace(world, "two").await;
        say(&format!("delete namespace, 9 Agents: {took:.1?}"));
        assert_eq!(world.our_roster().await, BTreeSet::new());
        assert_eq!(world.foreign().await, foreign);
        assert_eq!(world.boot_id().await, boot_id, "the gateway restarted");
    });
}

#[test]
fn an_operator_that_was_away_for_longer_than_the_deadline_cleans_up_all_the_same() {
    alone("overdue", async |world| {
        const DEADLINE: Duration = Duration::from_secs(5);
        let deadline = format!("--teardown-deadline={}s", DEADLINE.as_secs());
        world.start_operator(&[&deadline]).await;
        world.apply_team("one").await;
        let foreign = world.foreign().await;
        world.apply(&agents("one", 0..3)).await;
        world.agents_ready(3).await;
        world.kill_operator().await;
        let kubectl = world.kubectl();
        let all = [
            "delete",
            "-n",
            "one",
            "--all",
            "--wait=false",
            "oca,ocb,ocgw",
        ];
        kubectl.run(&all).await.unwrap();
        // What is awaited is the deletion's age.
        tokio::time::sleep(DEADLINE + Duration::from_secs(1)).await;

        world.start_operator(&[&deadline]).await;
        for kind in ["oca", "ocgw"] {
            let gone = ["wait", BOUND, "--for=delete", "-n", "one", "--all", kind];
            kubectl.run(&gone).await.unwrap();
        }
        assert_eq!(world.our_roster().await, BTreeSet::new());
        assert_eq!(world.foreign().await, foreign);
    });
}

#[test]
fn a_gateways_only_agent_is_let_go_without_our_heartbeat_and_mark() {
    alone("last", async |world| {
        world.start_operator(&[]).await;
        world.apply_team("last").await;
        world.apply(&agent("last", "a0")).await;
        world.agents_ready(1).await;
        let workspace = world.gateway.workspace("last_a0");
        let agents_md = workspace.join("AGENTS.md");
        let before = std::fs::read_to_string(&agents_md).unwrap();
        assert!(before.contains(MARK), "{before}");

        // Its owner takes the others out of the document by hand, and names the workspace: an agent alone has another one by default.
        world.gateway.stop().await.unwrap();
        let mut config = world.gateway.config().unwrap();
        let mut ours = config["agents"]["entries"]["last_a0"].take();
        ours["workspace"] = json!(workspace);
        config["agents"]["entries"] = json!({"last_a0": ours});
        let text = serde_json::to_string_pretty(&config).unwrap();
        std::fs::write(world.gateway.config_path(), text).unwrap();
        world.gateway.start_again().await.unwrap();
        assert_eq!(world.roster().await, ids("last", 0..1));

        delete(world, &agent("last", "a0")).await;
        let note = warning(world, "last", "LeftOnGateway").await;
        assert!(note.contains("does not delete agent"), "{note}");
        assert_eq!(world.roster().await, ids("last", 0..1));
        let config = world.gateway.config().unwrap();
        let entry = &config["agents"]["entries"]["last_a0"];
        assert!(entry.get("heartbeat").is_none(), "{entry}");
        let after = std::fs::read_to_string(&agents_md).unwrap();
        assert!(!after.contains(MARK), "{after}");
        world
            .kubectl()
            .run(&["delete", BOUND, "-n", "last", "ocgw", GATEWAY])
            .await
            .unwrap();
    });
}
