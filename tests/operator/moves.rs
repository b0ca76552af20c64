//! Moves: to another Board, to another role, to another gateway, and back while the move is under way.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _};
use mission_operator::api::{
    Agent, Board, Gateway as GatewayObject,
    agent::{FileState, Place},
};
use serde_json::{Value, json};

use crate::{
    bed::{gateway::Gateway, relay::Relay},
    gateways::{FOREIGN, beating, checklist, entry, quiet, read, shared},
    remote::text,
    team::{Team, agent_id, condition, file, gateway_spec, is_ready},
    tokens::answers,
    world::{run, world},
};

/// A Gateway object beside `main`, with a Secret of its own.
pub(crate) async fn gateway_beside(team: &Team, name: &str, gateway: &Gateway, url: &str) {
    let secret = format!("{name}-secret");
    team.secret(&secret, "token", gateway.secret()).await;
    let mut spec = gateway_spec(url);
    spec["auth"]["tokenSecretRef"]["name"] = json!(secret);
    team.apply_spec::<GatewayObject>(name, spec).await;
    team.ready::<GatewayObject>(name).await;
}

fn places(agent: &Agent) -> &[Place] {
    agent.status.as_ref().map_or(&[], |status| &status.places)
}

/// The Gateways of the places, and whether each is left.
fn held(agent: &Agent) -> Vec<(&str, bool)> {
    places(agent)
        .iter()
        .map(|place| (place.gateway.name.as_str(), place.leaving_since.is_some()))
        .collect()
}

/// Waits until an Agent is Ready and holds these places.
pub(crate) async fn ready_at(team: &Team, name: &str, wanted: &[(&str, bool)]) -> Agent {
    let what = format!("Ready at {wanted:?}");
    let is_wanted = |agent: &Agent| is_ready(agent) && held(agent) == wanted;
    team.until(name, &what, is_wanted).await
}

#[test]
fn on_one_gateway_another_board_or_role_changes_files_and_nothing_else() {
    run(async {
        let gateway = quiet().await;
        let relay = Relay::start(gateway.port()).unwrap();
        let team = Team::bare("reassigned").await;
        team.secret("openclaw", "token", gateway.secret()).await;
        team.apply_spec::<GatewayObject>("main", gateway_spec(&relay.url()))
            .await;
        for board in ["north", "south"] {
            let spec =
                json!({"gatewayRef": {"name": "main"}, "displayName": format!("The {board}")});
            team.apply_spec::<Board>(board, spec).await;
        }
        let spec = |board: &str, role: &str| json!({"boardRef": {"name": board}, "role": role});
        team.apply_spec::<Agent>("clerk", spec("north", "Worker"))
            .await;
        let before: Agent = team.ready("clerk").await;
        let id = agent_id(&before).to_owned();
        let there = entry(&gateway, &id).await;
        let rules = |agent: &Agent| read(&file(agent, "AGENTS.md"));
        assert!(rules(&before).contains("\"The north\""));
        let memory = file(&before, "MEMORY.md");
        std::fs::write(&memory, "What I know.\n").unwrap();

        for (board, role, says) in [
            ("south", "Worker", "You belong to the board \"The south\""),
            ("south", "Lead", "You lead the board \"The south\""),
            ("north", "Worker", "You belong to the board \"The north\""),
        ] {
            team.apply_spec::<Agent>("clerk", spec(board, role)).await;
            let now: Agent = team.ready("clerk").await;
            let text = rules(&now);
            assert!(text.contains(says), "{board} {role}: {text}");
            assert_eq!(entry(&gateway, &id).await, there);
            assert_eq!(places(&now), places(&before));
            let (now, before) = (now.status.unwrap(), before.status.clone().unwrap());
            assert_eq!(now.session_key, before.session_key);
            assert_eq!(now.agent_id, before.agent_id);
            assert_eq!(read(&memory), "What I know.\n");
            let counted = |board: &Board| {
                let counts = board.status.as_ref().and_then(|status| status.agents);
                counts.map(|counts| counts.total)
            };
            let other = if board == "north" { "south" } else { "north" };
            let counts = |most: i32| move |board: &Board| counted(board) == Some(most);
            team.until(board, "it counts the agent", counts(1)).await;
            team.until(other, "it counts it no more", counts(0)).await;
        }
        for method in ["agents.create", "agents.delete", "agents.update"] {
            assert_eq!(relay.count(method), 0, "{method}");
        }
        assert_eq!(relay.count("config.patch"), 1, "the one that registered it");
        team.delete::<Agent>("clerk").await;
        team.disband().await;
    });
}

#[test]
fn a_board_that_names_another_gateway_moves_its_agents_and_leaves_nothing_on_the_old_one() {
    run(async {
        let (old, new) = (shared().await, quiet().await);
        let team = Team::on(old, "relocated").await;
        gateway_beside(&team, "second", &new, &new.url()).await;
        let board = |gateway: &str| json!({"gatewayRef": {"name": gateway}, "lead": {"displayName": "Grace"}});
        team.apply_spec::<Board>("desk", board("main")).await;
        let spec = |policy: &str| {
            json!({
                "boardRef": {"name": "desk"}, "displayName": policy, "deletionPolicy": policy,
                "heartbeat": {"every": "2h", "checklist": "Look around."},
                "files": [{"name": "SOUL.md", "template": "On {{ gateway_name }} at {{ workspace_path }}.\n"}],
            })
        };
        let policies = ["Delete", "KeepFiles", "Orphan"];
        let names = policies.map(str::to_lowercase);
        for (name, policy) in names.iter().zip(policies) {
            team.apply_spec::<Agent>(name, spec(policy)).await;
        }
        let mut before: Vec<Agent> = Vec::new();
        for name in &names {
            before.push(team.ready(name).await);
        }
        team.ready::<Agent>("desk-lead").await;
        let kept = file(&before[1], "AGENTS.md");
        let orphan = file(&before[2], "AGENTS.md");
        let orphaned = entry(old, agent_id(&before[2])).await;

        team.apply_spec::<Board>("desk", board("second")).await;
        for (name, before) in names.iter().zip(&before) {
            let agent = ready_at(&team, name, &[("second", false)]).await;
            let id = agent_id(&agent);
            assert_eq!(id, agent_id(before));
            assert_eq!(entry(&new, id).await["heartbeat"]["every"], "2h");
            assert_eq!(checklist(&new, id).await, "Look around.");
            let soul = read(&file(&agent, "SOUL.md"));
            let workspace = new.workspace(id).display().to_string();
            assert_eq!(soul, format!("On second at {workspace}.\n"));
            // What the gateway puts into a workspace of its own accord is not what was declared.
            assert!(
                !file(&agent, "BOOTSTRAP.md").exists()
                    || read(&file(&agent, "BOOTSTRAP.md")).is_empty()
            );
            let files = &agent.status.as_ref().unwrap().files;
            let memory = files.iter().find(|file| file.name == "MEMORY.md").unwrap();
            assert_eq!(memory.state, FileState::Seeded);
            let said = &condition(&agent, "Accepted").unwrap().message;
            assert!(said.ends_with("on Gateway second."), "{said}");
            let note = team.event(name, "Normal", "Moved").await;
            assert!(
                note.contains("from Gateway main to Gateway second"),
                "{note}"
            );
        }
        ready_at(&team, "desk-lead", &[("second", false)]).await;
        for agent in &before[..2] {
            assert_eq!(entry(old, agent_id(agent)).await, Value::Null);
            assert!(!beating(old).await.contains_key(agent_id(agent)));
        }
        assert!(!file(&before[0], "AGENTS.md").exists());
        assert!(!read(&kept).contains("<!-- mission-operator:"));
        assert_eq!(entry(old, agent_id(&before[2])).await, orphaned);
        assert!(!read(&orphan).contains("<!-- mission-operator:"));
        let is_empty = |gateway: &GatewayObject| {
            gateway.status.as_ref().and_then(|status| status.agents) == Some(0)
        };
        team.until("main", "it counts none", is_empty).await;
        let mut rpc = old.rpc().await.unwrap();
        rpc.call("agents.delete", json!({"agentId": agent_id(&before[2])}))
            .await
            .unwrap();

        // What stays of the orphan on the other gateway goes with the test.
        team.patch_spec::<Agent>("orphan", json!({"deletionPolicy": null}))
            .await;
        team.ready::<Agent>("orphan").await;
        team.disband().await;
        let beats: Vec<_> = beating(&new).await.into_keys().collect();
        assert_eq!(beats, FOREIGN);
    });
}

#[test]
fn an_agent_works_at_its_new_place_while_the_old_gateway_is_away_and_is_taken_off_there_once_it_answers()
 {
    run(async {
        let (new, old) = (shared().await, quiet().await);
        let team = Team::on(new, "abroad").await;
        let relay = Relay::start(old.port()).unwrap();
        gateway_beside(&team, "second", &old, &relay.url()).await;
        let spec = |gateway: &str| json!({"gatewayRef": {"name": gateway}});
        for name in ["mover", "returner", "goner"] {
            team.apply_spec::<Agent>(name, spec("second")).await;
            team.ready::<Agent>(name).await;
        }
        let id = |name: &str| format!("abroad_{name}");
        relay.cut();
        let is_down = |gateway: &GatewayObject| !is_ready(gateway);
        team.until("second", "away", is_down).await;
        for name in ["mover", "returner", "goner"] {
            team.apply_spec::<Agent>(name, spec("main")).await;
        }
        for name in ["mover", "returner", "goner"] {
            let agent = ready_at(&team, name, &[("main", false), ("second", true)]).await;
            assert_eq!(entry(new, &id(name)).await["name"], name);
            assert_ne!(entry(&old, &id(name)).await, Value::Null);
            let said = &condition(&agent, "Accepted").unwrap().message;
            assert!(said.contains("taken off Gateway second"), "{said}");
            let note = team.event(name, "Warning", "MoveWaits").await;
            assert!(
                note.contains("Gateway second, which does not answer"),
                "{note}"
            );
        }
        let waits = |gateway: &GatewayObject| {
            gateway.status.as_ref().and_then(|status| status.agents) == Some(3)
        };
        team.until("second", "it still counts all", waits).await;

        // One goes back, one is deleted: both while the old gateway is away.
        team.apply_spec::<Agent>("returner", spec("second")).await;
        team.told::<Agent>("returner", "Registered", "Unknown", "GatewayUnreachable")
            .await;
        let delete = ["delete", "oca", "goner", "--wait=false"];
        let outcome = team.kubectl(&delete, "").await;
        assert!(outcome.success, "{}", outcome.errors);
        let said = team
            .told::<Agent>("goner", "Ready", "False", "Deleting")
            .await;
        assert!(said.contains("waits for Gateway second"), "{said}");
        assert!(!said.contains("Gateway main"), "{said}");
        let secrets: Api<Secret> = Api::namespaced(world().await.client.clone(), &team.namespace);
        let secret = secrets.get("goner-token").await.unwrap();
        let token = text(&secret, "token").unwrap();
        assert_eq!(answers(&token).await, 200, "it may still call");
        assert_eq!(entry(new, &id("goner")).await, Value::Null);

        let before = entry(&old, &id("returner")).await;
        relay.restore();
        team.gone::<Agent>("goner").await;
        ready_at(&team, "mover", &[("main", false)]).await;
        team.event("mover", "Normal", "Moved").await;
        ready_at(&team, "returner", &[("second", false)]).await;
        for name in ["mover", "goner"] {
            assert_eq!(entry(&old, &id(name)).await, Value::Null);
        }
        assert_ne!(entry(new, &id("mover")).await, Value::Null);
        assert_eq!(entry(new, &id("returner")).await, Value::Null);
        assert_eq!(entry(&old, &id("returner")).await, before);
        assert_eq!(relay.count("agents.delete"), 2, "mover and goner");
        team.disband().await;
    });
}

#[test]
fn a_gateway_that_goes_while_it_is_away_lets_a_moved_agent_go_with_a_warning() {
    run(async {
        let (new, old) = (shared().await, quiet().await);
        let team = Team::on(new, "bereft").await;
        let relay = Relay::start(old.port()).unwrap();
        gateway_beside(&team, "second", &old, &relay.url()).await;
        let spec = |gateway: &str| json!({"gatewayRef": {"name": gateway}});
        team.apply_spec::<Agent>("mover", spec("second")).await;
        team.ready::<Agent>("mover").await;
        relay.cut();
        team.apply_spec::<Agent>("mover", spec("main")).await;
        ready_at(&team, "mover", &[("main", false), ("second", true)]).await;

        team.delete::<GatewayObject>("second").await;
        ready_at(&team, "mover", &[("main", false)]).await;
        let note = team.event("mover", "Warning", "LeftOnGateway").await;
        assert!(
            note.contains("openclaw agents delete bereft_mover"),
            "{note}"
        );
        assert_ne!(entry(new, "bereft_mover").await, Value::Null);
        let mut rpc = old.rpc().await.unwrap();
        rpc.call("agents.delete", json!({"agentId": "bereft_mover"}))
            .await
            .unwrap();
        rpc.config_applied().await.unwrap();
        // The block that kept others beating was left with it.
        let release = json!({"agents": {"entries": {"main": {"heartbeat": null}, "scribe": {"heartbeat": null}}}});
        rpc.patch_config(&release).await.unwrap();
        rpc.config_applied().await.unwrap();
        team.disband().await;
    });
}

#[test]
fn another_gateway_object_of_the_same_gateway_takes_the_agent_over_as_it_is() {
    run(async {
        let gateway = quiet().await;
        let team = Team::on(&gateway, "renamed").await;
        let relay = Relay::start(gateway.port()).unwrap();
        gateway_beside(&team, "second", &gateway, &relay.url()).await;
        let board = |gateway: &str| json!({"gatewayRef": {"name": gateway}});
        team.apply_spec::<Board>("desk", board("main")).await;
        team.apply_spec::<Agent>("clerk", json!({"boardRef": {"name": "desk"}}))
            .await;
        let before: Agent = team.ready("clerk").await;
        let (id, uid) = (agent_id(&before).to_owned(), before.uid());
        let there = entry(&gateway, &id).await;
        let memory = file(&before, "MEMORY.md");
        std::fs::write(&memory, "What I know.\n").unwrap();

        team.apply_spec::<Board>("desk", board("second")).await;
        let after = ready_at(&team, "clerk", &[("second", false)]).await;
        assert_eq!(after.uid(), uid);
        assert_eq!(entry(&gateway, &id).await, there);
        assert_eq!(read(&memory), "What I know.\n");
        assert_eq!(relay.count("agents.delete"), 0);
        // The first object is free to go, and takes nothing along.
        team.delete::<GatewayObject>("main").await;
        assert_eq!(entry(&gateway, &id).await, there);
        team.delete::<Agent>("clerk").await;
        assert_eq!(entry(&gateway, &id).await, Value::Null);
        team.disband().await;
    });
}

#[test]
fn an_agent_that_cannot_be_at_its_new_place_stays_where_it_is_and_comes_back() {
    run(async {
        let (old, new) = (shared().await, quiet().await);
        let team = Team::on(old, "halfway").await;
        gateway_beside(&team, "second", &new, &new.url()).await;
        let spec = |gateway: &str| json!({"gatewayRef": {"name": gateway}, "agentId": "halfway_x"});
        team.apply_spec::<Agent>("clerk", spec("main")).await;
        let before: Agent = team.ready("clerk").await;
        let there = entry(old, "halfway_x").await;
        let theirs = json!({"agents": {"entries": {"halfway_x": {"name": "Theirs"}}}});
        let mut rpc = new.rpc().await.unwrap();
        rpc.patch_config(&theirs).await.unwrap();
        rpc.config_applied().await.unwrap();

        team.apply_spec::<Agent>("clerk", spec("second")).await;
        team.told::<Agent>("clerk", "Accepted", "False", "AgentExists")
            .await;
        let now = team.api::<Agent>().get("clerk").await.unwrap();
        assert_eq!(places(&now), places(&before));
        assert_eq!(entry(old, "halfway_x").await, there);
        assert_eq!(entry(&new, "halfway_x").await, json!({"name": "Theirs"}));

        team.apply_spec::<Agent>("clerk", spec("main")).await;
        ready_at(&team, "clerk", &[("main", false)]).await;
        team.delete::<Agent>("clerk").await;
        assert_eq!(entry(old, "halfway_x").await, Value::Null);
        assert_eq!(entry(&new, "halfway_x").await, json!({"name": "Theirs"}));
        rpc.call("agents.delete", json!({"agentId": "halfway_x"}))
            .await
            .unwrap();
        rpc.config_applied().await.unwrap();
        team.disband().await;
    });
}

#[test]
fn an_agent_whose_board_names_a_gateway_that_is_away_is_not_ready_and_stays_where_it_is_until_then()
{
    run(async {
        let (old, new) = (shared().await, quiet().await);
        let team = Team::on(old, "bound").await;
        let relay = Relay::start(new.port()).unwrap();
        gateway_beside(&team, "second", &new, &relay.url()).await;
        let board = |gateway: &str| json!({"gatewayRef": {"name": gateway}});
        team.apply_spec::<Board>("desk", board("main")).await;
        team.apply_spec::<Agent>("clerk", json!({"boardRef": {"name": "desk"}}))
            .await;
        let before: Agent = team.ready("clerk").await;
        let there = entry(old, "bound_clerk").await;
        relay.cut();
        let is_down = |gateway: &GatewayObject| !is_ready(gateway);
        team.until("second", "away", is_down).await;

        team.apply_spec::<Board>("desk", board("second")).await;
        let said = team
            .told::<Agent>("clerk", "Ready", "Unknown", "GatewayUnreachable")
            .await;
        assert!(said.contains("Gateway second is not connected"), "{said}");
        let now = team.api::<Agent>().get("clerk").await.unwrap();
        assert_eq!(places(&now), places(&before));
        assert_eq!(entry(old, "bound_clerk").await, there);

        relay.restore();
        ready_at(&team, "clerk", &[("second", false)]).await;
        assert_eq!(entry(old, "bound_clerk").await, Value::Null);
        team.disband().await;
    });
}

#[test]
fn a_move_off_a_paused_gateway_says_that_it_waits_for_the_pause_and_is_counted_there() {
    run(async {
        let (new, old) = (shared().await, quiet().await);
        let team = Team::on(new, "detained").await;
        gateway_beside(&team, "second", &old, &old.url()).await;
        let spec = |gateway: &str| json!({"gatewayRef": {"name": gateway}});
        team.apply_spec::<Agent>("mover", spec("second")).await;
        team.ready::<Agent>("mover").await;
        let pause = |paused: bool| json!({ "paused": paused });
        team.patch_spec::<GatewayObject>("second", pause(true))
            .await;
        team.told::<Agent>("mover", "Paused", "True", "Gateway")
            .await;
        team.apply_spec::<Agent>("mover", spec("main")).await;
        ready_at(&team, "mover", &[("main", false), ("second", true)]).await;
        let note = team.event("mover", "Warning", "MoveWaits").await;
        assert!(note.contains("Gateway second, which is paused"), "{note}");
        team.until("second", "one waits", |gateway: &GatewayObject| {
            gateway.status.as_ref().and_then(|status| status.pending) == Some(1)
        })
        .await;
        assert_ne!(entry(&old, "detained_mover").await, Value::Null);
        team.patch_spec::<GatewayObject>("second", pause(false))
            .await;
        ready_at(&team, "mover", &[("main", false)]).await;
        assert_eq!(entry(&old, "detained_mover").await, Value::Null);
        team.disband().await;
    });
}
