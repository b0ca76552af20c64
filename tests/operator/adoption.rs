//! Agents that are on a gateway before their Agent: who takes them over, what of them stays, and what is kept.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use mission_operator::api::{Agent, Gateway as GatewayObject, agent::FileState};
use serde_json::{Value, json};

use crate::{
    bed::{gateway::Gateway, relay::Relay},
    gateways::{beating, entry, quiet, read, shared, tree},
    moves::{gateway_beside, ready_at},
    team::{Team, condition, is_ready, says},
    world::{file_is, run, world},
};

/// Puts an agent of somebody else on a gateway, with files.
pub(super) async fn theirs(gateway: &Gateway, id: &str, entry: &Value, files: &[(&str, &str)]) {
    let mut rpc = gateway.rpc().await.unwrap();
    let patch = json!({"agents": {"entries": {id: entry}}});
    rpc.patch_config(&patch).await.unwrap();
    rpc.config_applied().await.unwrap();
    let workspace = gateway.workspace(id);
    std::fs::create_dir_all(&workspace).unwrap();
    for (name, text) in files {
        std::fs::write(workspace.join(name), text).unwrap();
    }
}

/// Takes an agent off a gateway, as its owner does.
pub(super) async fn remove(gateway: &Gateway, id: &str) {
    let mut rpc = gateway.rpc().await.unwrap();
    rpc.call("agents.delete", json!({"agentId": id}))
        .await
        .unwrap();
    rpc.config_applied().await.unwrap();
}

async fn secrets(team: &Team) -> Api<Secret> {
    Api::namespaced(world().await.client.clone(), &team.namespace)
}

fn text(secret: &Secret, key: &str) -> String {
    let data = secret.data.as_ref().unwrap();
    String::from_utf8(data[key].0.clone()).unwrap()
}

#[test]
fn an_unmarked_agent_is_taken_over_with_what_the_spec_does_not_name_and_its_old_texts_are_kept() {
    run(async {
        let gateway = quiet().await;
        let team = Team::on(&gateway, "heirs").await;
        let before = json!({
            "name": "Old Hand", "model": "fake/fake-2", "tools": {"exec": {"notifyOnExit": false}},
            "heartbeat": {"every": "3h", "target": "none"},
        });
        let files = [
            ("AGENTS.md", "Old rules with token s3cr3t-of-old.\n"),
            ("SOUL.md", "Old soul.\n"),
            ("MEMORY.md", "Old memory.\n"),
            ("USER.md", "Old user.\n"),
        ];
        theirs(&gateway, "heirs_hand", &before, &files).await;
        let spec = |policy: &str| json!({"gatewayRef": {"name": "main"}, "adoptionPolicy": policy});
        team.apply_spec::<Agent>("hand", spec("Never")).await;
        let said = team
            .told::<Agent>("hand", "Accepted", "False", "AgentExists")
            .await;
        assert!(
            said.contains("named \"Old Hand\", with model fake/fake-2 and a heartbeat every 3h"),
            "{said}"
        );
        assert!(said.contains("adoptionPolicy: IfUnmarked"), "{said}");
        assert!(!said.contains("s3cr3t-of-old"), "{said}");

        team.apply_spec::<Agent>("hand", spec("IfUnmarked")).await;
        let agent: Agent = team.ready("hand").await;
        assert_eq!(entry(&gateway, "heirs_hand").await, before);
        let workspace = gateway.workspace("heirs_hand");
        for (name, text) in &files[2..] {
            assert_eq!(read(&workspace.join(name)), *text, "Seed files stay");
        }
        assert!(read(&workspace.join("AGENTS.md")).contains("name=hand adopted=true -->"));
        let status = agent.status.as_ref().unwrap();
        assert!(status.places[0].adopted);
        assert_eq!(status.own_keys, [""; 0]);
        let memory = status.files.iter().find(|file| file.name == "MEMORY.md");
        assert_eq!(memory.unwrap().state, FileState::Seeded);
        let note = team.event("hand", "Normal", "Adopted").await;
        assert!(note.contains("Secret hand-adopted"), "{note}");
        assert!(!note.contains("s3cr3t-of-old"), "{note}");
        let secret = secrets(&team).await.get("hand-adopted").await.unwrap();
        for (name, old) in &files[..2] {
            assert_eq!(text(&secret, name), *old);
        }
        assert_eq!(secret.owner_references()[0].uid, agent.uid().unwrap());

        // What a pause replaces of what is not ours comes back.
        team.patch_spec::<Agent>("hand", json!({"paused": true}))
            .await;
        team.told::<Agent>("hand", "Paused", "True", "Agent").await;
        assert_eq!(
            entry(&gateway, "heirs_hand").await["heartbeat"]["every"],
            "0m"
        );
        team.patch_spec::<Agent>("hand", json!({"paused": false}))
            .await;
        team.until("hand", "Ready and not paused", |agent: &Agent| {
            is_ready(agent) && says(agent, "Paused", "False", "NotPaused")
        })
        .await;
        assert_eq!(entry(&gateway, "heirs_hand").await, before);

        // What the spec names is ours, and only that.
        team.patch_spec::<Agent>("hand", json!({"model": "fake/fake-1"}))
            .await;
        let agent: Agent = team.ready("hand").await;
        let mut after = before.clone();
        after["model"] = json!("fake/fake-1");
        assert_eq!(entry(&gateway, "heirs_hand").await, after);
        assert_eq!(agent.status.unwrap().own_keys, ["model"]);
        team.disband().await;
        assert_eq!(entry(&gateway, "heirs_hand").await, Value::Null);
    });
}

#[test]
fn an_agent_with_a_mark_or_too_much_text_or_a_taken_secret_is_left_as_it_is() {
    run(async {
        let gateway = quiet().await;
        let team = Team::on(&gateway, "strangers").await;
        let marked = "Theirs.\n\n<!-- mission-operator: cluster=elsewhere namespace=a name=b -->\n";
        let large = "x".repeat(600_000);
        let plain = json!({"name": "Theirs"});
        for (id, files) in [
            ("strangers_marked", &[("AGENTS.md", marked)][..]),
            (
                "strangers_large",
                &[("AGENTS.md", large.as_str()), ("SOUL.md", large.as_str())],
            ),
            ("strangers_taken", &[("AGENTS.md", "Theirs.\n")]),
        ] {
            theirs(&gateway, id, &plain, files).await;
        }
        team.secret("taken-adopted", "mine", "Mine.").await;
        let ids = ["strangers_marked", "strangers_large", "strangers_taken"];
        let trees = || ids.map(|id| tree(&gateway.workspace(id)));
        let before = trees();
        let spec = json!({"gatewayRef": {"name": "main"}, "adoptionPolicy": "IfUnmarked"});
        for (name, reason, words) in [
            (
                "marked",
                "AgentExists",
                "mark of another Agent, or of another cluster's",
            ),
            ("large", "AdoptionTooLarge", "larger than what one Secret"),
            (
                "taken",
                "SecretExists",
                "Secret taken-adopted, which exists",
            ),
        ] {
            team.apply_spec::<Agent>(name, spec.clone()).await;
            let said = team.told::<Agent>(name, "Accepted", "False", reason).await;
            assert!(said.contains(words), "{said}");
        }
        assert_eq!(trees(), before);
        for id in ids {
            assert_eq!(entry(&gateway, id).await, plain);
        }
        let secrets = secrets(&team).await;
        assert_eq!(
            text(&secrets.get("taken-adopted").await.unwrap(), "mine"),
            "Mine."
        );
        assert!(secrets.get_opt("large-adopted").await.unwrap().is_none());

        // Once the name is free it goes on by itself.
        secrets
            .delete("taken-adopted", &kube::api::DeleteParams::default())
            .await
            .unwrap();
        team.reconcile_now::<Agent>("taken").await;
        team.ready::<Agent>("taken").await;
        let kept = secrets.get("taken-adopted").await.unwrap();
        assert_eq!(text(&kept, "AGENTS.md"), "Theirs.\n");
        for name in ["marked", "large"] {
            team.delete::<Agent>(name).await;
        }
        assert_eq!(entry(&gateway, ids[0]).await, plain);
        team.disband().await;
        for id in &ids[..2] {
            remove(&gateway, id).await;
        }
    });
}

#[test]
fn another_namespace_adopts_only_where_the_gateway_allows_it() {
    run(async {
        let gateway = quiet().await;
        let owners = Team::on(&gateway, "lenders").await;
        let open = json!({"allowedNamespaces": {"from": "All"}});
        owners.patch_spec::<GatewayObject>("main", open).await;
        theirs(
            &gateway,
            "guests_old",
            &json!({"name": "Old"}),
            &[("SOUL.md", "Old soul.\n")],
        )
        .await;
        let guests = Team::bare("guests").await;
        let spec = json!({
            "gatewayRef": {"name": "main", "namespace": "lenders"}, "adoptionPolicy": "IfUnmarked",
            "displayName": "New", "heartbeat": {"every": "2h"},
        });
        guests.apply_spec::<Agent>("old", spec).await;
        let said = guests
            .told::<Agent>("old", "Accepted", "False", "AgentExists")
            .await;
        assert!(
            said.contains("spec.allowedNamespaces.adoption: true"),
            "{said}"
        );
        let open = json!({"allowedNamespaces": {"from": "All", "adoption": true}});
        owners.patch_spec::<GatewayObject>("main", open).await;
        guests.ready::<Agent>("old").await;
        let now = entry(&gateway, "guests_old").await;
        assert_eq!(now, json!({"name": "New", "heartbeat": {"every": "2h"}}));
        assert!(beating(&gateway).await.contains_key("guests_old"));
        let secret = secrets(&guests).await.get("old-adopted").await.unwrap();
        assert_eq!(text(&secret, "SOUL.md"), "Old soul.\n");

        // A file that was the agent's own so far is kept as well before it is overwritten.
        let memory = gateway.workspace("guests_old").join("MEMORY.md");
        std::fs::write(&memory, "Old memory.\n").unwrap();
        let enforced = json!({"files": [{"name": "MEMORY.md", "content": "New memory.\n", "policy": "Enforce"}]});
        guests.patch_spec::<Agent>("old", enforced).await;
        file_is(&memory, |text| text == "New memory.\n").await;
        let secret = secrets(&guests).await.get("old-adopted").await.unwrap();
        assert_eq!(text(&secret, "MEMORY.md"), "Old memory.\n");
        let note = guests.event("old", "Normal", "TextsKept").await;
        assert!(note.contains("Secret old-adopted"), "{note}");

        // What was ours of its heartbeat goes, and it beats by the gateway's default, as the others do: also after a pause.
        let bare = json!({"name": "New", "heartbeat": {}});
        guests
            .patch_spec::<Agent>("old", json!({"heartbeat": null}))
            .await;
        guests.ready::<Agent>("old").await;
        assert_eq!(entry(&gateway, "guests_old").await, bare);
        guests
            .patch_spec::<Agent>("old", json!({"paused": true}))
            .await;
        guests.told::<Agent>("old", "Paused", "True", "Agent").await;
        assert!(!beating(&gateway).await.contains_key("guests_old"));
        guests
            .patch_spec::<Agent>("old", json!({"paused": false}))
            .await;
        guests
            .until("old", "Ready and not paused", |agent: &Agent| {
                is_ready(agent) && says(agent, "Paused", "False", "NotPaused")
            })
            .await;
        assert_eq!(entry(&gateway, "guests_old").await, bare);
        assert!(beating(&gateway).await.contains_key("guests_old"));
        guests.reconcile_now::<Agent>("old").await;
        guests
            .until("old", "it is known to beat", |agent: &Agent| {
                condition(agent, "Online").is_some_and(|it| it.reason != "NoHeartbeat")
            })
            .await;
        guests.disband().await;
        owners.disband().await;
    });
}

async fn force_delete(team: &Team, name: &str) {
    let force = json!({"metadata": {"annotations": {"mission.openclaw.dev/force-delete": "true"}}});
    team.api::<Agent>()
        .patch(name, &PatchParams::default(), &Patch::Merge(force))
        .await
        .unwrap();
    team.delete::<Agent>(name).await;
}

#[test]
fn an_adopted_agent_keeps_what_is_its_owners_when_its_place_is_taken_up_again() {
    run(async {
        let (elsewhere, gateway) = (shared().await, quiet().await);
        let team = Team::on(elsewhere, "heirlooms").await;
        let relay = Relay::start(gateway.port()).unwrap();
        gateway_beside(&team, "second", &gateway, &relay.url()).await;
        gateway_beside(&team, "third", &gateway, &gateway.url()).await;
        let before = json!({
            "name": "Old Hand", "model": "fake/fake-2", "heartbeat": {"every": "3h", "target": "none"},
        });
        let id = "heirlooms_hand";
        theirs(&gateway, id, &before, &[("MEMORY.md", "Old memory.\n")]).await;
        let spec = |gateway: &str| json!({"gatewayRef": {"name": gateway}, "adoptionPolicy": "IfUnmarked"});
        let is_theirs = async |agent: &Agent| {
            assert_eq!(entry(&gateway, id).await, before);
            let status = agent.status.as_ref().unwrap();
            assert!(status.places[0].adopted);
            assert_eq!(status.own_keys, [""; 0]);
            let memory = gateway.workspace(id).join("MEMORY.md");
            assert_eq!(read(&memory), "Old memory.\n");
        };
        team.apply_spec::<Agent>("hand", spec("second")).await;
        is_theirs(&ready_at(&team, "hand", &[("second", false)]).await).await;

        // Another Gateway object of the same gateway, and back.
        for name in ["third", "second"] {
            team.apply_spec::<Agent>("hand", spec(name)).await;
            is_theirs(&ready_at(&team, "hand", &[(name, false)]).await).await;
        }

        // Another gateway, and back while the agent is still at the old one.
        relay.cut();
        let is_down = |gateway: &GatewayObject| !is_ready(gateway);
        team.until("second", "away", is_down).await;
        team.apply_spec::<Agent>("hand", spec("main")).await;
        ready_at(&team, "hand", &[("main", false), ("second", true)]).await;
        team.apply_spec::<Agent>("hand", spec("second")).await;
        team.told::<Agent>("hand", "Registered", "Unknown", "GatewayUnreachable")
            .await;
        relay.restore();
        is_theirs(&ready_at(&team, "hand", &[("second", false)]).await).await;
        assert_eq!(entry(elsewhere, id).await, Value::Null);

        // The object goes without a cleanup, and with it what it knew.
        force_delete(&team, "hand").await;
        team.apply_spec::<Agent>("hand", spec("second")).await;
        is_theirs(&ready_at(&team, "hand", &[("second", false)]).await).await;
        team.event("hand", "Normal", "OwnershipResumed").await;
        team.disband().await;
        assert_eq!(entry(&gateway, id).await, Value::Null);
    });
}
