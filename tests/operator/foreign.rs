//! What is not ours: agents, heartbeats, settings and files of others, and ids that several want.

use mission_operator::api::{Agent, Gateway as GatewayObject};
use serde_json::{Value, json};

use crate::{
    gateways::{FOREIGN, beating, config, entry, quiet, shared, tree},
    team::{Team, agent_id, says},
    world::run,
};

#[test]
fn an_agent_that_is_there_already_is_left_value_for_value_and_file_for_file() {
    run(async {
        let gateway = shared().await;
        let theirs = entry(gateway, "watchman").await;
        assert_eq!(theirs["name"], "Night Watch");
        let workspace = gateway.workspace("watchman");
        std::fs::create_dir_all(&workspace).unwrap();
        std::fs::write(workspace.join("AGENTS.md"), "Theirs alone.\n").unwrap();
        let before = tree(&workspace);

        let team = Team::on(gateway, "foreign").await;
        let spec =
            json!({"gatewayRef": {"name": "main"}, "agentId": "watchman", "displayName": "Mine"});
        team.apply_spec::<Agent>("mine", spec).await;
        let message = team
            .told::<Agent>("mine", "Accepted", "False", "AgentExists")
            .await;
        assert!(
            message.contains("\"watchman\" is on the gateway already"),
            "{message}"
        );
        assert!(message.contains("another spec.agentId"), "{message}");
        team.told::<Agent>("mine", "Stalled", "True", "AgentExists")
            .await;
        team.event("mine", "Warning", "AgentExists").await;
        assert_eq!(entry(gateway, "watchman").await, theirs);

        team.delete::<Agent>("mine").await;
        assert_eq!(entry(gateway, "watchman").await, theirs);
        assert_eq!(tree(&workspace), before);
        assert!(beating(gateway).await.contains_key("watchman"));
    });
}

#[test]
fn the_gateways_own_main_cannot_be_taken() {
    run(async {
        let gateway = shared().await;
        let before = entry(gateway, "main").await;
        let team = Team::on(gateway, "foreign-main").await;
        let spec = json!({"gatewayRef": {"name": "main"}, "agentId": "main", "adoptionPolicy": "IfUnmarked"});
        team.apply_spec::<Agent>("main", spec).await;
        let said = team
            .told::<Agent>("main", "Accepted", "False", "AgentExists")
            .await;
        assert!(said.contains("the gateway's own"), "{said}");
        team.delete::<Agent>("main").await;
        assert_eq!(entry(gateway, "main").await, before);
    });
}

#[test]
fn a_claim_that_was_never_used_gives_no_right_to_what_somebody_made_under_the_id_meanwhile() {
    run(async {
        let gateway = quiet().await;
        let team = Team::on(&gateway, "unused").await;
        let spec = |target: &str| json!({"gatewayRef": {"name": "main"}, "heartbeat": {"every": "30m", "target": target}});
        for name in ["mended", "deleted"] {
            team.apply_spec::<Agent>(name, spec("carrier-pigeon")).await;
            team.told::<Agent>(name, "Registered", "False", "Rejected")
                .await;
        }
        let theirs = json!({"name": "Theirs", "heartbeat": {"every": "2h", "target": "none"}});
        let entries = json!({"unused_mended": theirs, "unused_deleted": theirs});
        let mut rpc = gateway.rpc().await.unwrap();
        rpc.patch_config(&json!({"agents": {"entries": entries}}))
            .await
            .unwrap();
        let workspaces =
            ["mended", "deleted"].map(|name| gateway.workspace(&format!("unused_{name}")));
        for workspace in &workspaces {
            std::fs::create_dir_all(workspace).unwrap();
            std::fs::write(workspace.join("SOUL.md"), "Theirs alone.\n").unwrap();
        }
        let before = workspaces.each_ref().map(|workspace| tree(workspace));

        team.patch_spec::<Agent>("mended", spec("none")).await;
        team.told::<Agent>("mended", "Accepted", "False", "AgentExists")
            .await;
        for name in ["mended", "deleted"] {
            team.delete::<Agent>(name).await;
        }
        let after = config(&gateway).await["agents"]["entries"].clone();
        for (id, entry) in entries.as_object().unwrap() {
            assert_eq!(after[id], *entry);
        }
        assert_eq!(
            workspaces.each_ref().map(|workspace| tree(workspace)),
            before
        );
        team.disband().await;
        for id in entries.as_object().unwrap().keys() {
            rpc.call("agents.delete", json!({"agentId": id}))
                .await
                .unwrap();
            rpc.config_applied().await.unwrap();
        }
    });
}

#[test]
fn of_two_agents_with_one_id_the_older_has_it_until_it_goes() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "rivals").await;
        let rivals = Team::on(gateway, "rivals-elsewhere").await;
        let spec = |name: &str| json!({"gatewayRef": {"name": "main"}, "agentId": "rivals_prize", "displayName": name});
        team.apply_spec::<Agent>("first", spec("First")).await;
        team.ready::<Agent>("first").await;
        team.apply_spec::<Agent>("second", spec("Second")).await;
        rivals.apply_spec::<Agent>("third", spec("Third")).await;
        let message = team
            .told::<Agent>("second", "Accepted", "False", "AgentIdConflict")
            .await;
        assert!(message.starts_with("Agent first has the id"), "{message}");
        team.told::<Agent>("second", "Reconciling", "True", "AgentIdConflict")
            .await;
        // The same gateway through another Gateway object; nobody else's object is named.
        let message = rivals
            .told::<Agent>("third", "Accepted", "False", "AgentIdConflict")
            .await;
        assert!(
            message.starts_with("an Agent of another namespace has"),
            "{message}"
        );
        assert_eq!(entry(gateway, "rivals_prize").await["name"], "First");

        rivals.delete::<Agent>("third").await;
        assert_eq!(entry(gateway, "rivals_prize").await["name"], "First");
        team.ready::<Agent>("first").await;
        team.delete::<Agent>("first").await;
        team.ready::<Agent>("second").await;
        assert_eq!(entry(gateway, "rivals_prize").await["name"], "Second");
    });
}

#[test]
fn after_all_of_ours_are_gone_everything_of_others_is_as_before_and_beats_all_along() {
    run(async {
        let gateway = quiet().await;
        let before = config(&gateway).await;
        assert_eq!(before["agents"]["entries"]["main"], json!({}));
        let own: Vec<_> = beating(&gateway).await.into_keys().collect();
        assert_eq!(own, FOREIGN, "who beats by the defaults");
        for agent in FOREIGN {
            let workspace = gateway.workspace(agent);
            std::fs::create_dir_all(&workspace).unwrap();
            std::fs::write(workspace.join("MEMORY.md"), format!("{agent}'s own\n")).unwrap();
        }
        let trees = || FOREIGN.map(|agent| tree(&gateway.workspace(agent)));
        let files = trees();

        let team = Team::on(&gateway, "kept").await;
        let other = Team::on(&gateway, "kept-too").await;
        for (team, name) in [(&team, "one"), (&team, "two"), (&other, "three")] {
            team.apply_spec::<Agent>(name, json!({"gatewayRef": {"name": "main"}}))
                .await;
        }
        for (team, name) in [(&team, "one"), (&team, "two"), (&other, "three")] {
            let agent: Agent = team.ready(name).await;
            assert!(beating(&gateway).await.contains_key(agent_id(&agent)));
        }
        let now = beating(&gateway).await;
        for agent in FOREIGN {
            assert!(now.contains_key(agent), "{agent} fell silent: {now:?}");
        }
        assert_eq!(entry(&gateway, "main").await, json!({"heartbeat": {}}));
        let kept = |object: &GatewayObject| {
            let kept = object.status.as_ref().map(|status| &status.kept_heartbeats);
            kept.is_some_and(|kept| *kept == FOREIGN)
        };
        team.until("main", "both kept", kept).await;
        let note = team.event("main", "Normal", "HeartbeatsKept").await;
        assert!(note.contains("main, scribe"), "{note}");

        // The Gateway object that knew first goes first: the other one knows as well.
        team.disband().await;
        assert!(beating(&gateway).await.contains_key("main"));
        other.until("main", "still kept", kept).await;
        other.delete::<Agent>("three").await;
        let released = |object: &GatewayObject| {
            object
                .status
                .as_ref()
                .is_some_and(|it| it.kept_heartbeats.is_empty())
        };
        other.until("main", "released", released).await;
        other.event("main", "Normal", "HeartbeatsReleased").await;
        other.disband().await;
        let mut after = config(&gateway).await;
        // The gateway's own doing on any write.
        after.as_object_mut().unwrap().remove("meta");
        let mut before = before;
        before.as_object_mut().unwrap().remove("meta");
        assert_eq!(after, before);
        assert_eq!(trees(), files);
        let own: Vec<_> = beating(&gateway).await.into_keys().collect();
        assert_eq!(own, FOREIGN);
    });
}

#[test]
fn where_heartbeats_of_others_are_not_kept_nothing_is_written_for_them() {
    run(async {
        let gateway = quiet().await;
        let team = Team::on(&gateway, "stopped").await;
        team.patch_spec::<GatewayObject>("main", json!({"foreignHeartbeats": "Stop"}))
            .await;
        team.apply_spec::<Agent>("only", json!({"gatewayRef": {"name": "main"}}))
            .await;
        let agent: Agent = team.ready("only").await;
        assert_eq!(entry(&gateway, "main").await, json!({}));
        let beats: Vec<_> = beating(&gateway).await.into_keys().collect();
        assert_eq!(beats, [agent_id(&agent)]);
        let note = team.event("main", "Warning", "HeartbeatsStopped").await;
        assert!(note.contains("main, scribe"), "{note}");
        team.delete::<Agent>("only").await;
        let beats: Vec<_> = beating(&gateway).await.into_keys().collect();
        assert_eq!(beats, FOREIGN);
        let gone = |object: &GatewayObject| says(object, "Ready", "True", "Reconciled");
        team.until("main", "Ready", gone).await;
        assert_eq!(entry(&gateway, "main").await, json!({}));
        assert_ne!(config(&gateway).await["agents"], Value::Null);
        team.disband().await;
    });
}

#[test]
fn a_namespace_that_goes_with_its_secret_takes_back_what_kept_heartbeats_of_others() {
    run(async {
        let gateway = quiet().await;
        let before = config(&gateway).await["agents"].clone();
        let team = Team::on(&gateway, "kept-briefly").await;
        team.apply_spec::<Agent>("only", json!({"gatewayRef": {"name": "main"}}))
            .await;
        team.ready::<Agent>("only").await;
        assert_eq!(entry(&gateway, "main").await, json!({"heartbeat": {}}));
        team.disband().await;
        assert_eq!(config(&gateway).await["agents"], before);
        let own: Vec<_> = beating(&gateway).await.into_keys().collect();
        assert_eq!(own, FOREIGN);
    });
}
