//! Agents that carry this cluster's mark and that no Agent stands for.

use kube::api::{Patch, PatchParams};
use mission_operator::api::{Agent, Gateway as GatewayObject};
use serde_json::json;

use crate::{
    gateways::{entry, quiet, tree},
    invalid::{agents_as_stored, stored_with_role_butler},
    team::{Team, agent_id, condition},
    world::run,
};

#[test]
fn an_agent_whose_object_went_without_a_cleanup_is_told_and_left_alone_until_it_is_taken_up_again()
{
    run(async {
        let gateway = quiet().await;
        let team = Team::on(&gateway, "lost").await;
        let spec = json!({"gatewayRef": {"name": "main"}});
        for name in ["stray", "kept"] {
            team.apply_spec::<Agent>(name, spec.clone()).await;
        }
        let stray: Agent = team.ready("stray").await;
        team.ready::<Agent>("kept").await;
        let none = |gateway: &GatewayObject| {
            condition(gateway, "OrphanedAgents").is_some_and(|it| it.status == "False")
        };
        team.until("main", "nobody is orphaned", none).await;

        // An Agent that does not parse any more stands for its agent all the same.
        let butler = json!({"spec": {"role": "Butler"}});
        let stored = agents_as_stored(&team.namespace).await;
        stored_with_role_butler(async || {
            let patch = Patch::Merge(&butler);
            stored.patch("kept", &PatchParams::default(), &patch).await
        })
        .await;
        team.event("kept", "Warning", "InvalidObject").await;
        let force =
            json!({"metadata": {"annotations": {"mission.openclaw.dev/force-delete": "true"}}});
        team.api::<Agent>()
            .patch("stray", &PatchParams::default(), &Patch::Merge(force))
            .await
            .unwrap();
        team.delete::<Agent>("stray").await;
        let id = agent_id(&stray).to_owned();
        let (there, files) = (entry(&gateway, &id).await, tree(&gateway.workspace(&id)));
        let said = team
            .told::<GatewayObject>("main", "OrphanedAgents", "True", "AgentsOrphaned")
            .await;
        assert!(said.contains("lost_stray (of Agent lost/stray)."), "{said}");
        assert!(!said.contains("kept"), "{said}");
        team.event("main", "Warning", "AgentsOrphaned").await;
        let main: GatewayObject = team.ready("main").await;
        assert_eq!(main.status.unwrap().orphaned_agents, ["lost_stray"]);
        assert_eq!(entry(&gateway, &id).await, there);
        assert_eq!(tree(&gateway.workspace(&id)), files);

        team.apply_spec::<Agent>("stray", spec).await;
        team.ready::<Agent>("stray").await;
        assert_eq!(entry(&gateway, &id).await, there);
        let main: GatewayObject = team.until("main", "nobody is orphaned", none).await;
        assert_eq!(main.status.unwrap().orphaned_agents, [""; 0]);
        team.patch_spec::<Agent>("kept", json!({"role": "Worker"}))
            .await;
        team.ready::<Agent>("kept").await;
        team.disband().await;
    });
}
