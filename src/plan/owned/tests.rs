use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::*;
use crate::api::{BoardSpec, GatewaySpec, condition::Status, file::FileSpec};

fn board(lead: Option<OwnedAgent>) -> Board {
    let mut board = Board::new(
        "research",
        BoardSpec {
            lead,
            ..BoardSpec::default()
        },
    );
    board.metadata.namespace = Some("team".to_owned());
    board.metadata.uid = Some("board-uid".to_owned());
    board
}

fn lead() -> OwnedAgent {
    OwnedAgent {
        display_name: Some("Ada".to_owned()),
        model: Some("fake/one".to_owned()),
        files: vec![FileSpec {
            name: "SOUL.md".to_owned(),
            content: Some("calm".to_owned()),
            ..FileSpec::default()
        }],
        ..OwnedAgent::default()
    }
}

fn is_going_now(board: &mut Board) {
    board.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
}

/// The Agent as the API server has it after `step` was carried out.
fn carried_out(step: Step) -> Agent {
    let (Step::Create(object) | Step::Apply(object)) = step else {
        panic!("nothing to apply: {step:?}");
    };
    let mut agent: Agent = serde_json::from_value(object).unwrap();
    agent.metadata.uid = Some("agent-uid".to_owned());
    agent
}

#[test]
fn what_is_declared_is_made_once_and_belongs_to_its_board() {
    let board = board(Some(lead()));
    let owner = Owner::from(&board);
    let agent = carried_out(owner.step(None));
    assert_eq!(agent.name_any(), "research-lead");
    assert_eq!(agent.namespace().as_deref(), Some("team"));
    assert_eq!(agent.spec.role, Role::Lead);
    assert_eq!(agent.spec.board_ref.as_ref().unwrap().name, "research");
    assert_eq!(agent.spec.gateway_ref, None);
    assert_eq!(agent.spec.display_name.as_deref(), Some("Ada"));
    assert!(owner.owns(&agent));
    assert_eq!(agent.owner_references()[0].controller, Some(true));
    assert_eq!(owner.step(Some(&agent)), Step::None);
    assert_eq!(owner_of(&agent.name_any(), Role::Lead), Some("research"));
    assert_eq!(owner_of(&agent.name_any(), Role::Main), None);
    assert_eq!(owner_of("misled", Role::Lead), None);
}

#[test]
fn a_gateways_main_agent_names_the_gateway() {
    let spec = GatewaySpec {
        main_agent: Some(OwnedAgent::default()),
        ..GatewaySpec::default()
    };
    let mut gateway = Gateway::new("main", spec);
    gateway.metadata.uid = Some("gateway-uid".to_owned());
    let agent = carried_out(Owner::from(&gateway).step(None));
    assert_eq!(agent.name_any(), "main-main");
    assert_eq!(agent.spec.role, Role::Main);
    assert_eq!(agent.spec.gateway_ref.unwrap().name, "main");
}

#[test]
fn what_a_person_adds_stays_and_what_a_person_changes_of_the_declared_is_put_back() {
    let board = board(Some(lead()));
    let owner = Owner::from(&board);
    let made = carried_out(owner.step(None));

    let mut added = made.clone();
    added.spec.agent_id = Some("team_lead".to_owned());
    added.spec.files.push(FileSpec {
        name: "MEMORY.md".to_owned(),
        content: Some("theirs".to_owned()),
        ..FileSpec::default()
    });
    assert_eq!(owner.step(Some(&added)), Step::None);

    let mut changed = made.clone();
    changed.spec.model = Some("other/model".to_owned());
    let Step::Apply(object) = owner.step(Some(&changed)) else {
        panic!("left as it is");
    };
    assert_eq!(object["metadata"]["uid"], "agent-uid");

    let mut removed = made;
    removed.spec.files.clear();
    assert!(matches!(owner.step(Some(&removed)), Step::Apply(_)));
}

#[test]
fn a_field_that_is_not_declared_any_more_is_applied_away() {
    let before = board(Some(lead()));
    let made = carried_out(Owner::from(&before).step(None));
    let after = board(Some(OwnedAgent {
        model: None,
        ..lead()
    }));
    let Step::Apply(object) = Owner::from(&after).step(Some(&made)) else {
        panic!("left as it is");
    };
    assert_eq!(object["spec"].get("model"), None);
}

#[test]
fn what_is_declared_no_more_is_deleted_once_and_what_is_not_ours_never() {
    let declaring = board(Some(lead()));
    let mut made = carried_out(Owner::from(&declaring).step(None));
    let mut going = declaring.clone();
    is_going_now(&mut going);
    for board in [board(None), going] {
        assert_eq!(Owner::from(&board).step(Some(&made)), Step::Delete);
        assert_eq!(Owner::from(&board).step(None), Step::None);
    }
    made.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    for board in [board(None), declaring.clone()] {
        assert_eq!(Owner::from(&board).step(Some(&made)), Step::None);
    }

    let mut theirs = made;
    theirs.metadata.deletion_timestamp = None;
    theirs.metadata.owner_references = None;
    assert_eq!(Owner::from(&declaring).step(Some(&theirs)), Step::NameTaken);
    assert_eq!(Owner::from(&board(None)).step(Some(&theirs)), Step::None);
}

#[test]
fn the_condition_says_how_the_agent_stands() {
    let (with, without) = (board(Some(lead())), board(None));
    let (with, without) = (Owner::from(&with), Owner::from(&without));
    let mut agent = carried_out(with.step(None));
    let said = |judgement: Judgement| (judgement.type_, judgement.status, judgement.reason);
    let said_of = |owner: &Owner<'_>, agent: Option<&Agent>| said(owner.judge(agent, false));
    let not_ready = (LEAD_READY, Status::False, Reason::AgentNotReady);
    assert_eq!(said_of(&with, None), not_ready);
    assert_eq!(said_of(&with, Some(&agent)), not_ready);
    assert_eq!(
        said_of(&without, None),
        (LEAD_READY, Status::True, Reason::NotDeclared)
    );
    assert_eq!(
        said(with.judge(None, true)),
        (LEAD_READY, Status::False, Reason::NameTaken)
    );
    let ready = Judgement::holds(condition::READY, Reason::Reconciled, "It is.");
    condition::set(
        &mut agent.status.get_or_insert_default().conditions,
        ready,
        None,
        Timestamp::UNIX_EPOCH,
    );
    for owner in [&with, &without] {
        assert_eq!(
            said_of(owner, Some(&agent)),
            (LEAD_READY, Status::True, Reason::AgentReady)
        );
    }
}

#[test]
fn others_are_told_of_the_agent_that_has_the_role_and_else_of_the_one_that_is_about_to() {
    let (with, without) = (board(Some(lead())), board(None));
    let (with, without) = (Owner::from(&with), Owner::from(&without));
    let mut by_hand = Agent::new("grace", crate::api::AgentSpec::default());
    by_hand.metadata.namespace = Some("team".to_owned());
    let in_role = |display_name: &str, agent_id: &str| {
        Some(InRole {
            display_name: display_name.to_owned(),
            agent_id: agent_id.to_owned(),
        })
    };
    let declared = in_role("Ada", "team_research-lead");
    assert_eq!(without.in_role(None, None), None);
    assert_eq!(with.in_role(None, None), declared);
    // Somebody else's has the name, or it was refused.
    assert_eq!(with.in_role(None, Some(&by_hand)), None);
    for owner in [&with, &without] {
        let found = owner.in_role(Some(&by_hand), None);
        assert_eq!(found, in_role("grace", "team_grace"));
    }
    by_hand.spec.display_name = Some("Grace".to_owned());
    by_hand.spec.agent_id = Some("boss".to_owned());
    assert_eq!(with.in_role(Some(&by_hand), None), in_role("Grace", "boss"));
    // What is on the gateway counts.
    by_hand.status.get_or_insert_default().agent_id = Some("chief".to_owned());
    assert_eq!(
        with.in_role(Some(&by_hand), None),
        in_role("Grace", "chief")
    );
}
