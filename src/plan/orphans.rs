//! Agents on a gateway that carry this cluster's mark and that no Agent stands for: left there when their objects went without a
//! cleanup. They are told and never deleted by themselves. Pure.

use std::fmt;

use crate::api::{
    Agent,
    condition::{Judgement, ORPHANED_AGENTS},
    reason::Reason,
};
use crate::plan::mark::{ClusterId, Mark};

/// So many stand in a Gateway's status.
pub const MOST_LISTED: usize = 100;
/// So many are named in a message.
const MOST_NAMED: usize = 10;

/// An agent that nobody stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Orphan {
    /// Its id.
    pub agent_id: String,
    /// Namespace and name of the Agent that its mark names.
    pub was: (String, String),
}

impl fmt::Display for Orphan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (namespace, name) = &self.was;
        write!(f, "{} (of Agent {namespace}/{name})", self.agent_id)
    }
}

/// Whether one of `agents` holds the agent of this id on the gateway that the Gateway objects with the uids `sharing` reach.
pub fn is_claimed<'a>(
    agents: impl IntoIterator<Item = &'a Agent>,
    agent_id: &str,
    sharing: &[String],
) -> bool {
    agents
        .into_iter()
        .flat_map(|agent| &agent.status)
        .flat_map(|status| &status.places)
        .any(|place| place.agent_id == agent_id && sharing.contains(&place.gateway_uid))
}

/// Whether an Agent may hold the agent of this id: it holds one on a Gateway of which it is not known which gateway it reaches, because its
/// link is not up. Two Gateway objects can reach one.
pub fn may_hold(agent: &Agent, agent_id: &str, is_known: impl Fn(&str) -> bool) -> bool {
    let mut places = agent.status.iter().flat_map(|status| &status.places);
    places.any(|place| place.agent_id == agent_id && !is_known(&place.gateway_uid))
}

/// What an unclaimed agent with this mark is an orphan of, if it is one. `object` is the Agent that the mark names, if there is one, and
/// `means_it` says whether it is to be this agent, or [may hold](may_hold) it: one that has not claimed it yet is about to, and one that has
/// claimed nothing may be.
#[must_use]
pub fn judge(
    agent_id: &str,
    mark: &Mark,
    cluster_id: &ClusterId,
    object: Option<&Agent>,
    means_it: bool,
) -> Option<Orphan> {
    let is_elsewhere = |agent: &Agent| {
        let status = agent.status.as_ref();
        !means_it && status.is_some_and(|status| !status.places.is_empty())
    };
    let is_orphan = mark.cluster_id == *cluster_id && object.is_none_or(is_elsewhere);
    is_orphan.then(|| Orphan {
        agent_id: agent_id.to_owned(),
        was: (mark.namespace.clone(), mark.name.clone()),
    })
}

/// Those of which nobody was warned yet: they are not `listed` in the status, which names no more than [`MOST_LISTED`], nor among all that
/// were `told`.
#[must_use]
pub fn news(orphans: &[Orphan], listed: &[String], told: &[Orphan]) -> Vec<Orphan> {
    let is_new = |orphan: &&Orphan| !listed.contains(&orphan.agent_id) && !told.contains(orphan);
    orphans.iter().filter(is_new).cloned().collect()
}

/// What the condition of the Gateway says.
#[must_use]
pub fn told(orphans: &[Orphan]) -> Judgement {
    let Some(first) = orphans.first() else {
        return Judgement::fails(
            ORPHANED_AGENTS,
            Reason::NoneOrphaned,
            "For every agent on the gateway that carries this cluster's mark there is an Agent.",
        );
    };
    let named: Vec<_> = orphans
        .iter()
        .take(MOST_NAMED)
        .map(ToString::to_string)
        .collect();
    let more = orphans.len().saturating_sub(MOST_NAMED);
    let rest = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    Judgement::holds(
        ORPHANED_AGENTS,
        Reason::AgentsOrphaned,
        format!(
            "On the gateway are agents that carry this cluster's mark and for which there is no Agent: {}{rest}. They are left alone. Apply their Agents again, which take them up, or remove them there: openclaw agents delete {}",
            named.join(", "),
            first.agent_id
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{AgentSpec, AgentStatus, agent::Place, condition::Status};

    fn agent(places: &[(&str, &str)]) -> Agent {
        let mut agent = Agent::new("a", AgentSpec::default());
        agent.status = Some(AgentStatus {
            places: places
                .iter()
                .map(|(uid, id)| Place {
                    gateway_uid: (*uid).to_owned(),
                    agent_id: (*id).to_owned(),
                    ..Place::default()
                })
                .collect(),
            ..AgentStatus::default()
        });
        agent
    }

    #[test]
    fn an_agent_is_claimed_through_any_gateway_object_of_its_gateway() {
        let sharing = ["one".to_owned(), "two".to_owned()];
        for (places, claimed) in [
            (&[][..], false),
            (&[("one", "id")], true),
            (&[("other", "id"), ("two", "id")], true),
            (&[("other", "id")], false),
            (&[("one", "id-2")], false),
        ] {
            let agents = [agent(places)];
            assert_eq!(is_claimed(&agents, "id", &sharing), claimed, "{places:?}");
        }
    }

    #[test]
    fn an_agent_on_a_gateway_that_is_away_may_be_the_one_that_is_seen_through_another_object() {
        for (places, may) in [
            (&[][..], false),
            (&[("up", "id")], false),
            (&[("away", "id")], true),
            (&[("up", "id"), ("away", "id")], true),
            (&[("away", "id-2")], false),
        ] {
            let may_be = may_hold(&agent(places), "id", |uid| uid == "up");
            assert_eq!(may_be, may, "{places:?}");
        }
    }

    #[test]
    fn an_orphan_has_our_mark_and_no_object_that_is_or_is_to_be_it() {
        let ours: ClusterId = "ours".parse().unwrap();
        let mark = |cluster: &str| Mark {
            cluster_id: cluster.parse().unwrap(),
            namespace: "team".into(),
            name: "a".into(),
            adopted: false,
        };
        let (unclaimed, elsewhere) = (agent(&[]), agent(&[("other", "id")]));
        for (cluster, object, means_it, is_orphan) in [
            ("ours", None, false, true),
            ("theirs", None, false, false),
            // Between its creation and its claim, or with its status lost.
            ("ours", Some(&unclaimed), true, false),
            ("ours", Some(&unclaimed), false, false),
            // It is somewhere else, and on its way here or not.
            ("ours", Some(&elsewhere), true, false),
            ("ours", Some(&elsewhere), false, true),
        ] {
            let judged = judge("id", &mark(cluster), &ours, object, means_it);
            assert_eq!(judged.is_some(), is_orphan, "{cluster} {means_it}");
        }
    }

    fn orphans(numbers: std::ops::Range<usize>) -> Vec<Orphan> {
        numbers
            .map(|n| Orphan {
                agent_id: format!("team_a{n}"),
                was: ("team".to_owned(), format!("a{n}")),
            })
            .collect()
    }

    #[test]
    fn nobody_is_warned_twice_of_an_orphan_that_the_status_has_no_place_for() {
        let all = orphans(0..150);
        let ids = all.iter().map(|orphan| orphan.agent_id.clone());
        let listed: Vec<_> = ids.take(MOST_LISTED).collect();
        assert_eq!(news(&all, &listed, &all), []);
        // After a start only the status tells who was told.
        assert_eq!(news(&all, &listed, &[]), all[MOST_LISTED..]);
        assert_eq!(news(&all, &[], &[]), all);
        assert_eq!(news(&orphans(0..151), &listed, &all), orphans(150..151));
    }

    #[test]
    fn a_gateway_names_ten_orphans_and_counts_the_rest() {
        let orphans = orphans(10..22);
        let said = told(&orphans);
        assert_eq!(said.status, Status::True);
        let message = said.message;
        assert!(
            message.contains("team_a19 (of Agent team/a19) and 2 more."),
            "{message}"
        );
        assert!(!message.contains("team_a20"), "{message}");
        assert!(
            message.ends_with("openclaw agents delete team_a10"),
            "{message}"
        );
        assert_eq!(told(&[]).status, Status::False);
    }
}
