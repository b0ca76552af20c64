use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;

use super::*;
use crate::api::{
    AgentSpec, AgentStatus, BoardSpec,
    agent::{Place, PlaceState},
    condition::Judgement,
    reference::GatewayName,
};

fn board(max_agents: Option<i32>) -> Board {
    let spec = BoardSpec {
        max_agents,
        ..BoardSpec::default()
    };
    Board::new("research", spec)
}

fn agent(name: &str, role: Role, created: i64) -> Agent {
    let spec = AgentSpec {
        role,
        ..AgentSpec::default()
    };
    let mut agent = Agent::new(name, spec);
    agent.metadata.namespace = Some("team".to_owned());
    agent.metadata.uid = Some(format!("uid-{name}"));
    agent.metadata.generation = Some(1);
    agent.metadata.creation_timestamp = Some(Time(Timestamp::from_second(created).unwrap()));
    agent
}

fn called(mut agent: Agent, display_name: &str) -> Agent {
    agent.spec.display_name = Some(display_name.to_owned());
    agent
}

/// With a claim on a gateway.
fn there(mut agent: Agent) -> Agent {
    let place = Place {
        gateway_uid: "gateway".to_owned(),
        agent_id: agent.name_any(),
        state: PlaceState::Registered,
        gateway: GatewayName::default(),
        ..Place::default()
    };
    agent.status.get_or_insert_default().places.push(place);
    agent
}

fn accepted(mut agent: Agent) -> Agent {
    let status: &mut AgentStatus = agent.status.get_or_insert_default();
    condition::set(
        &mut status.conditions,
        Judgement::holds(ACCEPTED, Reason::Accepted, "Yes."),
        agent.metadata.generation,
        Timestamp::UNIX_EPOCH,
    );
    agent
}

fn refused_for(mut agent: Agent, reason: Reason) -> Agent {
    let status: &mut AgentStatus = agent.status.get_or_insert_default();
    condition::set(
        &mut status.conditions,
        Judgement::fails(ACCEPTED, reason, "No."),
        agent.metadata.generation,
        Timestamp::UNIX_EPOCH,
    );
    agent
}

fn verdict(agent: &Agent, board: &Board, all: &[Agent]) -> Option<Reason> {
    on_board(agent, board, all)
        .err()
        .map(|refusal| refusal.reason)
}

/// Who of `all` is refused, and why.
fn refused_of<'a>(board: &Board, all: &'a [Agent]) -> Vec<(&'a str, Reason)> {
    all.iter()
        .filter_map(|agent| {
            let name = agent.metadata.name.as_deref()?;
            Some((name, verdict(agent, board, all)?))
        })
        .collect()
}

#[test]
fn the_worker_too_many_waits_and_a_lead_does_not_count() {
    use Role::{Lead, Worker};
    let all = [
        agent("a", Worker, 3),
        agent("lead", Lead, 1),
        agent("b", Worker, 2),
        agent("c", Worker, 4),
    ];
    assert_eq!(refused_of(&board(None), &all), []);
    assert_eq!(
        refused_of(&board(Some(2)), &all),
        [("c", Reason::BoardFull)]
    );
    assert_eq!(refused_of(&board(Some(2)), &all[..3]), []);
    let none: Vec<_> = refused_of(&board(Some(0)), &all);
    assert_eq!(none.len(), 3, "{none:?}");
}

#[test]
fn who_is_on_a_gateway_goes_before_who_is_older() {
    let all = [
        agent("old", Role::Worker, 1),
        there(agent("young", Role::Worker, 9)),
    ];
    assert_eq!(
        refused_of(&board(Some(1)), &all),
        [("old", Reason::BoardFull)]
    );
}

#[test]
fn a_board_has_one_lead_and_each_name_once() {
    let all = [
        agent("lead", Role::Lead, 1),
        agent("second", Role::Lead, 2),
        called(agent("a", Role::Worker, 3), "Analyst"),
        called(agent("b", Role::Worker, 4), " ANALYST"),
        agent("analyst", Role::Worker, 5),
    ];
    assert_eq!(
        refused_of(&board(None), &all),
        [
            ("second", Reason::RoleTaken),
            ("b", Reason::DisplayNameTaken),
            ("analyst", Reason::DisplayNameTaken)
        ]
    );
    let refusal = on_board(&all[3], &board(None), &all).unwrap_err();
    assert!(refusal.message.contains("Agent a "), "{}", refusal.message);
}

#[test]
fn one_that_is_refused_for_something_else_takes_no_place_from_others() {
    let broken = refused_for(agent("a", Role::Worker, 1), Reason::AgentExists);
    let twice = called(agent("b", Role::Worker, 3), "first");
    let mut leaving = agent("c", Role::Worker, 1);
    leaving.metadata.deletion_timestamp = leaving.metadata.creation_timestamp.clone();
    let all = [
        broken.clone(),
        agent("first", Role::Worker, 2),
        twice,
        leaving,
        agent("last", Role::Worker, 4),
    ];
    let refused = refused_of(&board(Some(2)), &all);
    assert!(
        !refused.iter().any(|(name, _)| *name == "last"),
        "{refused:?}"
    );
    assert_eq!(
        verdict(&all[4], &board(Some(1)), &all),
        Some(Reason::BoardFull)
    );

    // Edited since: it is judged anew, and may take its place.
    let mut edited = broken;
    edited.metadata.generation = Some(2);
    let all = [edited, agent("b", Role::Worker, 2)];
    assert_eq!(
        refused_of(&board(Some(1)), &all),
        [("b", Reason::BoardFull)]
    );
}

#[test]
fn one_that_waits_for_a_place_is_known_by_its_condition() {
    let waiting = refused_for(agent("a", Role::Worker, 1), Reason::BoardFull);
    assert!(waits(&waiting) && competes(&waiting));
    assert!(!waits(&refused_for(
        agent("a", Role::Worker, 1),
        Reason::GatewayNotFound
    )));
    assert!(!waits(&agent("a", Role::Worker, 1)));
}

#[test]
fn a_gateway_has_one_main_and_an_agent_of_another_namespace_is_not_named() {
    let mut elsewhere = agent("theirs", Role::Main, 1);
    elsewhere.metadata.namespace = Some("other".to_owned());
    let all = [
        elsewhere,
        agent("ours", Role::Main, 2),
        agent("worker", Role::Worker, 3),
    ];
    let refusal = on_gateway(&all[1], "main", &all).unwrap_err();
    assert_eq!(refusal.reason, Reason::RoleTaken);
    assert!(!refusal.message.contains("theirs"), "{}", refusal.message);
    assert_eq!(on_gateway(&all[0], "main", &all), Ok(()));
    assert_eq!(on_gateway(&all[2], "main", &all), Ok(()));
}

prop_compose! {
    fn any_agent()(
        number in 0..40_u8,
        role in prop::sample::select(vec![Role::Worker, Role::Lead]),
        created in 0..3_i64,
        name in prop::sample::select(vec!["x", "y", "z", "X"]),
        is_there in any::<bool>(),
        reason in prop::option::of(prop::sample::select(vec![Reason::AgentExists, Reason::BoardFull])),
    ) -> Agent {
        let name = format!("{name}{}", number % 10);
        let mut agent = called(agent(&format!("a{number}"), role, created), &name);
        if is_there { agent = there(agent); }
        if let Some(reason) = reason { agent = refused_for(agent, reason); }
        agent
    }
}

proptest! {
    #[test]
    fn whoever_is_seated_keeps_the_rules_and_the_order_of_agents_makes_no_difference(
        mut all in prop::collection::vec(any_agent(), 0..12),
        max_agents in prop::option::of(0..4_i32),
    ) {
        all.sort_by_key(|agent| agent.metadata.uid.clone());
        all.dedup_by_key(|agent| agent.metadata.uid.clone());
        let board = board(max_agents);
        let seated: Vec<&Agent> = all
            .iter()
            .filter(|agent| competes(agent) && verdict(agent, &board, &all).is_none())
            .collect();
        let of = |role| seated.iter().filter(|agent| agent.spec.role == role).count();
        prop_assert!(of(Role::Lead) <= 1);
        if let Some(most) = max_agents {
            prop_assert!(of(Role::Worker) <= usize::try_from(most).unwrap());
        }
        let names: std::collections::HashSet<String> = seated.iter().map(|agent| folded(agent)).collect();
        prop_assert_eq!(names.len(), seated.len());

        let before: Vec<_> = all.iter().map(|agent| verdict(agent, &board, &all)).collect();
        let reversed: Vec<Agent> = all.iter().rev().cloned().collect();
        let after: Vec<_> = all.iter().map(|agent| verdict(agent, &board, &reversed)).collect();
        prop_assert_eq!(before, after);
    }
}

#[test]
fn who_has_a_role_is_who_was_accepted_for_it_and_else_who_may_still_be() {
    let lead = |name, created| agent(name, Role::Lead, created);
    let older = || lead("older", 1);
    let named = |all: &[Agent]| holder_to_be(Role::Lead, all).map(ResourceExt::name_any);
    for (all, expected) in [
        (vec![], None),
        (vec![agent("ada", Role::Worker, 1)], None),
        (vec![lead("younger", 2), older()], Some("older")),
        (vec![older(), accepted(lead("younger", 2))], Some("younger")),
        (
            vec![refused_for(older(), Reason::RoleTaken), lead("younger", 2)],
            Some("younger"),
        ),
        (vec![refused_for(older(), Reason::BoardNotFound)], None),
    ] {
        assert_eq!(named(&all).as_deref(), expected);
    }
}
