//! Pauses of Agents, Boards and Gateways: what stops, what waits, and what comes back.

use kube::{
    Resource as _,
    api::{Patch, PatchParams},
};
use mission_operator::{
    api::{Agent, Board, Gateway as GatewayObject, annotation::FIELD_MANAGER},
    plan::entry::{Keys, digest},
};
use serde_json::{Value, json};

use crate::{
    bed::{gateway::Gateway, relay::Relay},
    gateways::{beating, checklist, entry, quiet, read, shared},
    team::{Team, agent_id, condition, file, gateway_spec, is_ready, says},
    world::run,
};

/// Waits until the gateway holds this of an agent's heartbeat.
async fn beats_every(gateway: &Gateway, id: &str) -> Value {
    entry(gateway, id).await["heartbeat"]["every"].clone()
}

#[test]
fn a_paused_agent_does_not_beat_is_left_alone_and_comes_back_as_declared() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "resting").await;
        let spec = |paused: bool, name: &str, soul: &str| {
            json!({
                "gatewayRef": {"name": "main"}, "paused": paused, "displayName": name,
                "heartbeat": {"every": "35m", "target": "none"},
                "files": [{"name": "SOUL.md", "content": soul}],
            })
        };
        team.apply_spec::<Agent>("clerk", spec(false, "Clerk", "calm"))
            .await;
        let clerk: Agent = team.ready("clerk").await;
        let id = agent_id(&clerk).to_owned();
        let before = entry(gateway, &id).await;
        let list = checklist(gateway, &id).await;

        team.apply_spec::<Agent>("clerk", spec(true, "Clerk", "calm"))
            .await;
        let said = team.told::<Agent>("clerk", "Paused", "True", "Agent").await;
        assert!(said.contains("Nothing else waits"), "{said}");
        let paused: Agent = team.ready("clerk").await;
        assert!(says(&paused, "HeartbeatConfigured", "True", "Disabled"));
        let mut silent = before.clone();
        silent["heartbeat"]["every"] = json!("0m");
        assert_eq!(entry(gateway, &id).await, silent);
        assert!(!beating(gateway).await.contains_key(&id));
        team.event("clerk", "Normal", "Paused").await;

        // What is declared meanwhile, and what the agent writes meanwhile, waits.
        team.apply_spec::<Agent>("clerk", spec(true, "Scribe", "stern"))
            .await;
        let waiting: Agent = team
            .until("clerk", "what waits is said", |agent: &Agent| {
                agent
                    .status
                    .as_ref()
                    .is_some_and(|status| !status.pending.is_empty())
            })
            .await;
        assert!(is_ready(&waiting), "Ready says what it said last");
        let pending = &waiting.status.as_ref().unwrap().pending;
        assert!(pending.contains(&"config entry".to_owned()), "{pending:?}");
        assert!(pending.contains(&"SOUL.md".to_owned()), "{pending:?}");
        let said = &condition(&waiting, "Paused").unwrap().message;
        assert!(said.contains("SOUL.md"), "{said}");
        std::fs::write(file(&clerk, "AGENTS.md"), "mine").unwrap();
        team.reconcile_now::<Agent>("clerk").await;
        assert_eq!(entry(gateway, &id).await, silent);
        assert_eq!(read(&file(&clerk, "SOUL.md")), "calm");

        team.apply_spec::<Agent>("clerk", spec(false, "Scribe", "stern"))
            .await;
        let back: Agent = team
            .until("clerk", "Ready and not paused", |agent: &Agent| {
                is_ready(agent) && says(agent, "Paused", "False", "NotPaused")
            })
            .await;
        let mut after = before;
        after["name"] = json!("Scribe");
        assert_eq!(entry(gateway, &id).await, after);
        assert!(beating(gateway).await.contains_key(&id));
        assert_eq!(checklist(gateway, &id).await, list);
        assert_eq!(read(&file(&back, "SOUL.md")), "stern");
        assert!(read(&file(&back, "AGENTS.md")).contains("How Scribe works"));
        assert_eq!(back.status.unwrap().pending, [""; 0]);
        team.event("clerk", "Normal", "Resumed").await;

        // Who is left to itself under a pause beats as declared: nobody would lift that pause.
        let freed = json!({"paused": true, "deletionPolicy": "Orphan"});
        team.patch_spec::<Agent>("clerk", freed).await;
        team.told::<Agent>("clerk", "Paused", "True", "Agent").await;
        assert!(!beating(gateway).await.contains_key(&id));
        team.delete::<Agent>("clerk").await;
        assert_eq!(entry(gateway, &id).await, after);
        assert!(beating(gateway).await.contains_key(&id));
        let mut rpc = gateway.rpc().await.unwrap();
        rpc.call("agents.delete", json!({"agentId": id}))
            .await
            .unwrap();
    });
}

#[test]
fn a_paused_boards_agents_stop_beating_together_and_a_new_one_waits_until_it_goes_on() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "halted").await;
        let board =
            |paused: bool| json!({"gatewayRef": {"name": "main"}, "lead": {}, "paused": paused});
        team.apply_spec::<Board>("desk", board(false)).await;
        let worker = json!({"boardRef": {"name": "desk"}});
        team.apply_spec::<Agent>("first", worker.clone()).await;
        let (lead, first): (Agent, Agent) =
            tokio::join!(team.ready("desk-lead"), team.ready("first"));
        let ids = [agent_id(&lead), agent_id(&first)];

        team.apply_spec::<Board>("desk", board(true)).await;
        team.told::<Board>("desk", "Paused", "True", "Board").await;
        for name in ["desk-lead", "first"] {
            let is_silent = |agent: &Agent| says(agent, "HeartbeatConfigured", "True", "Disabled");
            team.until(name, "silent", is_silent).await;
        }
        for id in ids {
            assert_eq!(beats_every(gateway, id).await, "0m");
        }
        team.apply_spec::<Agent>("second", worker).await;
        let said = team
            .told::<Agent>("second", "Paused", "True", "Board")
            .await;
        assert!(said.contains("registered when the pause ends"), "{said}");
        assert_eq!(entry(gateway, "halted_second").await, Value::Null);
        // A deletion does not wait.
        team.delete::<Agent>("first").await;
        assert_eq!(entry(gateway, ids[1]).await, Value::Null);

        team.apply_spec::<Board>("desk", board(false)).await;
        team.ready::<Agent>("second").await;
        team.until("desk-lead", "beats", |agent: &Agent| {
            says(agent, "HeartbeatConfigured", "True", "Configured")
        })
        .await;
        assert_eq!(beats_every(gateway, ids[0]).await, "10m");
    });
}

#[test]
fn to_a_paused_gateway_nothing_is_written_and_deletions_wait_and_say_so() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "serviced").await;
        let agent = |name: &str| json!({"gatewayRef": {"name": "main"}, "displayName": name});
        for name in ["edited", "deleted"] {
            team.apply_spec::<Agent>(name, agent(name)).await;
            team.ready::<Agent>(name).await;
        }
        let ids = ["serviced_edited", "serviced_deleted"];
        let before = [entry(gateway, ids[0]).await, entry(gateway, ids[1]).await];
        let pause = |paused: bool| {
            let mut spec = gateway_spec(&gateway.url());
            spec["paused"] = json!(paused);
            spec
        };
        team.apply_spec::<GatewayObject>("main", pause(true)).await;
        team.told::<GatewayObject>("main", "Paused", "True", "Gateway")
            .await;
        team.told::<Agent>("edited", "Paused", "True", "Gateway")
            .await;

        team.apply_spec::<Agent>("edited", agent("Other")).await;
        let outcome = team
            .kubectl(&["delete", "oca", "deleted", "--wait=false"], "")
            .await;
        assert!(outcome.success, "{}", outcome.errors);
        let said = team
            .told::<Agent>("deleted", "Ready", "False", "Deleting")
            .await;
        assert!(said.contains("Gateway main, which is paused"), "{said}");
        team.until("main", "two wait", |gateway: &GatewayObject| {
            gateway.status.as_ref().and_then(|status| status.pending) == Some(2)
        })
        .await;
        assert_eq!(
            [entry(gateway, ids[0]).await, entry(gateway, ids[1]).await],
            before
        );

        team.apply_spec::<GatewayObject>("main", pause(false)).await;
        team.gone::<Agent>("deleted").await;
        assert_eq!(entry(gateway, ids[1]).await, Value::Null);
        team.until("edited", "Ready under its new name", |agent: &Agent| {
            is_ready(agent) && says(agent, "Paused", "False", "NotPaused")
        })
        .await;
        assert_eq!(entry(gateway, ids[0]).await["name"], "Other");
        let status = team.ready::<GatewayObject>("main").await.status.unwrap();
        assert_eq!(status.pending, None);
    });
}

#[test]
fn a_namespace_that_goes_does_not_wait_for_the_pause_of_a_gateway_elsewhere() {
    run(async {
        let gateway = shared().await;
        let owners = Team::on(gateway, "lending").await;
        let open = json!({"allowedNamespaces": {"from": "All"}});
        owners.patch_spec::<GatewayObject>("main", open).await;
        let guests = Team::bare("lodging").await;
        let spec = json!({"gatewayRef": {"name": "main", "namespace": "lending"}});
        guests.apply_spec::<Agent>("guest", spec).await;
        let guest: Agent = guests.ready("guest").await;
        let before = entry(gateway, agent_id(&guest)).await;

        let pause = json!({"paused": true});
        owners.patch_spec::<GatewayObject>("main", pause).await;
        guests
            .told::<Agent>("guest", "Paused", "True", "Gateway")
            .await;
        guests.disband().await;
        assert_eq!(entry(gateway, agent_id(&guest)).await, before);
        let mut rpc = gateway.rpc().await.unwrap();
        rpc.call("agents.delete", json!({"agentId": agent_id(&guest)}))
            .await
            .unwrap();
    });
}

#[test]
fn a_boards_pause_is_one_write_and_a_board_that_goes_under_it_gives_every_heartbeat_back() {
    run(async {
        let gateway = quiet().await;
        let relay = Relay::start(gateway.port()).unwrap();
        let team = Team::bare("unseated").await;
        team.secret("openclaw", "token", gateway.secret()).await;
        team.apply_spec::<GatewayObject>("main", gateway_spec(&relay.url()))
            .await;
        team.ready::<GatewayObject>("main").await;
        let board = |paused: bool| json!({"gatewayRef": {"name": "main"}, "agentDefaults": {"heartbeat": {"every": "25m"}}, "paused": paused});
        team.apply_spec::<Board>("desk", board(false)).await;
        let names = ["one", "two", "three"];
        for name in names {
            team.apply_spec::<Agent>(name, json!({"boardRef": {"name": "desk"}}))
                .await;
        }
        let mut before = Vec::new();
        for name in names {
            let agent: Agent = team.ready(name).await;
            before.push(entry(&gateway, agent_id(&agent)).await);
        }
        let patches = relay.count("config.patch");
        team.apply_spec::<Board>("desk", board(true)).await;
        for name in names {
            let is_silent = |agent: &Agent| says(agent, "HeartbeatConfigured", "True", "Disabled");
            team.until(name, "silent", is_silent).await;
            assert_eq!(
                beats_every(&gateway, &format!("unseated_{name}")).await,
                "0m"
            );
        }
        assert_eq!(relay.count("config.patch"), patches + 1, "one for all");

        // While the gateway is away the pause is not over for them.
        relay.cut();
        let is_down = |gateway: &GatewayObject| !is_ready(gateway);
        team.until("main", "away", is_down).await;
        team.delete::<Board>("desk").await;
        for name in names {
            team.told::<Agent>(name, "Accepted", "False", "BoardNotFound")
                .await;
            let said = team.told::<Agent>(name, "Paused", "True", "Board").await;
            assert!(said.contains("Gateway main is not connected"), "{said}");
        }
        relay.restore();
        for (name, before) in names.into_iter().zip(before) {
            team.told::<Agent>(name, "Paused", "False", "NotPaused")
                .await;
            assert_eq!(entry(&gateway, &format!("unseated_{name}")).await, before);
            let agent = team.api::<Agent>().get(name).await.unwrap();
            assert_eq!(agent.status.unwrap().places[0].replaced_every, None);
        }
        // The Board comes back, and nothing of what it had is news.
        let patches = relay.count("config.patch");
        team.apply_spec::<Board>("desk", board(false)).await;
        for name in names {
            team.ready::<Agent>(name).await;
        }
        assert_eq!(relay.count("config.patch"), patches);
        team.disband().await;
    });
}

#[test]
fn an_agent_whose_registration_was_sent_and_not_confirmed_does_not_beat_under_a_pause_either() {
    run(async {
        let gateway = quiet().await;
        let team = Team::on(&gateway, "underway").await;
        let pause = |paused: bool| json!({ "paused": paused });
        let main = team.patch_spec::<GatewayObject>("main", pause(true)).await;
        let spec = json!({"gatewayRef": {"name": "main"}, "heartbeat": {"every": "35m", "target": "none"}});
        team.apply_spec::<Agent>("clerk", spec).await;
        team.told::<Agent>("clerk", "Paused", "True", "Gateway")
            .await;
        // An operator that ended between its write and the answer.
        let keys = Keys::from([
            ("name".to_owned(), json!("clerk")),
            ("heartbeat.every".to_owned(), json!("35m")),
            ("heartbeat.target".to_owned(), json!("none")),
        ]);
        let claim = json!({
            "gatewayUid": main.metadata.uid, "gateway": {"name": "main", "namespace": "underway"},
            "agentId": "underway_clerk", "state": "Claimed", "entrySha256": digest(&keys),
        });
        let status = json!({
            "apiVersion": Agent::api_version(&()), "kind": Agent::kind(&()), "metadata": {"name": "clerk"},
            "status": {"places": [claim], "ownKeys": keys.keys().collect::<Vec<_>>()},
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        team.api::<Agent>()
            .patch_status("clerk", &params, &Patch::Apply(status))
            .await
            .unwrap();
        let sent = json!({"name": "clerk", "heartbeat": {"every": "35m", "target": "none"}});
        let mut rpc = gateway.rpc().await.unwrap();
        rpc.patch_config(&json!({"agents": {"entries": {"underway_clerk": sent}}}))
            .await
            .unwrap();
        rpc.config_applied().await.unwrap();

        team.patch_spec::<Agent>("clerk", pause(true)).await;
        team.patch_spec::<GatewayObject>("main", pause(false)).await;
        team.told::<Agent>("clerk", "Paused", "True", "Agent").await;
        team.told::<Agent>("clerk", "HeartbeatConfigured", "True", "Disabled")
            .await;
        assert_eq!(beats_every(&gateway, "underway_clerk").await, "0m");
        team.patch_spec::<Agent>("clerk", pause(false)).await;
        team.ready::<Agent>("clerk").await;
        assert_eq!(entry(&gateway, "underway_clerk").await, sent);
        team.disband().await;
        assert_eq!(entry(&gateway, "underway_clerk").await, Value::Null);
    });
}
