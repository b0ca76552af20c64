//! Who wins an id: one of all who want it, whoever looks first and in whatever order.

use proptest::{
    prelude::*,
    sample::{select, subsequence},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::api::{
    AgentSpec, AgentStatus,
    agent::{Place, PlaceState},
};

const ID: &str = "x";

/// Gateway objects that lead to one gateway, and one that does not.
const SHARED: [&str; 2] = ["uid-1", "uid-2"];
const OTHER: &str = "uid-3";

fn place() -> impl Strategy<Value = Place> {
    let uids = select(vec![SHARED[0], SHARED[1], OTHER]);
    (uids, select(vec![ID, "y"])).prop_map(|(uid, id)| Place {
        gateway_uid: uid.to_owned(),
        agent_id: id.to_owned(),
        state: PlaceState::Claimed,
        gateway: GatewayName::default(),
        ..Place::default()
    })
}

/// Agents with different names, some of them with claims, some as old as others.
fn agents() -> impl Strategy<Value = Vec<Agent>> {
    let names =
        ["m", "n", "o", "p", "q", "r"].map(|name| (if name < "p" { "a" } else { "b" }, name));
    let facts = prop::collection::vec((0_i64..3, prop::option::of(place())), 6);
    (subsequence(names.to_vec(), 1..=6).prop_shuffle(), facts).prop_map(|(names, facts)| {
        let agents = names.into_iter().zip(facts);
        agents
            .map(|((namespace, name), (created, place))| {
                let mut agent = Agent::new(name, AgentSpec::default());
                agent.metadata.namespace = Some(namespace.into());
                agent.metadata.creation_timestamp =
                    Some(Time(Timestamp::from_second(created).unwrap()));
                agent.status = place.map(|place| AgentStatus {
                    places: vec![place],
                    ..AgentStatus::default()
                });
                agent
            })
            .collect()
    })
}

fn ranks_of(agents: &[Agent]) -> Vec<Rank> {
    let shared = SHARED.map(str::to_owned);
    agents
        .iter()
        .map(|agent| rank(agent, &shared, ID))
        .collect()
}

/// What each is told, by namespace and name.
fn told(ranks: &[Rank]) -> BTreeMap<(String, String), Result<(), Refusal>> {
    ranks
        .iter()
        .map(|own| {
            let rivals = ranks.iter().filter(|rival| *rival != own).cloned();
            let key = (own.namespace.clone(), own.name.clone());
            (key, settle(own, rivals, ID))
        })
        .collect()
}

proptest! {
    #[test]
    fn one_of_all_who_want_an_id_gets_it_and_it_is_one_with_a_claim_where_there_is_one(
        agents in agents()
    ) {
        let ranks = ranks_of(&agents);
        let told = told(&ranks);
        prop_assert_eq!(told.len(), agents.len());
        let accepted: Vec<_> = told.iter().filter(|(_, told)| told.is_ok()).collect();
        prop_assert_eq!(accepted.len(), 1, "{:?}", told);
        let (namespace, name) = accepted[0].0;
        let winner = ranks.iter().find(|rank| (&rank.namespace, &rank.name) == (namespace, name)).unwrap();
        prop_assert!(!winner.without_claim || ranks.iter().all(|rank| rank.without_claim));
    }

    #[test]
    fn the_order_in_which_agents_are_looked_at_makes_no_difference(agents in agents(), turn in 0_usize..6) {
        let mut turned = agents.clone();
        turned.rotate_left(turn.min(agents.len()));
        turned.reverse();
        prop_assert_eq!(told(&ranks_of(&agents)), told(&ranks_of(&turned)));
    }

    #[test]
    fn who_holds_an_id_keeps_it_whoever_comes(agents in agents(), newcomer in agents()) {
        let ranks = ranks_of(&agents);
        let Some(holder) = ranks.iter().filter(|rank| !rank.without_claim).min() else { return Ok(()); };
        let newcomers = ranks_of(&newcomer).into_iter().filter(|rank| rank.without_claim);
        prop_assert_eq!(settle(holder, newcomers, ID), Ok(()));
    }

    #[test]
    fn nobody_learns_the_name_of_an_agent_of_another_namespace(agents in agents()) {
        for (own, told) in told(&ranks_of(&agents)) {
            let Err(refusal) = told else { continue; };
            let others = agents.iter().filter(|agent| agent.namespace().as_deref() != Some(&own.0));
            for other in others {
                let named = format!("Agent {} ", other.name_any());
                prop_assert!(!refusal.message.contains(&named), "{}", refusal.message);
            }
        }
    }
}
