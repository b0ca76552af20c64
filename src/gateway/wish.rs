//! What one agent wants its entry in the gateway's roster to be.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What to do about heartbeats of agents that are not ours when our first heartbeat block would silence them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForeignHeartbeats {
    /// Write `heartbeat: {}` into the entries of those that beat, in the same patch.
    #[default]
    Keep,
    /// Write nothing for them.
    Stop,
}

/// The part of one roster entry that is ours. Everything else in the entry stays as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryWish {
    /// Canonical, lower-case id: the gateway stores what a patch says, as it stands.
    pub agent_id: String,
    /// Dotted path in the entry (`name`, `model`, `workspace`, `heartbeat.every`, `heartbeat.activeHours`) to the exact value it must have.
    pub set: BTreeMap<String, Value>,
    /// Paths that we once set and no longer want. A path that is in `set` too is set.
    pub unset: BTreeSet<String>,
    /// Refuse with `WriteError::Exists` when the entry is there before our first write.
    pub must_be_absent: bool,
    /// An agent of this id was there once: where it is not, somebody took it out, and may have deleted it.
    pub was_there: bool,
    /// The agent may be made by `agents.create`, where the gateway has deleted one of its id before. That fills paths of the entry by
    /// itself, which `unset` has to name where they are not wished.
    pub may_be_created: bool,
    /// What to do about heartbeats of agents that are not ours.
    pub foreign_heartbeats: ForeignHeartbeats,
}

impl EntryWish {
    /// Nothing is wished of the entry `agent_id` yet: it may be there or not, and is not made.
    pub fn of(agent_id: impl Into<String>) -> Self {
        Self {
            agent_id: agent_id.into(),
            set: BTreeMap::new(),
            unset: BTreeSet::new(),
            must_be_absent: false,
            was_there: false,
            may_be_created: false,
            foreign_heartbeats: ForeignHeartbeats::default(),
        }
    }
}
