//! Agents that were just added: counted before the cache shows them, so that two calls at once do not share one place.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ::kube::runtime::reflector::ObjectRef;
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{
    caller::{Caller, is_on},
    problem::{Kind, Problem},
};
use crate::{
    api::{Agent, Board, reason::Reason},
    plan::team,
};

/// How long an Agent that was just added counts although the cache does not show it: it may be gone again.
const UNSEEN: Duration = Duration::from_mins(1);

/// Agents that were added and that the cache may not show yet.
#[derive(Debug, Default)]
pub(super) struct Added(Mutex<Vec<(Agent, Instant)>>);

/// A place that is kept while the API server is asked; free again when this is dropped, unless somebody sits there.
pub(super) struct Place<'a> {
    added: &'a Added,
    agent: &'a Agent,
    pub(super) taken: bool,
}

impl Added {
    fn lock(&self) -> MutexGuard<'_, Vec<(Agent, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the Agent of this name, which is not there, or not any more.
    pub(super) fn forget(&self, agent: &Agent) {
        self.lock().retain(|(other, _)| !is_same(other, agent));
    }

    /// The Agent of this name that was just added, or is being added.
    pub(super) fn find(&self, agent: &Agent) -> Option<Agent> {
        let added = self.lock();
        let mut recent = added.iter().filter(|(_, since)| since.elapsed() < UNSEEN);
        let found = recent.find(|(other, _)| is_same(other, agent));
        found.map(|(agent, _)| agent.clone())
    }

    /// Keeps a place for `newcomer` on `board`, if there is one.
    pub(super) fn keep<'a>(
        &'a self,
        newcomer: &'a Agent,
        board: &Board,
        caller: &Caller,
    ) -> Result<Place<'a>, Problem> {
        let mut added = self.lock();
        let fellows = caller.fellows()?;
        // One that the cache shows is counted there; on this Board from the moment that it is among the fellows.
        let is_shown = |agent: &Agent| {
            if is_on(agent, board) {
                fellows.iter().any(|fellow| is_same(fellow, agent))
            } else {
                let known = caller.objects.agents.get(&ObjectRef::from_obj(agent));
                known.is_some()
            }
        };
        added.retain(|(agent, since)| since.elapsed() < UNSEEN && !is_shown(agent));
        if added.iter().any(|(other, _)| is_same(other, newcomer)) {
            return Err(Problem::name_taken());
        }
        let unseen = added.iter().map(|(agent, _)| agent);
        let all = fellows
            .iter()
            .map(AsRef::as_ref)
            .chain(unseen.filter(|agent| is_on(agent, board)));
        team::admit(newcomer, board, all).map_err(|refusal| {
            let kind = match refusal.reason {
                Reason::BoardFull => Kind::BoardFull,
                Reason::DisplayNameTaken => Kind::DisplayNameTaken,
                _ => Kind::NotNow,
            };
            Problem::new(kind, refusal.message)
        })?;
        let mut unseen = newcomer.clone();
        unseen.metadata.uid = Some("not known yet".to_owned());
        unseen.metadata.creation_timestamp = Some(Time(Timestamp::now()));
        added.push((unseen, Instant::now()));
        Ok(Place {
            added: self,
            agent: newcomer,
            taken: false,
        })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.taken {
            self.added.forget(self.agent);
        }
    }
}

fn is_same(a: &Agent, b: &Agent) -> bool {
    a.metadata.name == b.metadata.name && a.metadata.namespace == b.metadata.namespace
}
