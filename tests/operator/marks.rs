//! The mark in an agent's AGENTS.md decides whose it is, whatever was claimed or recorded.

use kube::{
    Resource as _, ResourceExt as _,
    api::{Patch, PatchParams},
};
use mission_operator::{
    api::{Agent, Gateway as GatewayObject, annotation::FIELD_MANAGER},
    plan::entry::{Keys, digest},
};
use serde_json::{Value, json};

use crate::{
    adoption::{remove, theirs},
    bed::relay::Relay,
    gateways::{beating, entry, quiet, read, tree},
    team::{Team, file, gateway_spec, says},
    world::run,
};

const MARK_OF_ANOTHER: &str =
    "Theirs.\n\n<!-- mission-operator: cluster=elsewhere namespace=a name=b -->\n";

#[test]
fn of_two_clusters_that_come_by_one_agent_the_one_whose_mark_it_carries_has_it() {
    run(async {
        let gateway = quiet().await;
        let team = Team::on(&gateway, "twins").await;
        let pause = |paused: bool| json!({ "paused": paused });
        let main = team.patch_spec::<GatewayObject>("main", pause(true)).await;
        let marked =
            "Theirs.\n\n<!-- mission-operator: cluster=elsewhere namespace=twins name=a -->\n";
        let files = [("AGENTS.md", marked), ("SOUL.md", "Theirs.\n")];
        let names = ["made", "adopted"];
        let id = |name: &str| format!("twins_{name}");
        // Both clusters have written down a claim for what the same manifest says, and the other one was faster.
        let entry_of =
            |name: &str| json!({"name": name, "heartbeat": {"every": "10m", "target": "none"}});
        for (name, state) in names.into_iter().zip(["Claimed", "Adopting"]) {
            theirs(&gateway, &id(name), &entry_of(name), &files).await;
            let spec = json!({"gatewayRef": {"name": "main"}, "adoptionPolicy": "IfUnmarked"});
            team.apply_spec::<Agent>(name, spec).await;
            team.told::<Agent>(name, "Paused", "True", "Gateway").await;
            let keys = Keys::from([
                ("name".to_owned(), json!(name)),
                ("heartbeat.every".to_owned(), json!("10m")),
                ("heartbeat.target".to_owned(), json!("none")),
            ]);
            let claim = json!({
                "gatewayUid": main.uid(), "gateway": {"name": "main", "namespace": "twins"},
                "agentId": id(name), "state": state, "adopted": state == "Adopting",
                "entrySha256": digest(&keys),
            });
            let own_keys: Vec<_> = keys.keys().collect();
            let status = json!({
                "apiVersion": Agent::api_version(&()), "kind": Agent::kind(&()), "metadata": {"name": name},
                "status": {"places": [claim], "ownKeys": own_keys},
            });
            // As the operator writes it: what somebody else has written there it would not take away again.
            let params = PatchParams::apply(FIELD_MANAGER).force();
            team.api::<Agent>()
                .patch_status(name, &params, &Patch::Apply(status))
                .await
                .unwrap();
        }
        let trees = || names.map(|name| tree(&gateway.workspace(&id(name))));
        let before = trees();
        team.patch_spec::<GatewayObject>("main", pause(false)).await;
        for name in names {
            let said = team
                .told::<Agent>(name, "Accepted", "False", "AgentExists")
                .await;
            assert!(said.contains("carries the mark of another"), "{said}");
            let no_place =
                |agent: &Agent| agent.status.as_ref().is_some_and(|it| it.places.is_empty());
            team.until(name, "its claim is forgotten", no_place).await;
            team.delete::<Agent>(name).await;
            assert_eq!(entry(&gateway, &id(name)).await, entry_of(name));
        }
        assert_eq!(trees(), before);
        team.disband().await;
        for name in names {
            remove(&gateway, &id(name)).await;
        }
    });
}

#[test]
fn an_agent_that_another_cluster_has_made_its_own_since_is_left_to_it() {
    run(async {
        let gateway = quiet().await;
        let team = Team::on(&gateway, "bygone").await;
        for name in ["edited", "deleted"] {
            team.apply_spec::<Agent>(name, json!({"gatewayRef": {"name": "main"}}))
                .await;
            let agent: Agent = team.ready(name).await;
            std::fs::write(file(&agent, "AGENTS.md"), MARK_OF_ANOTHER).unwrap();
        }
        team.delete::<Agent>("deleted").await;
        let note = team.event("deleted", "Warning", "LeftOnGateway").await;
        assert!(note.contains("carries the mark of another"), "{note}");

        let theirs = json!({"agents": {"entries": {"bygone_edited": {"name": "Theirs"}}}});
        let mut rpc = gateway.rpc().await.unwrap();
        rpc.patch_config(&theirs).await.unwrap();
        let said = team
            .told::<Agent>("edited", "Accepted", "False", "AgentExists")
            .await;
        assert!(said.contains("carries the mark of another"), "{said}");
        let no_place = |agent: &Agent| agent.status.as_ref().is_some_and(|it| it.places.is_empty());
        team.until("edited", "its claim is forgotten", no_place)
            .await;
        team.delete::<Agent>("edited").await;
        assert_eq!(entry(&gateway, "bygone_edited").await["name"], "Theirs");
        for id in ["bygone_edited", "bygone_deleted"] {
            assert_ne!(entry(&gateway, id).await, Value::Null);
            let rules = gateway.workspace(id).join("AGENTS.md");
            assert_eq!(read(&rules), MARK_OF_ANOTHER);
        }
        // Their heartbeats keep those of others silent without a block of their own, which stays as long as they are there.
        for id in ["bygone_edited", "bygone_deleted"] {
            remove(&gateway, id).await;
        }
        team.disband().await;
        assert_eq!(entry(&gateway, "main").await, json!({}));
    });
}

#[test]
fn an_agent_whose_workspace_carries_the_mark_of_another_is_taken_off_again_and_not_made_twice() {
    run(async {
        let gateway = quiet().await;
        let relay = Relay::start(gateway.port()).unwrap();
        let team = Team::bare("haunted").await;
        team.secret("openclaw", "token", gateway.secret()).await;
        team.apply_spec::<GatewayObject>("main", gateway_spec(&relay.url()))
            .await;
        team.ready::<GatewayObject>("main").await;
        let workspace = gateway.workspace("haunted_house");
        std::fs::create_dir_all(&workspace).unwrap();
        std::fs::write(workspace.join("AGENTS.md"), MARK_OF_ANOTHER).unwrap();

        let spec = json!({"gatewayRef": {"name": "main"}, "adoptionPolicy": "IfUnmarked"});
        team.apply_spec::<Agent>("house", spec).await;
        let said = team
            .told::<Agent>("house", "Accepted", "False", "AgentExists")
            .await;
        assert!(said.contains("was taken off again"), "{said}");
        let agent = team.api::<Agent>().get("house").await.unwrap();
        assert!(!says(&agent, "Registered", "True", "Registered"));
        assert_eq!(agent.status.unwrap().places, []);
        assert_eq!(entry(&gateway, "haunted_house").await, Value::Null);
        assert!(!beating(&gateway).await.contains_key("haunted_house"));
        assert_eq!(read(&workspace.join("AGENTS.md")), MARK_OF_ANOTHER);
        let patches = relay.count("config.patch");
        // Whatever else is changed on the object has it looked at again, and not made again.
        let note = json!({"metadata": {"labels": {"looked": "at"}}});
        team.api::<Agent>()
            .patch("house", &PatchParams::default(), &Patch::Merge(note))
            .await
            .unwrap();
        let looks = relay.count("config.get");
        let looked = relay.until(|seen| seen.count("config.get") > looks);
        tokio::time::timeout(crate::world::PATIENCE, looked)
            .await
            .expect("it is looked at again");
        assert_eq!(relay.count("config.patch"), patches);

        std::fs::remove_dir_all(&workspace).unwrap();
        team.reconcile_now::<Agent>("house").await;
        team.ready::<Agent>("house").await;
        team.disband().await;
    });
}
