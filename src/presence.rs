//! Signs of life: when each agent was last heard of, by the gateway's events or by a call of its own.
//!
//! Kept in memory only, shared by the API that agents call and by the controllers. What follows from it is decided in `plan`.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use tokio::sync::mpsc;

use crate::api::Agent;

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

impl AgentKey {
    /// Of this object.
    #[must_use]
    pub fn of(agent: &Agent) -> Self {
        Self {
            namespace: agent.namespace().unwrap_or_default(),
            name: agent.name_any(),
            uid: agent.uid().unwrap_or_default(),
        }
    }
}

/// What is known of one agent.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    last: Option<Timestamp>,
    /// Until when it counts as online, as its status says; `None` where the status says something else.
    online_until: Option<Timestamp>,
    /// Time after a sign of life for which it counts as online, while it does.
    window: Option<SignedDuration>,
    /// Its next sign of life is no news to anybody.
    expected: bool,
}

/// What the status of an agent says, as far as a sign of life can turn it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Online until this time after the last sign of life.
    Online(SignedDuration),
    /// Not online, or a sign of life is waited for: the next one is news.
    Awaited,
    /// Signs of life say nothing about it.
    Unconcerned,
}

/// Agents by uid, which tells one from another of its name, and by which it is forgotten.
type All = HashMap<String, (AgentKey, Known)>;

/// When each agent was last heard of. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Presence {
    known: Arc<Mutex<All>>,
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
        let known = entry(&mut all, agent);
        if known.last.is_some_and(|last| last >= at) {
            return;
        }
        known.last = Some(at);
        if let Some(window) = known.window {
            known.online_until = at.checked_add(window).ok();
        }
        if !known.expected {
            // Told once: a second sign before the status is written needs no second look. The end of the program is no loss.
            known.expected = true;
            self.turned.send(agent.clone()).ok();
        }
    }

    /// A sign of life of which whoever looks at the agent now has read.
    pub fn recall(&self, agent: &AgentKey, at: Timestamp) {
        let mut all = self.lock();
        let known = entry(&mut all, agent);
        known.last = known.last.max(Some(at));
    }

    /// When the agent was last heard of.
    #[must_use]
    pub fn last_seen(&self, agent: &AgentKey) -> Option<Timestamp> {
        self.lock().get(&agent.uid)?.1.last
    }

    /// What the status says from now on.
    pub fn told(&self, agent: &AgentKey, told: Told) {
        let mut all = self.lock();
        let known = entry(&mut all, agent);
        known.expected = told != Told::Awaited;
        known.window = match told {
            Told::Online(window) => Some(window),
            Told::Awaited | Told::Unconcerned => None,
        };
        known.online_until = known
            .window
            .and_then(|window| known.last?.checked_add(window).ok());
    }

    /// Agents that are told to be online and were not heard of in time; each once, until something is told of it again.
    #[must_use]
    pub fn overdue(&self, now: Timestamp) -> Vec<AgentKey> {
        let mut overdue = Vec::new();
        for (agent, known) in self.lock().values_mut() {
            if known.online_until.is_some_and(|until| until <= now) {
                known.online_until = None;
                known.window = None;
                overdue.push(agent.clone());
            }
        }
        overdue
    }

    /// All agents that were heard of, and when.
    #[must_use]
    pub fn all(&self) -> Vec<(AgentKey, Timestamp)> {
        let all = self.lock();
        let heard = all
            .values()
            .filter_map(|(agent, known)| Some((agent.clone(), known.last?)));
        heard.collect()
    }

    /// Uids of all agents of which anything is known.
    #[must_use]
    pub fn uids(&self) -> HashSet<String> {
        self.lock().keys().cloned().collect()
    }

    /// Forgets an agent that is gone.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry<'a>(all: &'a mut All, agent: &AgentKey) -> &'a mut Known {
    let (_, known) = all
        .entry(agent.uid.clone())
        .or_insert_with(|| (agent.clone(), Known::default()));
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sign_of_life_that_is_news_has_the_agent_looked_at() {
        let (presence, mut turned) = Presence::new();
        let agent = AgentKey {
            namespace: "team".to_owned(),
            name: "a".to_owned(),
            uid: "1".to_owned(),
        };
        let begin: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let at = |minutes| begin + SignedDuration::from_mins(minutes);
        let mut is_news = |minutes| {
            presence.seen(&agent, at(minutes));
            turned.try_recv().is_ok()
        };
        assert!(is_news(0));
        assert!(!is_news(1), "once is enough");
        presence.told(&agent, Told::Online(SignedDuration::from_mins(5)));
        assert!(!is_news(2));
        assert!(presence.overdue(at(6)).is_empty(), "each sign counts anew");
        assert_eq!(presence.overdue(at(7)).len(), 1);
        assert!(presence.overdue(at(8)).is_empty(), "told once");
        presence.told(&agent, Told::Awaited);
        assert!(is_news(9));
        presence.told(&agent, Told::Unconcerned);
        assert!(!is_news(10));
        assert!(!is_news(4), "an older one is none");
        assert_eq!(presence.last_seen(&agent), Some(at(10)));
        presence.forget("1");
        assert_eq!(presence.last_seen(&agent), None);
    }
}
