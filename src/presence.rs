//! Signs of life: when each agent was last heard of, by the gateway's events or by a call of its own.
//!
//! Kept in memory only, shared by the API that agents call and by the controllers. What follows from it is decided in `plan`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

/// The `Agent` object that a sign of life, or a token, belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AgentKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// What is known of one agent.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    last: Option<Timestamp>,
    /// Until when it counts as online, as its status says; `None` where the status says something else.
    online_until: Option<Timestamp>,
}

/// When each agent was last heard of. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Presence {
    known: Arc<Mutex<HashMap<AgentKey, Known>>>,
    turned: mpsc::UnboundedSender<AgentKey>,
}

impl Presence {
    /// Nobody was heard of. The receiver gets every agent that shows life while its status does not say that it is online.
    #[must_use]
    pub fn new() -> (Self, mpsc::UnboundedReceiver<AgentKey>) {
        let (turned, receiver) = mpsc::unbounded_channel();
        let presence = Self {
            known: Arc::default(),
            turned,
        };
        (presence, receiver)
    }

    /// A sign of life at this time. An older one than known changes nothing.
    pub fn seen(&self, agent: &AgentKey, at: Timestamp) {
        let mut all = self.lock();
        let known = all.entry(agent.clone()).or_default();
        if known.last.is_some_and(|last| last >= at) {
            return;
        }
        known.last = Some(at);
        if known.online_until.is_none() {
            // Told once: a second sign before the status is written needs no second look. The end of the program is no loss.
            self.turned.send(agent.clone()).ok();
        }
    }

    /// When the agent was last heard of.
    #[must_use]
    pub fn last_seen(&self, agent: &AgentKey) -> Option<Timestamp> {
        self.lock().get(agent)?.last
    }

    /// What the status says from now on: online until this time unless it is heard of again, or `None`.
    pub fn told(&self, agent: &AgentKey, window: Option<SignedDuration>) {
        let mut all = self.lock();
        let known = all.entry(agent.clone()).or_default();
        known.online_until = window.and_then(|window| known.last?.checked_add(window).ok());
    }

    /// Agents that are told to be online and were not heard of in time.
    #[must_use]
    pub fn overdue(&self, now: Timestamp) -> Vec<AgentKey> {
        let all = self.lock();
        let overdue = all
            .iter()
            .filter(|(_, known)| known.online_until.is_some_and(|until| until <= now));
        overdue.map(|(agent, _)| agent.clone()).collect()
    }

    /// All agents that were heard of, and when.
    #[must_use]
    pub fn all(&self) -> Vec<(AgentKey, Timestamp)> {
        let all = self.lock();
        let heard = all
            .iter()
            .filter_map(|(agent, known)| Some((agent.clone(), known.last?)));
        heard.collect()
    }

    /// Forgets an agent that is gone.
    pub fn forget(&self, uid: &str) {
        self.lock().retain(|agent, _| agent.uid != uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AgentKey, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
