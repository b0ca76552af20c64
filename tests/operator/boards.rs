//! Boards, and what a change of a Board's or a Gateway's text reaches.

use mission_operator::api::{Agent, Board, Gateway as GatewayObject};
use serde_json::json;

use crate::{
    gateways::{checklist, entry, read, shared, tree},
    team::{Team, agent_id, file, gateway_manifest},
    world::{file_is, run},
};

#[test]
fn a_board_and_a_gateway_that_come_later_heal_what_waits_for_them() {
    run(async {
        let gateway = shared().await;
        let team = Team::bare("late").await;
        team.apply_spec::<Agent>("early", json!({"boardRef": {"name": "desk"}}))
            .await;
        let message = team
            .told::<Agent>("early", "Accepted", "False", "BoardNotFound")
            .await;
        assert!(message.contains("Board desk does not exist"), "{message}");
        team.told::<Agent>("early", "Reconciling", "True", "BoardNotFound")
            .await;

        team.apply_spec::<Board>("desk", json!({"gatewayRef": {"name": "main"}}))
            .await;
        let message = team
            .told::<Board>("desk", "GatewayResolved", "False", "GatewayNotFound")
            .await;
        assert!(message.contains("Gateway main does not exist"), "{message}");
        team.told::<Agent>("early", "Accepted", "False", "GatewayNotFound")
            .await;
        team.event("early", "Warning", "GatewayNotFound").await;

        team.apply(&gateway_manifest(&gateway.url())).await;
        team.told::<Agent>("early", "Accepted", "True", "Accepted")
            .await;
        team.secret("openclaw", "token", gateway.secret()).await;
        team.reconcile_now::<GatewayObject>("main").await;
        team.ready::<Agent>("early").await;
        team.ready::<Board>("desk").await;
    });
}

#[test]
fn a_board_counts_its_agents_and_those_that_are_ready() {
    run(async {
        let team = Team::on(shared().await, "counts").await;
        team.apply_spec::<Board>("desk", json!({"gatewayRef": {"name": "main"}}))
            .await;
        let counts = async |ready: i32, total: i32| {
            let what = format!("{ready} of {total} ready");
            team.until("desk", &what, |board: &Board| {
                let counts = board.status.as_ref().and_then(|status| status.agents);
                counts.is_some_and(|counts| (counts.ready, counts.total) == (ready, total))
            })
            .await;
        };
        counts(0, 0).await;
        let good = json!({"boardRef": {"name": "desk"}});
        let mut bad = good.clone();
        bad["files"] = json!([{"name": "SOUL.md", "template": "{{ nobody }}"}]);
        team.apply_spec::<Agent>("good", good).await;
        team.apply_spec::<Agent>("bad", bad).await;
        counts(1, 2).await;
        team.delete::<Agent>("bad").await;
        counts(1, 1).await;
        team.delete::<Agent>("good").await;
        counts(0, 0).await;
    });
}

#[test]
fn a_change_of_a_board_reaches_the_files_of_its_agents_and_no_others() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "reach").await;
        for board in ["north", "south"] {
            let spec = json!({"gatewayRef": {"name": "main"}, "displayName": board});
            team.apply_spec::<Board>(board, spec).await;
            let spec = json!({
                "boardRef": {"name": board},
                "files": [{
                    "name": "SOUL.md",
                    "template": "{{ board_objective }}/{{ user_name }}/{{ identity_role }}\n",
                }],
            });
            team.apply_spec::<Agent>(board, spec).await;
        }
        let north: Agent = team.ready("north").await;
        let south: Agent = team.ready("south").await;
        let workspace = gateway.workspace(agent_id(&south));
        let before = tree(&workspace);
        assert!(before.len() >= 5, "{:?}", before.keys());

        let spec = json!({
            "type": "Goal",
            "objective": "Go north.",
            "agentDefaults": {
                "identity": {"role": "Guide"},
                "heartbeat": {"every": "35m"},
                "model": "fake/fake-1",
            },
            "user": {"name": "Fridtjof"},
        });
        team.patch_spec::<Board>("north", spec).await;
        let arrived = |text: &str| text == "Go north./Fridtjof/Guide\n";
        let path = file(&north, "SOUL.md");
        file_is(&path, arrived).await;
        let id = agent_id(&north);
        // A pass over the Agent that began after the Board's change is over.
        team.until("north", "the keys of the Board", |agent: &Agent| {
            let own = agent.status.as_ref().map(|status| &status.own_keys);
            own.is_some_and(|own| own.iter().any(|key| key == "model"))
        })
        .await;
        assert_eq!(
            entry(gateway, id).await,
            json!({
                "name": "north",
                "model": "fake/fake-1",
                "heartbeat": {"every": "35m", "target": "none"},
            })
        );
        let text = checklist(gateway, id).await;
        assert!(text.as_str().unwrap().contains("Go north."), "{text}");
        let memory = read(&file(&north, "MEMORY.md"));
        assert!(
            !memory.contains("Go north."),
            "seeded files are left: {memory}"
        );
        assert_eq!(tree(&workspace), before, "files of another Board's agent");
    });
}

#[test]
fn a_change_of_a_gateways_user_reaches_the_files_of_its_agents_and_no_others() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "reach-user").await;
        let other = Team::on(gateway, "reach-other").await;
        let spec = json!({
            "gatewayRef": {"name": "main"},
            "files": [{"name": "SOUL.md", "template": "For {{ user_preferred_name }}.\n"}],
        });
        team.apply_spec::<Agent>("aide", spec.clone()).await;
        other.apply_spec::<Agent>("aide", spec).await;
        let aide: Agent = team.ready("aide").await;
        let bystander: Agent = other.ready("aide").await;
        assert_eq!(read(&file(&aide, "SOUL.md")), "For .\n");
        let before = tree(&gateway.workspace(agent_id(&bystander)));

        let user = json!({"user": {"preferredName": "Ada"}});
        team.patch_spec::<GatewayObject>("main", user).await;
        file_is(&file(&aide, "SOUL.md"), |text| text == "For Ada.\n").await;
        assert_eq!(tree(&gateway.workspace(agent_id(&bystander))), before);
    });
}
