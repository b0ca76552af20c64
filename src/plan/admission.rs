//! Whether an Agent may be on its gateway at all, and which of several wins an id. Pure look at other objects; the gateway is not asked.

use std::{collections::BTreeMap, ops::Deref};

use k8s_openapi::jiff::Timestamp;
use kube::{
    ResourceExt,
    core::{Selector, SelectorExt},
};

use crate::api::{
    Agent, Board, Gateway,
    gateway::NamespacesFrom,
    reason::Reason,
    reference::{GatewayName, GatewayRef},
};
use crate::plan::agent_id;

/// Why something is not accepted, in a condition's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason of the condition.
    pub reason: Reason,
    /// What happened and what to do next.
    pub message: String,
}

impl Refusal {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// Which Gateway `reference`, standing on an object in `namespace`, means.
#[must_use]
pub fn target(reference: &GatewayRef, namespace: &str) -> GatewayName {
    GatewayName {
        name: reference.name.clone(),
        namespace: reference
            .namespace
            .clone()
            .unwrap_or_else(|| namespace.to_owned()),
    }
}

/// Which Gateway an Agent means: its own reference's, or its Board's.
///
/// Errors where it names a Board that is not there.
pub fn gateway_of(agent: &Agent, board: Option<&Board>) -> Result<GatewayName, Refusal> {
    let namespace = agent.namespace().unwrap_or_default();
    if let Some(reference) = &agent.spec.gateway_ref {
        return Ok(target(reference, &namespace));
    }
    let name = agent
        .spec
        .board_ref
        .as_ref()
        .map(|board| board.name.as_str())
        .unwrap_or_default();
    board
        .map(|board| target(&board.spec.gateway_ref, &namespace))
        .ok_or_else(|| {
            Refusal::new(
                Reason::BoardNotFound,
                format!("Board {name} does not exist in this namespace. Apply it; this Agent goes on by itself."),
            )
        })
}

/// Whether an object in `namespace` (with `labels`) may use the Gateway it means.
///
/// Across namespaces "not there" and "not allowed" read the same, so that nobody learns what exists elsewhere.
pub fn admit<G: Deref<Target = Gateway>>(
    wanted: &GatewayName,
    gateway: Option<G>,
    namespace: &str,
    labels: Option<&BTreeMap<String, String>>,
) -> Result<G, Refusal> {
    if wanted.namespace == namespace {
        let gateway = gateway.ok_or_else(|| {
            Refusal::new(
                Reason::GatewayNotFound,
                format!("Gateway {} does not exist in this namespace. Apply it; this object goes on by itself.", wanted.name),
            )
        })?;
        return Ok(gateway);
    }
    gateway.filter(|gateway| allows(gateway, labels)).ok_or_else(|| {
        Refusal::new(
            Reason::NotAllowed,
            format!(
                "Gateway {}/{} is not open to this namespace. Ask its owners to allow namespace {namespace} in spec.allowedNamespaces, or name another Gateway.",
                wanted.namespace, wanted.name
            ),
        )
    })
}

/// Whether the Gateway lets another namespace with these labels in.
fn allows(gateway: &Gateway, labels: Option<&BTreeMap<String, String>>) -> bool {
    let Some(allowed) = &gateway.spec.allowed_namespaces else {
        return false;
    };
    match allowed.from {
        NamespacesFrom::Same => false,
        NamespacesFrom::All => true,
        NamespacesFrom::Selector => allowed
            .selector
            .clone()
            .and_then(|selector| Selector::try_from(selector).ok())
            .is_some_and(|selector| labels.is_some_and(|labels| selector.matches(labels))),
    }
}

/// The id of an Agent on its gateway: what status recorded, else what the spec says, else the derived one.
///
/// Errors where an explicit id reaches into another namespace's Gateway without this namespace's prefix.
pub fn id_of(agent: &Agent, gateway: &GatewayName) -> Result<String, Refusal> {
    let namespace = agent.namespace().unwrap_or_default();
    if let Some(id) = &agent.spec.agent_id {
        let prefix = agent_id::foreign_prefix(&namespace);
        if gateway.namespace != namespace && !id.starts_with(&prefix) {
            return Err(Refusal::new(
                Reason::AgentIdNotAllowed,
                format!(
                    "spec.agentId {id:?} must begin with {prefix:?} because the Gateway is in another namespace. Delete this Agent and apply it with such an id, or without one."
                ),
            ));
        }
        return Ok(id.clone());
    }
    let recorded = agent
        .status
        .as_ref()
        .and_then(|status| status.agent_id.clone());
    Ok(recorded.unwrap_or_else(|| agent_id::derived(&namespace, &agent.name_any())))
}

/// An Agent in the order in which they win an id: who holds the claim, then the older, then by namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    without_claim: bool,
    created: Option<Timestamp>,
    namespace: String,
    name: String,
}

/// The rank of `agent` for the place that the Gateways with these uids share.
#[must_use]
pub fn rank(agent: &Agent, gateway_uids: &[String], agent_id: &str) -> Rank {
    let claims = agent.status.iter().flat_map(|status| &status.places);
    let holds = claims
        .into_iter()
        .any(|place| place.agent_id == agent_id && gateway_uids.contains(&place.gateway_uid));
    Rank {
        without_claim: !holds,
        created: agent.creation_timestamp().map(|time| time.0),
        namespace: agent.namespace().unwrap_or_default(),
        name: agent.name_any(),
    }
}

/// Refuses the Agent of rank `own` if one of `rivals` goes first.
pub fn settle(
    own: &Rank,
    rivals: impl IntoIterator<Item = Rank>,
    agent_id: &str,
) -> Result<(), Refusal> {
    let Some(winner) = rivals.into_iter().filter(|rival| rival < own).min() else {
        return Ok(());
    };
    let who = if winner.namespace == own.namespace {
        format!("Agent {}", winner.name)
    } else {
        "an Agent of another namespace".to_owned()
    };
    Err(Refusal::new(
        Reason::AgentIdConflict,
        format!(
            "{who} has the id {agent_id:?} on this gateway. Give this Agent another spec.agentId (delete and apply it again), or remove the other one."
        ),
    ))
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};

    use super::*;
    use crate::api::{
        AgentSpec, AgentStatus, BoardSpec, GatewaySpec,
        agent::{Place, PlaceState},
        gateway::AllowedNamespaces,
        reference::BoardRef,
    };

    fn agent(namespace: &str, name: &str, created: i64) -> Agent {
        let mut agent = Agent::new(name, AgentSpec::default());
        agent.metadata.namespace = Some(namespace.into());
        agent.metadata.creation_timestamp = Some(Time(Timestamp::from_second(created).unwrap()));
        agent
    }

    fn gateway(from: NamespacesFrom, label: Option<(&str, &str)>) -> Gateway {
        let selector = label.map(|(key, value)| LabelSelector {
            match_labels: Some(BTreeMap::from([(key.into(), value.into())])),
            ..LabelSelector::default()
        });
        let allowed_namespaces = Some(AllowedNamespaces {
            from,
            selector,
            adoption: false,
        });
        let mut gateway = Gateway::new(
            "main",
            GatewaySpec {
                allowed_namespaces,
                ..GatewaySpec::default()
            },
        );
        gateway.metadata.namespace = Some("infra".into());
        gateway
    }

    fn wanted() -> GatewayName {
        GatewayName {
            name: "main".into(),
            namespace: "infra".into(),
        }
    }

    #[test]
    fn another_namespace_gets_in_only_where_the_gateway_allows_it() {
        let labels = BTreeMap::from([("team".to_owned(), "red".to_owned())]);
        for (gateway, allowed) in [
            (gateway(NamespacesFrom::Same, None), false),
            (gateway(NamespacesFrom::All, None), true),
            (
                gateway(NamespacesFrom::Selector, Some(("team", "red"))),
                true,
            ),
            (
                gateway(NamespacesFrom::Selector, Some(("team", "blue"))),
                false,
            ),
            (gateway(NamespacesFrom::Selector, None), false),
        ] {
            let admitted = admit(&wanted(), Some(&gateway), "red", Some(&labels));
            assert_eq!(
                admitted.is_ok(),
                allowed,
                "{:?}",
                gateway.spec.allowed_namespaces
            );
            assert!(admit(&wanted(), Some(&gateway), "infra", None).is_ok());
        }
    }

    #[test]
    fn across_namespaces_not_there_and_not_allowed_read_the_same() {
        let closed = gateway(NamespacesFrom::Same, None);
        let not_allowed = admit(&wanted(), Some(&closed), "red", None).unwrap_err();
        let nobody: Option<&Gateway> = None;
        let not_there = admit(&wanted(), nobody, "red", None).unwrap_err();
        assert_eq!(not_allowed, not_there);
        assert_eq!(
            admit(&wanted(), nobody, "infra", None).unwrap_err().reason,
            Reason::GatewayNotFound
        );
    }

    #[test]
    fn an_agent_means_its_boards_gateway_or_its_own() {
        let mut with_board = agent("team", "a", 1);
        with_board.spec.board_ref = Some(BoardRef {
            name: "research".into(),
        });
        let reference = GatewayRef {
            name: "main".into(),
            namespace: Some("infra".into()),
        };
        let board = Board::new(
            "research",
            BoardSpec {
                gateway_ref: reference,
                ..BoardSpec::default()
            },
        );
        assert_eq!(gateway_of(&with_board, Some(&board)), Ok(wanted()));
        let refusal = gateway_of(&with_board, None).unwrap_err();
        assert_eq!(refusal.reason, Reason::BoardNotFound);
        assert!(refusal.message.contains("research"), "{}", refusal.message);
    }

    #[test]
    fn an_explicit_id_needs_the_namespaces_prefix_on_another_namespaces_gateway() {
        let mut agent = agent("red", "a", 1);
        assert_eq!(id_of(&agent, &wanted()).unwrap(), "red_a");
        agent.spec.agent_id = Some("blue_a".into());
        assert_eq!(
            id_of(&agent, &wanted()).unwrap_err().reason,
            Reason::AgentIdNotAllowed
        );
        agent.spec.agent_id = Some("red_x".into());
        assert_eq!(id_of(&agent, &wanted()).unwrap(), "red_x");
    }

    #[test]
    fn a_claim_wins_over_age_and_age_over_name() {
        let uids = ["uid".to_owned()];
        let mut young = agent("a", "young", 20);
        let old = agent("b", "old", 10);
        let same = agent("a", "same-age", 10);
        let ranked = |agent: &Agent| rank(agent, &uids, "x");
        assert!(ranked(&old) < ranked(&young));
        assert!(ranked(&same) < ranked(&old), "by namespace");
        let place = Place {
            gateway_uid: "uid".into(),
            agent_id: "x".into(),
            state: PlaceState::Claimed,
            gateway: wanted(),
            ..Place::default()
        };
        young.status = Some(AgentStatus {
            places: vec![place],
            ..AgentStatus::default()
        });
        assert!(ranked(&young) < ranked(&old), "by claim");
        let refusal = settle(&ranked(&old), [ranked(&young)], "x").unwrap_err();
        assert!(
            !refusal.message.contains("young"),
            "an Agent of another namespace is not named: {}",
            refusal.message
        );
        assert!(settle(&ranked(&young), [ranked(&old), ranked(&same)], "x").is_ok());
    }
}
