//! Who has to be reconciled when an object changes. The caches hold the change already when it comes here.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Resource, ResourceExt, core::PartialObjectMeta, runtime::reflector::ObjectRef};

use super::{
    World,
    references::{Key, ids, key, key_of},
};
use crate::{
    api::{Agent, Board, Gateway, agent::Role, condition, reference::GatewayName},
    controller::{config_maps::Users, queue::Rank},
    kube::cache::Change,
    plan::{
        admission, owned,
        seats::{self, claim_to_a_seat},
    },
};

impl World {
    /// Takes a change of a Gateway in.
    pub(in crate::controller) fn gateway_changed(&self, change: &Change<Gateway>) {
        let (gateway, matters) = match change {
            Change::Seen {
                before,
                after,
                listed,
            } => {
                self.references().set_gateway(after);
                self.latest_gateways.shown(after);
                if is_news(before.as_deref(), after) {
                    let gateway = ObjectRef::from_obj(&**after);
                    self.queues.gateways.push(&gateway, rank(*listed));
                }
                (after, is_another(before.as_deref(), after))
            }
            Change::Gone(gateway) => {
                self.references().remove_gateway(gateway);
                self.latest_gateways
                    .forget(gateway.meta().uid.as_deref().unwrap_or_default());
                (gateway, true)
            }
            Change::Invalid(_) => return,
        };
        if matters {
            let name = GatewayName {
                name: gateway.name_any(),
                namespace: gateway.namespace().unwrap_or_default(),
            };
            let boards = self.references().boards_of_gateway.get(&name);
            self.touch_boards(boards);
            // Those that leave it, too, though they mean another one by now.
            let uid = gateway.meta().uid.clone().unwrap_or_default();
            let mut agents = self.agents_on(&name);
            agents.extend(self.claims_on(&uid));
            self.touch_agents(agents);
        }
    }

    /// Takes a change of a Board in.
    pub(in crate::controller) fn board_changed(&self, change: &Change<Board>) {
        let (board, matters) = match change {
            Change::Seen {
                before,
                after,
                listed,
            } => {
                self.references().set_board(after);
                if is_news(before.as_deref(), after) {
                    let board = ObjectRef::from_obj(&**after);
                    self.queues.boards.push(&board, rank(*listed));
                }
                (after, is_another(before.as_deref(), after))
            }
            Change::Gone(board) => {
                self.references().remove_board(board);
                (board, true)
            }
            Change::Invalid(_) => return,
        };
        if matters {
            let agents = self.references().agents_of_board.get(&key(&**board));
            self.touch_agents(agents);
        }
    }

    /// Takes a change of an Agent in.
    pub(in crate::controller) fn agent_changed(&self, change: &Change<Agent>) {
        let (before, after, listed) = match change {
            Change::Seen {
                before,
                after,
                listed,
            } => (before.as_ref(), Some(after), *listed),
            Change::Gone(agent) => (Some(agent), None, false),
            Change::Invalid(_) => return,
        };
        match after {
            Some(agent) => {
                self.references().set_agent(agent);
                self.latest_agents.shown(agent);
                if is_news(before.map(|before| &**before), agent) {
                    let agent = ObjectRef::from_obj(&**agent);
                    self.queues.agents.push(&agent, rank(listed));
                }
            }
            None => {
                if let Some(agent) = before {
                    let uid = agent.meta().uid.as_deref().unwrap_or_default();
                    self.latest_agents.forget(uid);
                    self.references().remove_agent(agent);
                }
            }
        }
        let summary = |agent: Option<&Arc<Agent>>| {
            agent.map(|agent| {
                (
                    (agent.spec.board_ref.clone(), agent.spec.role),
                    (is(agent, condition::READY), is(agent, condition::ONLINE)),
                    seats::is_accepted(agent),
                    claimed(agent),
                    agent
                        .status
                        .as_ref()
                        .is_some_and(|status| !status.pending.is_empty()),
                    agent.metadata.deletion_timestamp.is_some(),
                )
            })
        };
        if summary(before) != summary(after) {
            for agent in before.into_iter().chain(after) {
                self.touch_concerned(agent, after);
            }
        }
        let edited = after.is_none_or(|after| is_another(before.map(|before| &**before), after));
        if edited && let Some(agent) = before.or(after) {
            self.touch_owner(agent);
        }
        // What kept it from its place may have changed before this could be seen.
        let waits = |agent: Option<&Arc<Agent>>| agent.is_some_and(|agent| seats::waits(agent));
        if let Some(agent) = after.filter(|_| waits(after) && !waits(before)) {
            self.touch_agents([ObjectRef::from_obj(&**agent)]);
        }
        let seat = |agent: Option<&Arc<Agent>>| {
            let agent = agent?;
            let home = (agent.spec.board_ref.clone(), agent.spec.gateway_ref.clone());
            Some((claim_to_a_seat(agent)?, home))
        };
        if seat(before) != seat(after) {
            for agent in before.into_iter().chain(after) {
                self.touch_seats(agent);
            }
        }
    }

    /// Reconciles the Board or the Gateway that declares this Agent, or would if the name were free. A name that was cut does not tell
    /// whose it is; that one looks again by itself.
    fn touch_owner(&self, agent: &Agent) {
        let (namespace, name) = key(agent);
        if let Some(board) = owned::owner_of(&name, Role::Lead) {
            self.touch_boards([ObjectRef::new(board).within(&namespace)]);
        } else if let Some(gateway) = owned::owner_of(&name, Role::Main) {
            self.touch_gateway(&ObjectRef::new(gateway).within(&namespace));
        }
    }

    /// Reconciles those whose place on a Board, or as a Gateway's main agent, depends on this Agent.
    fn touch_seats(&self, agent: &Agent) {
        let namespace = agent.namespace().unwrap_or_default();
        let others = if let Some(board) = &agent.spec.board_ref {
            self.agents_of_board(&namespace, &board.name)
        } else if let (Some(gateway), Role::Main) = (&agent.spec.gateway_ref, agent.spec.role) {
            self.agents_directly_on(&admission::target(gateway, &namespace))
        } else {
            return;
        };
        let own = ObjectRef::from_obj(agent);
        let concerned = others
            .iter()
            .filter(|other| seats::concerns(agent, other))
            .map(|other| ObjectRef::from_obj(&**other))
            .filter(|other| *other != own);
        self.touch_agents(concerned);
    }

    /// Reconciles those whose status or place depends on this Agent, as it was or as it is `now`. What a Gateway does for its Agents ends
    /// with the last of them, so one that is gone from there is not only counted.
    fn touch_concerned(&self, agent: &Agent, now: Option<&Arc<Agent>>) {
        let namespace = agent.namespace().unwrap_or_default();
        self.touch_boards(
            agent
                .spec
                .board_ref
                .iter()
                .map(|board| ObjectRef::new(&board.name).within(&namespace)),
        );
        let board = agent.spec.board_ref.as_ref();
        let board = board.and_then(|board| self.board(board, &namespace));
        if let Ok(gateway) = admission::gateway_of(agent, board.as_deref()) {
            self.touch_counting(&ObjectRef::new(&gateway.name).within(&gateway.namespace));
        }
        for place in agent.status.iter().flat_map(|status| &status.places) {
            let gateway = ObjectRef::new(&place.gateway.name).within(&place.gateway.namespace);
            let uid = &place.gateway_uid;
            let mut held = now
                .iter()
                .flat_map(|agent| &agent.status)
                .flat_map(|it| &it.places);
            if held.all(|held| held.gateway_uid != *uid) {
                self.touch_gateway(&gateway);
            } else {
                self.touch_counting(&gateway);
            }
        }
        let own = ObjectRef::from_obj(agent);
        let rivals = ids(agent)
            .into_iter()
            .flat_map(|id| self.references().agents_of_id.get(&id));
        let rivals: Vec<_> = rivals.filter(|rival| *rival != own).collect();
        self.touch_agents(rivals);
    }

    /// Takes a change of a namespace in: its labels decide which Gateways its objects may use.
    pub(in crate::controller) fn namespace_changed(
        &self,
        change: &Change<PartialObjectMeta<Namespace>>,
    ) {
        if let Change::Seen {
            before: Some(before),
            after,
            ..
        } = change
            && (before.labels() != after.labels()
                || before.metadata.deletion_timestamp != after.metadata.deletion_timestamp)
        {
            let within = |namespace: Option<String>| namespace == after.metadata.name;
            self.touch_boards(
                self.boards
                    .state()
                    .iter()
                    .filter(|board| within(board.namespace()))
                    .map(|board| ObjectRef::from_obj(&**board)),
            );
            self.touch_agents(
                self.agents
                    .state()
                    .iter()
                    .filter(|agent| within(agent.namespace()))
                    .map(|agent| ObjectRef::from_obj(&**agent)),
            );
        }
    }

    /// Takes a change of a ConfigMap in: where somebody names it, it is looked up who uses what has changed in it.
    pub(in crate::controller) fn config_map_changed<K: Resource<DynamicType = ()>>(
        &self,
        change: &Change<K>,
    ) {
        let config_map = match change {
            Change::Seen { before, after, .. } => {
                if before
                    .as_ref()
                    .is_some_and(|before| before.resource_version() == after.resource_version())
                {
                    return;
                }
                after
            }
            Change::Gone(gone) => gone,
            Change::Invalid(_) => return,
        };
        let key = key(&**config_map);
        if self.references().is_named(&key) {
            let (namespace, name) = key;
            let config_map = ObjectRef::new(&name).within(&namespace);
            self.queues.config_maps.push(&config_map, Rank::Ordinary);
        }
    }

    /// Those whose texts may stand in this ConfigMap: through Gateways, through Boards, and by themselves.
    pub(in crate::controller) fn users_of_config_map(&self, key: &Key) -> Vec<Users> {
        let (gateways, boards, agents) = {
            let references = self.references();
            (
                references.gateways_of_config_map.get(key),
                references.boards_of_config_map.get(key),
                references.agents_of_config_map.get(key),
            )
        };
        let gateways = gateways.iter().filter_map(|gateway| {
            let (namespace, name) = key_of(gateway);
            Some(Users {
                owner: Some(self.gateways.get(gateway)?.object_ref(&())),
                agents: self.agents_on(&GatewayName { name, namespace }),
            })
        });
        let boards = boards.iter().filter_map(|board| {
            let agents = self.references().agents_of_board.get(&key_of(board));
            Some(Users {
                owner: Some(self.boards.get(board)?.object_ref(&())),
                agents,
            })
        });
        let by_themselves = Users {
            owner: None,
            agents,
        };
        gateways.chain(boards).chain([by_themselves]).collect()
    }
}

/// What somebody changes while we look is wanted at once; what a list brings is a start, or what an interruption kept from us.
fn rank(listed: bool) -> Rank {
    if listed { Rank::Ordinary } else { Rank::Edited }
}

/// Whether the object itself has to be reconciled: not for our own status or finalizer coming back.
fn is_news<K: Resource>(before: Option<&K>, after: &K) -> bool {
    is_another(before, after)
        || before.is_some_and(|before| before.annotations() != after.annotations())
}

/// Whether the object says something else than before.
fn is_another<K: Resource>(before: Option<&K>, after: &K) -> bool {
    before.is_none_or(|before| {
        let said = |object: &K| {
            (
                object.meta().uid.clone(),
                object.meta().generation,
                object.meta().deletion_timestamp.clone(),
            )
        };
        said(before) != said(after)
    })
}

fn is(agent: &Agent, type_: &str) -> bool {
    let status = agent.status.as_ref();
    status.is_some_and(|status| condition::is_true(&status.conditions, type_))
}

fn claimed(agent: &Agent) -> Vec<(String, String)> {
    let places = agent.status.iter().flat_map(|status| &status.places);
    places
        .map(|place| (place.gateway_uid.clone(), place.agent_id.clone()))
        .collect()
}
