//! The end of an Agent: what its deletion leaves on the gateway, and what comes back under the same id.

use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use mission_operator::api::{Agent, Gateway as GatewayObject};
use serde_json::{Value, json};

use crate::{
    bed::relay::Relay,
    gateways::{beating, config, entry, quiet, read, shared},
    team::{Team, agent_id, file, gateway_spec},
    world::run,
};

#[test]
fn a_deleted_agent_leaves_nothing_on_the_gateway() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "life-delete").await;
        team.apply_spec::<Agent>("goner", json!({"gatewayRef": {"name": "main"}}))
            .await;
        let agent: Agent = team.ready("goner").await;
        let id = agent_id(&agent).to_owned();
        assert!(file(&agent, "SOUL.md").exists());

        team.delete::<Agent>("goner").await;
        assert!(
            config(gateway).await["agents"]["entries"]
                .get(&id)
                .is_none()
        );
        assert!(!beating(gateway).await.contains_key(&id));
        assert!(!file(&agent, "SOUL.md").exists());
        let listed = gateway.rpc().await.unwrap().agent_ids().await.unwrap();
        assert!(!listed.contains(&id), "{listed:?}");
        let note = team.event("goner", "Normal", "Deleted").await;
        assert!(note.contains("trash"), "{note}");
    });
}

#[test]
fn a_finalizer_that_somebody_took_off_comes_back_and_the_agent_goes_with_its_object() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "unbound").await;
        team.apply_spec::<Agent>("held", json!({"gatewayRef": {"name": "main"}}))
            .await;
        let agent: Agent = team.ready("held").await;
        let bare = json!({"metadata": {"finalizers": null}});
        team.api::<Agent>()
            .patch("held", &PatchParams::default(), &Patch::Merge(bare))
            .await
            .unwrap();
        team.reconcile_now::<Agent>("held").await;
        team.until("held", "its finalizer is back", |agent: &Agent| {
            !agent.finalizers().is_empty()
        })
        .await;
        team.delete::<Agent>("held").await;
        assert_eq!(entry(gateway, agent_id(&agent)).await, Value::Null);
    });
}

#[test]
fn an_agent_that_comes_back_and_is_refused_at_first_is_still_ours_to_mend_and_to_delete() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "again").await;
        let spec = |target: &str| json!({"gatewayRef": {"name": "main"}, "heartbeat": {"every": "30m", "target": target}});
        for name in ["mended", "deleted"] {
            team.apply_spec::<Agent>(name, spec("none")).await;
            team.ready::<Agent>(name).await;
            team.delete::<Agent>(name).await;
        }
        for name in ["mended", "deleted"] {
            team.apply_spec::<Agent>(name, spec("carrier-pigeon")).await;
            team.told::<Agent>(name, "Registered", "False", "Rejected")
                .await;
        }
        team.reconcile_now::<Agent>("deleted").await;
        team.patch_spec::<Agent>("mended", spec("none")).await;
        team.ready::<Agent>("mended").await;
        let mended = entry(gateway, "again_mended").await;
        assert_eq!(mended["heartbeat"]["target"], "none");
        assert_eq!(mended.get("agentDir"), None, "{mended}");

        for name in ["mended", "deleted"] {
            team.delete::<Agent>(name).await;
            assert_eq!(entry(gateway, &format!("again_{name}")).await, Value::Null);
        }
    });
}

#[test]
fn with_keep_files_the_files_stay_and_with_orphan_the_agent_and_both_without_our_mark() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "leaving").await;
        let spec = |policy: &str| json!({"gatewayRef": {"name": "main"}, "deletionPolicy": policy});
        team.apply_spec::<Agent>("filed", spec("KeepFiles")).await;
        team.apply_spec::<Agent>("freed", spec("Orphan")).await;
        let (filed, freed): (Agent, Agent) = tokio::join!(team.ready("filed"), team.ready("freed"));
        let rules = |agent: &Agent| read(&file(agent, "AGENTS.md"));
        let (kept, orphaned) = (rules(&filed), rules(&freed));
        let (soul, before) = (
            read(&file(&freed, "SOUL.md")),
            entry(gateway, agent_id(&freed)).await,
        );

        for name in ["filed", "freed"] {
            team.delete::<Agent>(name).await;
        }
        assert_eq!(entry(gateway, agent_id(&filed)).await, Value::Null);
        assert!(!beating(gateway).await.contains_key(agent_id(&filed)));
        assert_eq!(entry(gateway, agent_id(&freed)).await, before);
        assert!(beating(gateway).await.contains_key(agent_id(&freed)));
        for (agent, text) in [(&filed, kept), (&freed, orphaned)] {
            let left = rules(agent);
            assert!(text.starts_with(&left), "{left}");
            let mark = text.strip_prefix(&left).unwrap();
            assert!(mark.trim().starts_with("<!-- mission-operator: "), "{mark}");
        }
        assert_eq!(read(&file(&freed, "SOUL.md")), soul);
        let note = team.event("filed", "Normal", "Deleted").await;
        assert!(note.contains("stay in its workspace"), "{note}");
        let note = team.event("freed", "Normal", "Orphaned").await;
        assert!(note.contains("stays on Gateway main"), "{note}");

        // It is nobody's now, so that applying it again takes nothing.
        team.apply_spec::<Agent>("freed", spec("Orphan")).await;
        team.told::<Agent>("freed", "Accepted", "False", "AgentExists")
            .await;
        team.delete::<Agent>("freed").await;
        assert_eq!(entry(gateway, agent_id(&freed)).await, before);
        let mut rpc = gateway.rpc().await.unwrap();
        rpc.call("agents.delete", json!({"agentId": agent_id(&freed)}))
            .await
            .unwrap();
    });
}

#[test]
fn an_agent_whose_object_is_applied_again_after_it_went_without_a_cleanup_is_found_without_a_write()
{
    run(async {
        let gateway = quiet().await;
        let relay = Relay::start(gateway.port()).unwrap();
        let team = Team::bare("found").await;
        team.secret("openclaw", "token", gateway.secret()).await;
        team.apply_spec::<GatewayObject>("main", gateway_spec(&relay.url()))
            .await;
        let spec = json!({"gatewayRef": {"name": "main"}});
        team.apply_spec::<Agent>("again", spec.clone()).await;
        let before: Agent = team.ready("again").await;
        let force =
            json!({"metadata": {"annotations": {"mission.openclaw.dev/force-delete": "true"}}});
        team.api::<Agent>()
            .patch("again", &PatchParams::default(), &Patch::Merge(force))
            .await
            .unwrap();
        team.delete::<Agent>("again").await;
        let writes = || {
            let writes = [
                "config.patch",
                "config.set",
                "agents.create",
                "agents.files.set",
                "cron.scratch.set",
            ];
            writes.map(|method| relay.count(method))
        };
        let (count, there) = (writes(), entry(&gateway, agent_id(&before)).await);
        team.apply_spec::<Agent>("again", spec).await;
        let after: Agent = team.ready("again").await;
        assert_eq!(writes(), count);
        assert_eq!(entry(&gateway, agent_id(&before)).await, there);
        assert_ne!(after.uid(), before.uid());
        team.event("again", "Normal", "OwnershipResumed").await;
        team.disband().await;
    });
}
