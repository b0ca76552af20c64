//! Who mentions whom: the indexes beside the caches.

use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef};

use crate::{
    api::{
        Agent, Board, Gateway,
        file::FileSpec,
        reference::{GatewayName, Templates},
    },
    kube::index::Index,
    plan::{admission, agent_id},
};

/// Namespace and name of an object whose kind the context tells.
pub(in crate::controller) type Key = (String, String);

/// Who mentions whom.
#[derive(Debug, Default)]
pub(super) struct References {
    pub(super) boards_of_gateway: Index<GatewayName, ObjectRef<Board>>,
    pub(super) agents_of_gateway: Index<GatewayName, ObjectRef<Agent>>,
    pub(super) agents_of_board: Index<Key, ObjectRef<Agent>>,
    pub(super) agents_of_id: Index<String, ObjectRef<Agent>>,
    pub(super) agents_of_claim: Index<String, ObjectRef<Agent>>,
    pub(super) agents_of_config_map: Index<Key, ObjectRef<Agent>>,
    pub(super) boards_of_config_map: Index<Key, ObjectRef<Board>>,
    pub(super) gateways_of_config_map: Index<Key, ObjectRef<Gateway>>,
}

impl References {
    /// Whether anybody names this ConfigMap.
    pub(super) fn is_named(&self, config_map: &Key) -> bool {
        self.agents_of_config_map.has(config_map)
            || self.boards_of_config_map.has(config_map)
            || self.gateways_of_config_map.has(config_map)
    }

    /// Takes in what a Board mentions.
    pub(super) fn set_board(&mut self, board: &Board) {
        let reference = ObjectRef::from_obj(board);
        let namespace = board.namespace().unwrap_or_default();
        let gateway = admission::target(&board.spec.gateway_ref, &namespace);
        self.boards_of_gateway.set(&reference, [gateway]);
        let defaults = board.spec.agent_defaults.as_ref();
        let files = defaults.map_or(&[][..], |defaults| &defaults.files);
        let templates = board.spec.templates.as_ref();
        let config_maps = config_maps(files, &namespace)
            .into_iter()
            .chain(template_map(templates, &namespace));
        self.boards_of_config_map.set(&reference, config_maps);
    }

    /// Takes in what a Gateway mentions.
    pub(super) fn set_gateway(&mut self, gateway: &Gateway) {
        let namespace = gateway.namespace().unwrap_or_default();
        let templates = template_map(gateway.spec.templates.as_ref(), &namespace);
        self.gateways_of_config_map
            .set(&ObjectRef::from_obj(gateway), templates);
    }

    /// Forgets a Gateway.
    pub(super) fn remove_gateway(&mut self, gateway: &Gateway) {
        self.gateways_of_config_map
            .remove(&ObjectRef::from_obj(gateway));
    }

    /// Forgets a Board.
    pub(super) fn remove_board(&mut self, board: &Board) {
        let reference = ObjectRef::from_obj(board);
        self.boards_of_gateway.remove(&reference);
        self.boards_of_config_map.remove(&reference);
    }

    /// Takes in what an Agent mentions and claims.
    pub(super) fn set_agent(&mut self, agent: &Agent) {
        let reference = ObjectRef::from_obj(agent);
        let namespace = agent.namespace().unwrap_or_default();
        let gateway = agent.spec.gateway_ref.as_ref();
        let gateway = gateway.map(|gateway| admission::target(gateway, &namespace));
        self.agents_of_gateway.set(&reference, gateway);
        let board = agent.spec.board_ref.as_ref();
        let board = board.map(|board| (namespace.clone(), board.name.clone()));
        self.agents_of_board.set(&reference, board);
        self.agents_of_id.set(&reference, ids(agent));
        let claims = agent.status.iter().flat_map(|status| &status.places);
        let claims = claims.map(|place| place.gateway_uid.clone());
        self.agents_of_claim.set(&reference, claims);
        self.agents_of_config_map
            .set(&reference, config_maps(&agent.spec.files, &namespace));
    }

    /// Forgets an Agent.
    pub(super) fn remove_agent(&mut self, agent: &Agent) {
        let reference = ObjectRef::from_obj(agent);
        self.agents_of_gateway.remove(&reference);
        self.agents_of_board.remove(&reference);
        self.agents_of_id.remove(&reference);
        self.agents_of_claim.remove(&reference);
        self.agents_of_config_map.remove(&reference);
    }
}

/// The ids under which an Agent may stand in another one's way.
pub(super) fn ids(agent: &Agent) -> Vec<String> {
    let derived = agent_id::derived(&agent.namespace().unwrap_or_default(), &agent.name_any());
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

fn template_map(templates: Option<&Templates>, namespace: &str) -> Option<Key> {
    let name = &templates?.config_map_ref.name;
    Some((namespace.to_owned(), name.clone()))
}

fn config_maps(files: &[FileSpec], namespace: &str) -> Vec<Key> {
    files
        .iter()
        .filter_map(|file| file.config_map_key_ref.as_ref())
        .map(|reference| (namespace.to_owned(), reference.name.clone()))
        .collect()
}

pub(super) fn key<K: Resource>(object: &K) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

pub(super) fn key_of<K: Resource<DynamicType = ()>>(reference: &ObjectRef<K>) -> Key {
    (
        reference.namespace.clone().unwrap_or_default(),
        reference.name.clone(),
    )
}
