//! What is known of the cluster: the caches of all kinds, who refers to whom, and who has to be reconciled when something changes.
//!
//! Filled by the watches in `watch`; read by every reconcile.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{StreamExt, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Resource, ResourceExt,
    core::PartialObjectMeta,
    runtime::reflector::{ObjectRef, Store},
};
use tokio::sync::mpsc;

use crate::{
    api::{
        Agent, Board, Gateway,
        file::FileSpec,
        reference::{BoardRef, GatewayName},
    },
    kube::{cache::Change, index::Index, latest::Latest},
    plan::admission,
};

/// Namespace and name of an object whose kind the context tells.
pub(super) type Key = (String, String);

/// The caches, their indexes and the queues.
#[derive(Debug)]
pub(super) struct World {
    /// All Gateways.
    pub gateways: Store<Gateway>,
    /// All Boards.
    pub boards: Store<Board>,
    /// All Agents.
    pub agents: Store<Agent>,
    /// All namespaces, metadata only.
    pub namespaces: Store<PartialObjectMeta<Namespace>>,
    /// Own writes to Gateways that the cache may not show yet.
    pub latest_gateways: Latest<Gateway>,
    /// Own writes to Agents that the cache may not show yet.
    pub latest_agents: Latest<Agent>,
    references: Mutex<References>,
    queues: Queues,
}

/// Who mentions whom.
#[derive(Debug, Default)]
struct References {
    boards_of_gateway: Index<GatewayName, ObjectRef<Board>>,
    agents_of_gateway: Index<GatewayName, ObjectRef<Agent>>,
    agents_of_board: Index<Key, ObjectRef<Agent>>,
    agents_of_id: Index<String, ObjectRef<Agent>>,
    agents_of_claim: Index<String, ObjectRef<Agent>>,
    agents_of_config_map: Index<Key, ObjectRef<Agent>>,
    boards_of_config_map: Index<Key, ObjectRef<Board>>,
}

/// The ends of the queues that the world writes to.
#[derive(Debug, Clone)]
pub(super) struct Queues {
    /// Gateways to reconcile.
    pub gateways: mpsc::UnboundedSender<ObjectRef<Gateway>>,
    /// Boards to reconcile.
    pub boards: mpsc::UnboundedSender<ObjectRef<Board>>,
    /// Agents to reconcile.
    pub agents: mpsc::UnboundedSender<ObjectRef<Agent>>,
}

/// The stream of a queue, as a controller takes it.
pub(super) fn queue<K: Resource<DynamicType = ()> + 'static>() -> (
    mpsc::UnboundedSender<ObjectRef<K>>,
    impl futures_util::Stream<Item = ObjectRef<K>> + Send + 'static,
) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let stream = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|item| (item, receiver))
    });
    (sender, stream.boxed())
}

impl World {
    /// An empty world over these stores.
    #[must_use]
    pub(super) fn new(
        gateways: Store<Gateway>,
        boards: Store<Board>,
        agents: Store<Agent>,
        namespaces: Store<PartialObjectMeta<Namespace>>,
        queues: Queues,
    ) -> Self {
        Self {
            gateways,
            boards,
            agents,
            namespaces,
            latest_gateways: Latest::default(),
            latest_agents: Latest::default(),
            references: Mutex::default(),
            queues,
        }
    }

    /// The Gateway of this name.
    pub(super) fn gateway(&self, name: &GatewayName) -> Option<Arc<Gateway>> {
        self.gateways
            .get(&ObjectRef::new(&name.name).within(&name.namespace))
    }

    /// The Gateway object with this uid, under the name it had when the claim was made.
    pub(super) fn gateway_with_uid(&self, name: &GatewayName, uid: &str) -> Option<Arc<Gateway>> {
        self.gateway(name)
            .filter(|gateway| gateway.uid().as_deref() == Some(uid))
    }

    /// The Board that an object in `namespace` means.
    pub(super) fn board(&self, reference: &BoardRef, namespace: &str) -> Option<Arc<Board>> {
        self.boards
            .get(&ObjectRef::new(&reference.name).within(namespace))
    }

    /// The labels of a namespace.
    pub(super) fn labels(&self, namespace: &str) -> Option<BTreeMap<String, String>> {
        self.namespace(namespace)
            .map(|namespace| namespace.labels().clone())
    }

    /// Whether a namespace is being deleted.
    pub(super) fn is_terminating(&self, namespace: &str) -> bool {
        self.namespace(namespace)
            .is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_some())
    }

    fn namespace(&self, name: &str) -> Option<Arc<PartialObjectMeta<Namespace>>> {
        self.namespaces.get(&ObjectRef::new(name))
    }

    /// The Agents that mean this Gateway, by themselves or through their Boards.
    pub(super) fn agents_on(&self, gateway: &GatewayName) -> Vec<ObjectRef<Agent>> {
        let references = self.references();
        let boards = references.boards_of_gateway.get(gateway);
        let through_boards = boards
            .iter()
            .flat_map(|board| references.agents_of_board.get(&key_of(board)));
        references
            .agents_of_gateway
            .get(gateway)
            .into_iter()
            .chain(through_boards)
            .collect()
    }

    /// The Agents of a Board.
    pub(super) fn agents_of_board(&self, namespace: &str, name: &str) -> Vec<Arc<Agent>> {
        let agents = self
            .references()
            .agents_of_board
            .get(&(namespace.to_owned(), name.to_owned()));
        agents
            .iter()
            .filter_map(|agent| self.agents.get(agent))
            .collect()
    }

    /// The Agents that have or want this id, on whatever gateway.
    pub(super) fn agents_with_id(&self, agent_id: &str) -> Vec<Arc<Agent>> {
        let agents = self.references().agents_of_id.get(&agent_id.to_owned());
        agents
            .iter()
            .filter_map(|agent| self.agents.get(agent))
            .collect()
    }

    /// The Agents that hold a claim on the Gateway with this uid.
    pub(super) fn claims_on(&self, gateway_uid: &str) -> Vec<ObjectRef<Agent>> {
        self.references()
            .agents_of_claim
            .get(&gateway_uid.to_owned())
    }

    /// Reconciles a Gateway soon.
    pub(super) fn touch_gateway(&self, gateway: ObjectRef<Gateway>) {
        // A closed queue means that the program ends.
        drop(self.queues.gateways.send(gateway));
    }

    /// Reconciles Boards soon.
    fn touch_boards(&self, boards: impl IntoIterator<Item = ObjectRef<Board>>) {
        for board in boards {
            drop(self.queues.boards.send(board));
        }
    }

    /// Reconciles Agents soon.
    pub(super) fn touch_agents(&self, agents: impl IntoIterator<Item = ObjectRef<Agent>>) {
        for agent in agents {
            drop(self.queues.agents.send(agent));
        }
    }

    /// Takes a change of a Gateway in.
    pub(super) fn gateway_changed(&self, change: &Change<Gateway>) {
        let (gateway, matters) = match change {
            Change::Seen { before, after } => {
                if is_news(before.as_deref(), after) {
                    self.touch_gateway(ObjectRef::from_obj(&**after));
                }
                (after, is_another(before.as_deref(), after))
            }
            Change::Gone(gateway) => {
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
            self.touch_agents(self.agents_on(&name));
        }
    }

    /// Takes a change of a Board in.
    pub(super) fn board_changed(&self, change: &Change<Board>) {
        let (board, matters) = match change {
            Change::Seen { before, after } => {
                let reference = ObjectRef::from_obj(&**after);
                let namespace = after.namespace().unwrap_or_default();
                {
                    let mut references = self.references();
                    references.boards_of_gateway.set(
                        &reference,
                        [admission::target(&after.spec.gateway_ref, &namespace)],
                    );
                    let files = after
                        .spec
                        .agent_defaults
                        .as_ref()
                        .map_or(&[][..], |defaults| &defaults.files);
                    references
                        .boards_of_config_map
                        .set(&reference, config_maps(files, &namespace));
                }
                if is_news(before.as_deref(), after) {
                    self.touch_boards([reference]);
                }
                (after, is_another(before.as_deref(), after))
            }
            Change::Gone(board) => {
                let reference = ObjectRef::from_obj(&**board);
                let mut references = self.references();
                references.boards_of_gateway.remove(&reference);
                references.boards_of_config_map.remove(&reference);
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
    pub(super) fn agent_changed(&self, change: &Change<Agent>) {
        let (before, after) = match change {
            Change::Seen { before, after } => (before.as_ref(), Some(after)),
            Change::Gone(agent) => (Some(agent), None),
            Change::Invalid(_) => return,
        };
        match after {
            Some(agent) => {
                self.refer(agent);
                if is_news(before.map(|before| &**before), agent) {
                    self.touch_agents([ObjectRef::from_obj(&**agent)]);
                }
            }
            None => {
                if let Some(agent) = before {
                    self.forget(agent);
                }
            }
        }
        let summary = |agent: Option<&Arc<Agent>>| {
            agent.map(|agent| {
                (
                    is_ready(agent),
                    claimed(agent),
                    agent.metadata.deletion_timestamp.is_some(),
                )
            })
        };
        if summary(before) != summary(after) {
            for agent in before.into_iter().chain(after) {
                self.touch_concerned(agent);
            }
        }
    }

    /// Reconciles those whose status or place depends on this Agent.
    fn touch_concerned(&self, agent: &Agent) {
        let namespace = agent.namespace().unwrap_or_default();
        self.touch_boards(
            agent
                .spec
                .board_ref
                .iter()
                .map(|board| ObjectRef::new(&board.name).within(&namespace)),
        );
        for place in agent.status.iter().flat_map(|status| &status.places) {
            self.touch_gateway(
                ObjectRef::new(&place.gateway.name).within(&place.gateway.namespace),
            );
        }
        let own = ObjectRef::from_obj(agent);
        let rivals = ids(agent)
            .into_iter()
            .flat_map(|id| self.references().agents_of_id.get(&id));
        let rivals: Vec<_> = rivals.filter(|rival| *rival != own).collect();
        self.touch_agents(rivals);
    }

    /// Takes a change of a namespace in: its labels decide which Gateways its objects may use.
    pub(super) fn namespace_changed(&self, change: &Change<PartialObjectMeta<Namespace>>) {
        if let Change::Seen {
            before: Some(before),
            after,
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

    /// Takes a change of a ConfigMap in.
    pub(super) fn config_map_changed<K: Resource<DynamicType = ()>>(&self, change: &Change<K>) {
        let config_map = match change {
            Change::Seen { before, after } => {
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
        let agents = {
            let references = self.references();
            let boards = references.boards_of_config_map.get(&key);
            let through_boards = boards
                .iter()
                .flat_map(|board| references.agents_of_board.get(&key_of(board)));
            references
                .agents_of_config_map
                .get(&key)
                .into_iter()
                .chain(through_boards)
                .collect::<Vec<_>>()
        };
        self.touch_agents(agents);
    }

    fn refer(&self, agent: &Agent) {
        let reference = ObjectRef::from_obj(agent);
        let namespace = agent.namespace().unwrap_or_default();
        let mut references = self.references();
        let gateway = agent
            .spec
            .gateway_ref
            .as_ref()
            .map(|gateway| admission::target(gateway, &namespace));
        references.agents_of_gateway.set(&reference, gateway);
        let board = agent
            .spec
            .board_ref
            .as_ref()
            .map(|board| (namespace.clone(), board.name.clone()));
        references.agents_of_board.set(&reference, board);
        references.agents_of_id.set(&reference, ids(agent));
        let claims = agent
            .status
            .iter()
            .flat_map(|status| &status.places)
            .map(|place| place.gateway_uid.clone());
        references.agents_of_claim.set(&reference, claims);
        references
            .agents_of_config_map
            .set(&reference, config_maps(&agent.spec.files, &namespace));
    }

    fn forget(&self, agent: &Agent) {
        self.latest_agents
            .forget(agent.meta().uid.as_deref().unwrap_or_default());
        let reference = ObjectRef::from_obj(agent);
        let mut references = self.references();
        references.agents_of_gateway.remove(&reference);
        references.agents_of_board.remove(&reference);
        references.agents_of_id.remove(&reference);
        references.agents_of_claim.remove(&reference);
        references.agents_of_config_map.remove(&reference);
    }

    fn references(&self) -> MutexGuard<'_, References> {
        self.references
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the object itself has to be reconciled: anything but our own status write coming back.
fn is_news<K: Resource>(before: Option<&K>, after: &K) -> bool {
    is_another(before, after)
        || before.is_some_and(|before| {
            before.annotations() != after.annotations() || before.finalizers() != after.finalizers()
        })
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

fn is_ready(agent: &Agent) -> bool {
    use crate::api::condition;
    agent
        .status
        .as_ref()
        .is_some_and(|status| condition::is_true(&status.conditions, condition::READY))
}

fn claimed(agent: &Agent) -> Vec<(String, String)> {
    let places = agent.status.iter().flat_map(|status| &status.places);
    places
        .map(|place| (place.gateway_uid.clone(), place.agent_id.clone()))
        .collect()
}

/// The ids under which an Agent may stand in another one's way.
fn ids(agent: &Agent) -> Vec<String> {
    let derived =
        crate::plan::agent_id::derived(&agent.namespace().unwrap_or_default(), &agent.name_any());
    let recorded = agent.status.iter().flat_map(|status| {
        status
            .agent_id
            .iter()
            .chain(status.places.iter().map(|place| &place.agent_id))
    });
    let mut ids: Vec<String> = recorded.chain(&agent.spec.agent_id).cloned().collect();
    if agent.spec.agent_id.is_none() {
        ids.push(derived);
    }
    ids
}

fn config_maps(files: &[FileSpec], namespace: &str) -> Vec<Key> {
    files
        .iter()
        .filter_map(|file| file.config_map_key_ref.as_ref())
        .map(|reference| (namespace.to_owned(), reference.name.clone()))
        .collect()
}

fn key<K: Resource>(object: &K) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn key_of<K: Resource<DynamicType = ()>>(reference: &ObjectRef<K>) -> Key {
    (
        reference.namespace.clone().unwrap_or_default(),
        reference.name.clone(),
    )
}
