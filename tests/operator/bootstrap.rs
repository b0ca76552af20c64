//! First registration on a gateway as out of the box, which fills new workspaces with files of its own.

use mission_operator::api::Agent;
use serde_json::json;

use crate::{
    gateways::{quiet, read},
    team::{Team, file},
    world::run,
};

#[test]
fn seeded_files_replace_what_the_gateway_put_there_and_its_bootstrap_is_emptied() {
    run(async {
        let gateway = quiet().await;
        let team = Team::on(&gateway, "boot").await;
        let spec = json!({
            "gatewayRef": {"name": "main"},
            "files": [{"name": "USER.md", "content": "Ours, once.\n", "policy": "Seed"}],
        });
        team.apply_spec::<Agent>("newborn", spec).await;
        let agent: Agent = team.ready("newborn").await;
        assert_eq!(read(&file(&agent, "USER.md")), "Ours, once.\n");
        assert!(read(&file(&agent, "SOUL.md")).starts_with("# Soul\n"));
        assert!(read(&file(&agent, "MEMORY.md")).starts_with("# Memory\n"));
        let bootstrap = std::fs::read_to_string(file(&agent, "BOOTSTRAP.md"));
        assert!(
            bootstrap.as_deref().unwrap_or_default().is_empty(),
            "{bootstrap:?}"
        );

        // The first run is where the gateway fills the workspace, if it has not yet.
        let id = crate::team::agent_id(&agent);
        let mut rpc = gateway.rpc().await.unwrap();
        let turn = json!({"agentId": id, "message": "Hello", "idempotencyKey": "boot-newborn"});
        rpc.call("agent", turn).await.unwrap();
        let ended = rpc
            .call(
                "agent.wait",
                json!({"runId": "boot-newborn", "timeoutMs": 60_000}),
            )
            .await
            .unwrap();
        assert_eq!(ended["status"], "ok", "{ended}");
        team.reconcile_now::<Agent>("newborn").await;
        team.ready::<Agent>("newborn").await;
        assert_eq!(read(&file(&agent, "USER.md")), "Ours, once.\n");
        assert!(read(&file(&agent, "SOUL.md")).starts_with("# Soul\n"));
        let bootstrap = std::fs::read_to_string(file(&agent, "BOOTSTRAP.md"));
        assert!(
            bootstrap.as_deref().unwrap_or_default().is_empty(),
            "{bootstrap:?}"
        );
        team.disband().await;
    });
}

#[test]
fn a_bootstrap_that_is_declared_is_written_once_and_never_again() {
    run(async {
        let gateway = quiet().await;
        let team = Team::on(&gateway, "boot-own").await;
        let spec = json!({
            "gatewayRef": {"name": "main"},
            "files": [{"name": "BOOTSTRAP.md", "content": "Say hello, then delete this file.\n"}],
        });
        team.apply_spec::<Agent>("newborn", spec).await;
        let agent: Agent = team.ready("newborn").await;
        let path = file(&agent, "BOOTSTRAP.md");
        assert_eq!(read(&path), "Say hello, then delete this file.\n");
        // As the agent itself does when it is done.
        std::fs::remove_file(&path).unwrap();
        std::fs::write(file(&agent, "SOUL.md"), "damaged").unwrap();
        team.reconcile_now::<Agent>("newborn").await;
        let restored = |text: &str| text.starts_with("# Soul\n");
        crate::world::file_is(&file(&agent, "SOUL.md"), restored).await;
        let note = team.event("newborn", "Normal", "DriftCorrected").await;
        assert!(note.ends_with("put back: SOUL.md."), "{note}");
        assert!(!path.exists());
        team.disband().await;
    });
}
