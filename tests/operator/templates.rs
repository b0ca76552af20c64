//! Templates of Boards and Gateways: which text an agent gets, and whom a change reaches.

use mission_operator::api::{Agent, Board, Gateway as GatewayObject};
use serde_json::{Value, json};

use crate::{
    gateways::{checklist, read, shared},
    team::{Team, agent_id, file, gateway_spec},
    world::{file_is, run, world},
};

/// Makes or changes a ConfigMap.
async fn texts(team: &Team, name: &str, data: Value) {
    let config_map =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
    team.apply(&config_map.to_string()).await;
}

#[test]
fn templates_of_board_and_gateway_replace_built_in_texts_key_by_key_and_role_by_role() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "styled").await;
        let house =
            |soul: &str| json!({"SOUL.md": soul, "lead.HEARTBEAT.md": "Look at {{ board_name }}."});
        texts(&team, "house", house("{{ agent_name }} of the house.")).await;
        let mut spec = gateway_spec(&gateway.url());
        spec["templates"] = json!({"configMapRef": {"name": "house"}});
        team.apply_spec::<GatewayObject>("main", spec).await;

        // The Board's ConfigMap is not there yet.
        let board = json!({"gatewayRef": {"name": "main"}, "lead": {}, "templates": {"configMapRef": {"name": "desk"}}});
        team.apply_spec::<Board>("desk", board).await;
        let worker = |files: Value| json!({"boardRef": {"name": "desk"}, "files": files});
        team.apply_spec::<Agent>("clerk", worker(json!([]))).await;
        let own = json!([{"name": "SOUL.md", "content": "My own."}]);
        team.apply_spec::<Agent>("loner", worker(own)).await;
        let said = team
            .told::<Agent>("clerk", "FilesSynced", "False", "ConfigMapNotFound")
            .await;
        assert!(
            said.contains("ConfigMap desk, which Board desk names"),
            "{said}"
        );

        texts(
            &team,
            "desk",
            json!({"lead.SOUL.md": "{{ agent_name }} leads."}),
        )
        .await;
        let (clerk, loner, lead): (Agent, Agent, Agent) = tokio::join!(
            team.ready("clerk"),
            team.ready("loner"),
            team.ready("desk-lead")
        );
        let soul = |agent: &Agent| file(agent, "SOUL.md");
        assert_eq!(read(&soul(&clerk)), "clerk of the house.\n");
        assert_eq!(read(&soul(&loner)), "My own.");
        assert_eq!(read(&soul(&lead)), "desk-lead leads.\n");
        assert_eq!(checklist(gateway, agent_id(&lead)).await, "Look at desk.\n");
        let beat = checklist(gateway, agent_id(&clerk)).await;
        assert!(
            beat.as_str().unwrap().starts_with("# Heartbeat checklist"),
            "{beat}"
        );

        // A change reaches those that use the key; a mistake is told by whose it is, and nothing is sent.
        texts(&team, "house", house("{{ agent_name }} of the new house.")).await;
        file_is(&soul(&clerk), |text| text == "clerk of the new house.\n").await;
        let reached = team.event("main", "Normal", "TextsChanged").await;
        assert!(
            reached.starts_with("Texts in ConfigMap house have changed that 1 Agent uses:"),
            "{reached}"
        );
        assert_eq!(read(&soul(&loner)), "My own.");
        assert_eq!(read(&soul(&lead)), "desk-lead leads.\n");
        texts(&team, "house", house("{{ agent_nam }}")).await;
        let said = team
            .told::<Agent>("clerk", "FilesSynced", "False", "TextSourceError")
            .await;
        team.told::<Agent>("clerk", "Reconciling", "True", "TextSourceError")
            .await;
        assert!(said.contains("SOUL.md line 1"), "{said}");
        assert!(
            said.contains("SOUL.md comes from the templates of Gateway main."),
            "{said}"
        );
        assert_eq!(read(&soul(&clerk)), "clerk of the new house.\n");
        team.ready::<Agent>("loner").await;
        texts(&team, "house", house("{{ agent_name }} is back.")).await;
        file_is(&soul(&clerk), |text| text == "clerk is back.\n").await;
        team.ready::<Agent>("clerk").await;
    });
}

#[test]
fn texts_name_who_has_a_role_and_send_agents_to_the_api_only_where_they_are_told_of_it() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "pointed").await;
        let mut spec = gateway_spec(&gateway.url());
        spec["agentApiUrl"] = json!(world().await.operator.agent_api_url());
        team.apply_spec::<GatewayObject>("main", spec).await;
        // Applied by a person, and under an id of its own.
        let main =
            json!({"role": "Main", "gatewayRef": {"name": "main"}, "agentId": "pointed_concierge"});
        team.apply_spec::<Agent>("concierge", main).await;
        let board = json!({"gatewayRef": {"name": "main"}, "lead": {"displayName": "Grace"}});
        team.apply_spec::<Board>("desk", board).await;
        let worker = |files: Value| json!({"boardRef": {"name": "desk"}, "files": files});
        team.apply_spec::<Agent>("clerk", worker(json!([]))).await;
        let own = json!([{"name": "AGENTS.md", "content": "My own."}]);
        team.apply_spec::<Agent>("loner", worker(own)).await;
        let seeded = json!([{"name": "AGENTS.md", "policy": "Seed"}]);
        team.apply_spec::<Agent>("settled", worker(seeded)).await;
        let (clerk, loner, settled): (Agent, Agent, Agent) = tokio::join!(
            team.ready("clerk"),
            team.ready("loner"),
            team.ready("settled")
        );
        let rules = read(&file(&clerk, "AGENTS.md"));
        assert!(
            rules.contains("ask Grace, the lead of the board,"),
            "{rules}"
        );
        let session = "- Main session of the gateway: `agent:pointed_concierge:main`";
        assert!(rules.contains(session), "{rules}");
        for (agent, is_told) in [(&clerk, true), (&loner, false), (&settled, false)] {
            let rules = read(&file(agent, "AGENTS.md"));
            assert_eq!(rules.contains("## Operator API"), is_told, "{rules}");
            let beat = checklist(gateway, agent_id(agent)).await;
            let beat = beat.as_str().unwrap();
            assert_eq!(beat.contains("Operator API"), is_told, "{beat}");
        }
        let rules = read(&file(&settled, "AGENTS.md"));
        let put_back = "when they are changed here: SOUL.md, IDENTITY.md.\n";
        assert!(rules.contains(put_back), "{rules}");
    });
}
