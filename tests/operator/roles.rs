//! Leads and main agents: those that Boards and Gateways declare, those that people apply, and who has a place.

use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use mission_operator::api::{Agent, Board, Gateway as GatewayObject, agent::FileState};
use serde_json::json;

use crate::{
    gateways::{checklist, entry, read, shared},
    team::{Team, agent_id, file, gateway_spec, is_ready},
    world::run,
};

#[test]
fn a_board_makes_its_lead_keeps_it_as_declared_and_leaves_the_rest_of_it_to_people() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "led").await;
        let board = |lead: serde_json::Value| json!({"gatewayRef": {"name": "main"}, "displayName": "Research", "lead": lead});
        let declared =
            json!({"displayName": "Grace", "model": "fake/fake-1", "heartbeat": {"every": "2h"}});
        team.apply_spec::<Board>("research", board(declared)).await;
        let lead: Agent = team.ready("research-lead").await;
        team.ready::<Board>("research").await;
        let said = team.told::<Board>("research", "LeadReady", "True", "AgentReady");
        assert_eq!(said.await, "Agent research-lead is Ready.");
        let owner = &lead.owner_references()[0];
        assert_eq!((&*owner.kind, &*owner.name), ("Board", "research"));

        let id = agent_id(&lead).to_owned();
        assert_eq!(
            entry(gateway, &id).await,
            json!({"name": "Grace", "model": "fake/fake-1", "heartbeat": {"every": "2h", "target": "none"}})
        );
        let rules = read(&file(&lead, "AGENTS.md"));
        assert!(rules.contains("You lead the board \"Research\""), "{rules}");
        let identity = read(&file(&lead, "IDENTITY.md"));
        assert!(identity.contains("- Role: Board Lead\n"), "{identity}");
        assert!(identity.contains("## Purpose"), "{identity}");
        let beat = checklist(gateway, &id).await;
        assert!(
            beat.as_str().unwrap().contains("Who works on what?"),
            "{beat}"
        );

        // A field that the Board does not name is the people's; one that it names is put back.
        let agents: Api<Agent> = team.api();
        let theirs = json!({"spec": {"identity": {"emoji": ":star:"}, "model": "fake/other"}});
        agents
            .patch(
                "research-lead",
                &PatchParams::default(),
                &Patch::Merge(theirs),
            )
            .await
            .unwrap();
        let kept: Agent = team
            .until("research-lead", "as declared again", |lead: &Agent| {
                lead.spec.model.as_deref() == Some("fake/fake-1") && is_ready(lead)
            })
            .await;
        let emoji = kept.spec.identity.as_ref().unwrap().emoji.as_deref();
        assert_eq!(emoji, Some(":star:"));

        // What is declared no more leaves the Agent, and what people set does not.
        team.apply_spec::<Board>("research", board(json!({"displayName": "Grace"})))
            .await;
        let plain: Agent = team
            .until(
                "research-lead",
                "without model and heartbeat",
                |lead: &Agent| {
                    lead.spec.model.is_none() && lead.spec.heartbeat.is_none() && is_ready(lead)
                },
            )
            .await;
        assert_eq!(plain.spec.identity, kept.spec.identity);
        assert_eq!(
            entry(gateway, &id).await,
            json!({"name": "Grace", "heartbeat": {"every": "10m", "target": "none"}})
        );

        team.apply_spec::<Board>("research", json!({"gatewayRef": {"name": "main"}}))
            .await;
        team.gone::<Agent>("research-lead").await;
        assert_eq!(entry(gateway, &id).await, json!(null));
        team.told::<Board>("research", "LeadReady", "True", "NotDeclared")
            .await;
    });
}

#[test]
fn an_agent_of_the_leads_name_that_is_not_the_boards_is_left_alone_until_it_goes() {
    run(async {
        let team = Team::on(shared().await, "squatted").await;
        let theirs = json!({"gatewayRef": {"name": "main"}, "displayName": "Theirs"});
        team.apply_spec::<Agent>("desk-lead", theirs).await;
        let before: Agent = team.ready("desk-lead").await;
        let board = json!({"gatewayRef": {"name": "main"}, "lead": {}});
        team.apply_spec::<Board>("desk", board).await;
        let said = team
            .told::<Board>("desk", "LeadReady", "False", "NameTaken")
            .await;
        assert!(said.contains("Agent desk-lead exists"), "{said}");
        team.told::<Board>("desk", "Ready", "False", "NameTaken")
            .await;
        team.event("desk", "Warning", "NameTaken").await;
        let after: Agent = team.ready("desk-lead").await;
        assert_eq!(after.uid(), before.uid());
        assert_eq!(after.spec, before.spec);
        assert!(after.owner_references().is_empty());

        team.delete::<Agent>("desk-lead").await;
        let made: Agent = team
            .until("desk-lead", "the Board's", |lead: &Agent| {
                !lead.owner_references().is_empty() && is_ready(lead)
            })
            .await;
        assert_ne!(made.uid(), before.uid());
        team.ready::<Board>("desk").await;
    });
}

#[test]
fn a_gateway_makes_its_main_agent_whose_user_file_is_enforced_and_which_goes_with_its_declaration()
{
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "manned").await;
        let mut spec = gateway_spec(&gateway.url());
        spec["mainAgent"] = json!({"displayName": "Concierge"});
        spec["user"] = json!({"name": "Ada Lovelace"});
        team.apply_spec::<GatewayObject>("main", spec).await;
        let main: Agent = team.ready("main-main").await;
        team.told::<GatewayObject>("main", "MainAgentReady", "True", "AgentReady")
            .await;
        let id = agent_id(&main).to_owned();
        assert_eq!(id, "manned_main-main");
        let rules = read(&file(&main, "AGENTS.md"));
        assert!(rules.contains("You are the gateway-wide agent"), "{rules}");
        let user = file(&main, "USER.md");
        assert!(read(&user).contains("Ada Lovelace"));
        let files = &main.status.as_ref().unwrap().files;
        let state = |name: &str| {
            files
                .iter()
                .find(|file| file.name == name)
                .map(|file| file.state)
        };
        assert_eq!(state("USER.md"), Some(FileState::Synced));
        assert_eq!(state("MEMORY.md"), Some(FileState::Seeded));

        // A second one waits, and says for whom.
        let second = json!({"role": "Main", "gatewayRef": {"name": "main"}});
        team.apply_spec::<Agent>("second", second).await;
        let said = team
            .told::<Agent>("second", "Accepted", "False", "RoleTaken")
            .await;
        assert!(
            said.contains("Agent main-main is the main agent of Gateway main"),
            "{said}"
        );

        // Taken out of the spec it goes, and the one that waited gets its place.
        let mut without = gateway_spec(&gateway.url());
        without["user"] = json!({"name": "Ada Lovelace"});
        team.apply_spec::<GatewayObject>("main", without).await;
        team.gone::<Agent>("main-main").await;
        assert_eq!(entry(gateway, &id).await, json!(null));
        team.ready::<Agent>("second").await;
    });
}

#[test]
fn a_main_agent_goes_with_its_gateway_and_an_agent_of_its_name_that_is_not_the_gateways_is_left_alone()
 {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "named").await;
        let theirs = json!({"gatewayRef": {"name": "main"}, "displayName": "Theirs"});
        team.apply_spec::<Agent>("main-main", theirs).await;
        let theirs: Agent = team.ready("main-main").await;
        let mut spec = gateway_spec(&gateway.url());
        spec["mainAgent"] = json!({"displayName": "Concierge"});
        team.apply_spec::<GatewayObject>("main", spec.clone()).await;
        let said = team
            .told::<GatewayObject>("main", "MainAgentReady", "False", "NameTaken")
            .await;
        assert!(said.contains("Agent main-main exists"), "{said}");
        let kept: Agent = team.ready("main-main").await;
        assert_eq!((kept.uid(), &kept.spec), (theirs.uid(), &theirs.spec));

        team.apply_spec::<GatewayObject>("second", spec).await;
        let main: Agent = team.ready("second-main").await;
        team.delete::<GatewayObject>("second").await;
        team.gone::<Agent>("second-main").await;
        assert_eq!(entry(gateway, agent_id(&main)).await, json!(null));
    });
}

#[test]
fn a_board_takes_so_many_workers_and_the_next_gets_in_when_a_place_is_free() {
    run(async {
        let gateway = shared().await;
        let team = Team::on(gateway, "full").await;
        let board =
            |most: i32| json!({"gatewayRef": {"name": "main"}, "maxAgents": most, "lead": {}});
        team.apply_spec::<Board>("desk", board(1)).await;
        let clerk = |name: &str| json!({"boardRef": {"name": "desk"}, "displayName": name});
        team.apply_spec::<Agent>("first", clerk("Clerk")).await;
        let first: Agent = team.ready("first").await;
        let rules = read(&file(&first, "AGENTS.md"));
        assert!(rules.contains("at most 1 workers"), "{rules}");
        team.ready::<Agent>("desk-lead").await;

        team.apply_spec::<Agent>("second", clerk("Other")).await;
        let said = team
            .told::<Agent>("second", "Accepted", "False", "BoardFull")
            .await;
        assert!(said.contains("takes 1 workers"), "{said}");
        team.told::<Agent>("second", "Reconciling", "True", "BoardFull")
            .await;
        team.apply_spec::<Agent>("double", clerk("CLERK")).await;
        let said = team
            .told::<Agent>("double", "Accepted", "False", "DisplayNameTaken")
            .await;
        assert!(said.contains("Agent first of Board desk"), "{said}");

        team.apply_spec::<Board>("desk", board(2)).await;
        team.ready::<Agent>("second").await;
        // The one that goes makes room for its name and its place.
        team.delete::<Agent>("first").await;
        team.ready::<Agent>("double").await;
        team.ready::<Agent>("second").await;

        // The lead goes with its Board; workers stay on the gateway and say what they miss.
        team.delete::<Board>("desk").await;
        team.gone::<Agent>("desk-lead").await;
        team.told::<Agent>("second", "Accepted", "False", "BoardNotFound")
            .await;
        assert_eq!(entry(gateway, "full_second").await["name"], "Other");
    });
}

#[test]
fn a_second_lead_waits_and_a_worker_that_becomes_lead_gets_a_leads_files() {
    run(async {
        let team = Team::on(shared().await, "promoted").await;
        team.apply_spec::<Board>("desk", json!({"gatewayRef": {"name": "main"}}))
            .await;
        let as_role = |role: &str| json!({"boardRef": {"name": "desk"}, "role": role});
        team.apply_spec::<Agent>("ada", as_role("Lead")).await;
        team.ready::<Agent>("ada").await;
        team.told::<Board>("desk", "LeadReady", "True", "AgentReady")
            .await;
        team.apply_spec::<Agent>("bob", as_role("Worker")).await;
        let bob: Agent = team.ready("bob").await;
        let before = read(&file(&bob, "MEMORY.md"));

        team.apply_spec::<Agent>("bob", as_role("Lead")).await;
        let said = team
            .told::<Agent>("bob", "Accepted", "False", "RoleTaken")
            .await;
        assert!(said.contains("Agent ada leads Board desk"), "{said}");
        let rules = read(&file(&bob, "AGENTS.md"));
        assert!(
            rules.contains("You are a worker agent"),
            "it stays as it is: {rules}"
        );

        team.apply_spec::<Agent>("ada", as_role("Worker")).await;
        let bob: Agent = team.ready("bob").await;
        let rules = read(&file(&bob, "AGENTS.md"));
        assert!(rules.contains("You lead the board"), "{rules}");
        assert_eq!(read(&file(&bob, "MEMORY.md")), before, "it is bob's own");
        let ada: Agent = team.ready("ada").await;
        let rules = read(&file(&ada, "AGENTS.md"));
        assert!(rules.contains("You are a worker agent"), "{rules}");
    });
}

#[test]
fn a_lead_that_the_api_server_refuses_is_told_on_its_board_and_mended_once_it_can_be() {
    run(async {
        let team = Team::on(shared().await, "refused").await;
        let board = |lead: serde_json::Value| json!({"gatewayRef": {"name": "main"}, "lead": lead});
        team.apply_spec::<Board>("desk", board(json!({}))).await;
        team.ready::<Agent>("desk-lead").await;
        // Theirs and the Board's together are two texts for one file, which no schema takes.
        let theirs = json!({"files": [{"name": "SOUL.md", "content": "theirs"}]});
        team.patch_spec::<Agent>("desk-lead", theirs).await;
        let soul = json!({"files": [{"name": "SOUL.md", "template": "{{ agent_name }} leads."}]});
        team.apply_spec::<Board>("desk", board(soul)).await;
        let said = team
            .told::<Board>("desk", "LeadReady", "False", "AgentNotApplied")
            .await;
        assert!(said.contains("Agent desk-lead could not"), "{said}");
        team.event("desk", "Warning", "AgentNotApplied").await;

        team.patch_spec::<Agent>("desk-lead", json!({"files": null}))
            .await;
        team.ready::<Board>("desk").await;
        let lead: Agent = team.ready("desk-lead").await;
        assert_eq!(read(&file(&lead, "SOUL.md")), "desk-lead leads.\n");
    });
}
