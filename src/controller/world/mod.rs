//! What is known of the cluster: the caches of all kinds, who refers to whom, and who has to be reconciled when something changes.
//!
//! Filled by the watches in `watch` through `routing`; read by every reconcile.

mod references;
mod routing;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    ResourceExt,
    core::PartialObjectMeta,
    runtime::reflector::{ObjectRef, Store, store::Writer},
};

use crate::{
    api::{
        Agent, Board, Gateway,
        reference::{BoardRef, GatewayName},
    },
    controller::queue::{Queue, Rank},
    kube::latest::Latest,
};
use references::References;

/// How old the count of Agents on a Gateway may be: a fleet that starts changes it a hundred times in a few seconds.
const COUNT_WITHIN: Duration = Duration::from_secs(1);

/// The caches, their indexes and the queues.
#[derive(Debug)]
pub(in crate::controller) struct World {
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

/// The writing ends of the caches.
#[derive(Debug, Default)]
pub(in crate::controller) struct Writers {
    /// Of Gateways.
    pub gateways: Writer<Gateway>,
    /// Of Boards.
    pub boards: Writer<Board>,
    /// Of Agents.
    pub agents: Writer<Agent>,
    /// Of namespaces.
    pub namespaces: Writer<PartialObjectMeta<Namespace>>,
}

/// What is to be reconciled.
#[derive(Debug, Clone)]
pub(in crate::controller) struct Queues {
    /// Gateways to reconcile.
    pub gateways: Queue<ObjectRef<Gateway>>,
    /// Boards to reconcile.
    pub boards: Queue<ObjectRef<Board>>,
    /// Agents to reconcile.
    pub agents: Queue<ObjectRef<Agent>>,
    /// ConfigMaps with texts that have changed.
    pub config_maps: Queue<ObjectRef<ConfigMap>>,
}

impl World {
    /// An empty world over the stores that `writers` fill.
    pub(in crate::controller) fn new(writers: &Writers, queues: Queues) -> Self {
        Self {
            gateways: writers.gateways.as_reader(),
            boards: writers.boards.as_reader(),
            agents: writers.agents.as_reader(),
            namespaces: writers.namespaces.as_reader(),
            latest_gateways: Latest::default(),
            latest_agents: Latest::default(),
            references: Mutex::default(),
            queues,
        }
    }

    /// Waits until every store holds a complete list once.
    pub(in crate::controller) async fn filled(&self) {
        // An error would mean that a watch ended, which they do only with the program.
        drop(tokio::join!(
            self.gateways.wait_until_ready(),
            self.boards.wait_until_ready(),
            self.agents.wait_until_ready(),
            self.namespaces.wait_until_ready(),
        ));
    }

    /// The Gateway of this name.
    pub(in crate::controller) fn gateway(&self, name: &GatewayName) -> Option<Arc<Gateway>> {
        self.gateways
            .get(&ObjectRef::new(&name.name).within(&name.namespace))
    }

    /// The Gateway object with this uid, under the name it had when the claim was made.
    pub(in crate::controller) fn gateway_with_uid(
        &self,
        name: &GatewayName,
        uid: &str,
    ) -> Option<Arc<Gateway>> {
        self.gateway(name)
            .filter(|gateway| gateway.uid().as_deref() == Some(uid))
    }

    /// The Board that an object in `namespace` means.
    pub(in crate::controller) fn board(
        &self,
        reference: &BoardRef,
        namespace: &str,
    ) -> Option<Arc<Board>> {
        self.boards
            .get(&ObjectRef::new(&reference.name).within(namespace))
    }

    /// The labels of a namespace.
    pub(in crate::controller) fn labels(
        &self,
        namespace: &str,
    ) -> Option<BTreeMap<String, String>> {
        self.namespace(namespace)
            .map(|namespace| namespace.labels().clone())
    }

    /// Whether a namespace is being deleted.
    pub(in crate::controller) fn is_terminating(&self, namespace: &str) -> bool {
        self.namespace(namespace)
            .is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_some())
    }

    fn namespace(&self, name: &str) -> Option<Arc<PartialObjectMeta<Namespace>>> {
        self.namespaces.get(&ObjectRef::new(name))
    }

    /// The Agents that mean this Gateway, by themselves or through their Boards.
    pub(in crate::controller) fn agents_on(&self, gateway: &GatewayName) -> Vec<ObjectRef<Agent>> {
        let references = self.references();
        let boards = references.boards_of_gateway.get(gateway);
        let through_boards = boards
            .iter()
            .flat_map(|board| references.agents_of_board.get(&references::key_of(board)));
        references
            .agents_of_gateway
            .get(gateway)
            .into_iter()
            .chain(through_boards)
            .collect()
    }

    /// The Agents that mean this Gateway by themselves, without a Board.
    pub(in crate::controller) fn agents_directly_on(
        &self,
        gateway: &GatewayName,
    ) -> Vec<Arc<Agent>> {
        let agents = self.references().agents_of_gateway.get(gateway);
        agents
            .iter()
            .filter_map(|agent| self.agents.get(agent))
            .collect()
    }

    /// The Agents of a Board.
    pub(in crate::controller) fn agents_of_board(
        &self,
        namespace: &str,
        name: &str,
    ) -> Vec<Arc<Agent>> {
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
    pub(in crate::controller) fn agents_with_id(&self, agent_id: &str) -> Vec<Arc<Agent>> {
        let agents = self.references().agents_of_id.get(&agent_id.to_owned());
        agents
            .iter()
            .filter_map(|agent| self.agents.get(agent))
            .map(|agent| self.latest_agents.or_newer(agent, &self.agents))
            .collect()
    }

    /// The Agents that hold a claim on the Gateway with this uid.
    pub(in crate::controller) fn claims_on(&self, gateway_uid: &str) -> Vec<ObjectRef<Agent>> {
        self.references()
            .agents_of_claim
            .get(&gateway_uid.to_owned())
    }

    /// Reconciles a Gateway soon.
    pub(in crate::controller) fn touch_gateway(&self, gateway: &ObjectRef<Gateway>) {
        self.queues.gateways.push(gateway, Rank::Ordinary);
    }

    /// Reconciles a Gateway whose count of Agents has changed.
    fn touch_counting(&self, gateway: &ObjectRef<Gateway>) {
        self.queues.gateways.push_within(gateway, COUNT_WITHIN);
    }

    /// Reconciles Boards soon.
    fn touch_boards(&self, boards: impl IntoIterator<Item = ObjectRef<Board>>) {
        for board in boards {
            self.queues.boards.push(&board, Rank::Ordinary);
        }
    }

    /// Reconciles Agents soon.
    pub(in crate::controller) fn touch_agents(
        &self,
        agents: impl IntoIterator<Item = ObjectRef<Agent>>,
    ) {
        for agent in agents {
            self.queues.agents.push(&agent, Rank::Ordinary);
        }
    }

    /// Reconciles Agents, one after the other with this time between two.
    pub(in crate::controller) fn touch_agents_spaced<'a>(
        &self,
        agents: impl IntoIterator<Item = &'a ObjectRef<Agent>>,
        spacing: Duration,
    ) {
        let mut wait = Duration::ZERO;
        for agent in agents {
            self.queues.agents.push_within(agent, wait);
            wait += spacing;
        }
    }

    fn references(&self) -> MutexGuard<'_, References> {
        self.references
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
