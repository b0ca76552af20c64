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
    /// Time between its heartbeats, and since when it beats so.
    beats: Option<(SignedDuration, Timestamp)>,
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

    /// A sign of life now. That counts also where one is known from later on: the clock has been put back.
    pub fn seen(&self, agent: &AgentKey, now: Timestamp) {
        let mut all = self.lock();
        let known = entry(&mut all, agent);
        known.last = Some(now);
        if let Some(window) = known.window {
            known.online_until = now.checked_add(window).ok();
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

    /// When the agent was last heard of. Never later than `now`: where the clock has been put back, what was heard before counts as heard
    /// now, and from here on like everything else.
    #[must_use]
    pub fn last_seen(&self, agent: &AgentKey, now: Timestamp) -> Option<Timestamp> {
        let mut all = self.lock();
        let (_, known) = all.get_mut(&agent.uid)?;
        known.last = known.last.map(|last| last.min(now));
        known.last
    }

    /// Whoever looks at the agent sees that it beats `every`. Answers since when it does without a break, as far as this process has seen:
    /// a new agent, one whose pause has ended and one that beats in another rhythm could not have been heard of before.
    #[must_use]
    pub fn beats(&self, agent: &AgentKey, every: SignedDuration, now: Timestamp) -> Timestamp {
        let mut all = self.lock();
        let known = entry(&mut all, agent);
        let since = match known.beats {
            Some((before, since)) if before == every => since.min(now),
            _ => now,
        };
        known.beats = Some((every, since));
        since
    }

    /// What the status says from now on.
    pub fn told(&self, agent: &AgentKey, told: Told) {
        let mut all = self.lock();
        let known = entry(&mut all, agent);
        known.expected = told != Told::Awaited;
        if told == Told::Unconcerned {
            known.beats = None;
        }
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
        let agent = key();
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
        assert_eq!(presence.last_seen(&agent, at(11)), Some(at(10)));
        presence.forget("1");
        assert_eq!(presence.last_seen(&agent, at(11)), None);
    }

    #[test]
    fn a_clock_that_is_put_back_stops_no_sign_of_life_and_makes_none() {
        let (presence, agent) = (Presence::new().0, key());
        presence.seen(&agent, at(60));
        presence.told(&agent, Told::Online(SignedDuration::from_mins(5)));
        assert_eq!(presence.last_seen(&agent, at(10)), Some(at(10)));
        assert_eq!(
            presence.last_seen(&agent, at(14)),
            Some(at(10)),
            "it was not heard of again"
        );
        presence.seen(&agent, at(11));
        assert_eq!(presence.last_seen(&agent, at(14)), Some(at(11)));
        assert!(presence.overdue(at(15)).is_empty());
        assert_eq!(presence.overdue(at(16)).len(), 1);
        assert_eq!(
            presence.beats(&agent, SignedDuration::from_mins(1), at(60)),
            at(60)
        );
        assert_eq!(
            presence.beats(&agent, SignedDuration::from_mins(1), at(16)),
            at(16)
        );
    }

    #[test]
    fn an_agent_is_listened_to_since_it_beats_as_it_does_now() {
        let (presence, agent) = (Presence::new().0, key());
        let hour = SignedDuration::from_hours(1);
        let ten = SignedDuration::from_mins(10);
        assert_eq!(presence.beats(&agent, hour, at(0)), at(0));
        presence.told(&agent, Told::Awaited);
        assert_eq!(presence.beats(&agent, hour, at(20)), at(0));
        assert_eq!(
            presence.beats(&agent, ten, at(30)),
            at(30),
            "another rhythm"
        );
        presence.told(&agent, Told::Online(hour));
        assert_eq!(presence.beats(&agent, ten, at(40)), at(30));
        // A pause, a heartbeat that is off, a move.
        presence.told(&agent, Told::Unconcerned);
        assert_eq!(presence.beats(&agent, ten, at(50)), at(50));
    }

    fn key() -> AgentKey {
        AgentKey {
            namespace: "team".to_owned(),
            name: "a".to_owned(),
            uid: "1".to_owned(),
        }
    }

    fn at(minutes: i64) -> Timestamp {
        let begin: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        begin + SignedDuration::from_mins(minutes)
    }
}
