//! The calls of a lead: what it changes goes to the API server as ordinary objects, which the controllers bring about as they do any other.
//!
//! `plan::team` decides what a lead may do.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ::kube::{
    Api as Kube, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
    runtime::reflector::ObjectRef,
};
use axum::http::StatusCode;
use k8s_openapi::{
    api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp,
};
use serde_json::json;

use super::{
    Answer, Api, answer, body,
    caller::{Caller, is_on},
    check,
    cluster::{ask, look},
    problem::{Kind, Problem},
    record::{self, Life},
    types::{NewAgent, Soul, Taken, Wake},
};
use crate::{
    api::{
        Agent, Board,
        annotation::{AGENT_API_FIELD_MANAGER, WAKE, WAKE_MESSAGE},
        reason::Reason,
    },
    plan::{
        agent_api::Operation,
        team::{self, Newcomer},
    },
};

/// How long an Agent that was just added counts although the cache does not show it: it may be gone again.
const UNSEEN: Duration = Duration::from_mins(1);

/// Agents that were added and that the cache may not show yet, so that two calls at once do not share one place.
#[derive(Debug, Default)]
pub(super) struct Added(Mutex<Vec<(Agent, Instant)>>);

/// A place that is kept while the API server is asked; free again when this is dropped, unless somebody sits there.
struct Place<'a> {
    added: &'a Added,
    agent: &'a Agent,
    taken: bool,
}

impl Added {
    fn lock(&self) -> MutexGuard<'_, Vec<(Agent, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, agent: &Agent) {
        self.lock().retain(|(other, _)| !is_same(other, agent));
    }

    /// Keeps a place for `newcomer` on `board`, if there is one.
    fn keep<'a>(
        &'a self,
        newcomer: &'a Agent,
        board: &Board,
        caller: &Caller,
    ) -> Result<Place<'a>, Problem> {
        let mut added = self.lock();
        let shown = |agent: &Agent| {
            caller
                .objects
                .agents
                .get(&ObjectRef::from_obj(agent))
                .is_some()
        };
        added.retain(|(agent, since)| since.elapsed() < UNSEEN && !shown(agent));
        if added.iter().any(|(other, _)| is_same(other, newcomer)) {
            return Err(Problem::name_taken());
        }
        let fellows = caller.fellows()?;
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

pub(super) async fn create(api: Arc<Api>, caller: Caller, sent: Vec<u8>) -> Answer {
    let wanted: NewAgent = body::parse(&sent, &caller.token, Operation::CreateAgent.example())?;
    check::newcomer(&wanted)?;
    let board = caller.board()?;
    if caller.agent.metadata.deletion_timestamp.is_some() {
        let detail = "You are being deleted, so you cannot add anybody.";
        return Err(Problem::new(Kind::NotNow, detail));
    }
    let (newcomer, soul) = split(wanted);
    let agent = team::object(&newcomer, caller.name(), board);
    let boards = caller
        .objects
        .boards
        .state_filter(|other| other.metadata.namespace == board.metadata.namespace);
    let known = ObjectRef::from_obj(&agent);
    if team::is_reserved(&newcomer.name, boards.iter().map(AsRef::as_ref))
        || caller.objects.agents.get(&known).is_some()
    {
        return Err(Problem::name_taken());
    }
    let mut place = api.added.keep(&agent, board, &caller)?;
    let souls = souls(&caller);
    if soul.is_some() {
        let name = team::soul_name(&newcomer.name);
        if look(souls.get_metadata_opt(&name)).await?.is_some() {
            return Err(soul_in_the_way(&name));
        }
    }
    let made = ask(agents(&caller).create(&params(), &agent)).await?;
    place.taken = true;
    tracing::info!(namespace = %caller.key.namespace, agent = %newcomer.name, lead = %caller.name(), "a lead added an agent");
    if let Some(content) = soul {
        let soul = team::soul(&made, caller.name(), &content, None);
        if let Err(problem) = ask(souls.create(&params(), &soul)).await {
            return Err(without_soul(&newcomer.name, &problem));
        }
    }
    let life = Life {
        last: None,
        now: Timestamp::now(),
    };
    answer(StatusCode::CREATED, &record::member(&made, life))
}

fn split(wanted: NewAgent) -> (Newcomer, Option<String>) {
    let newcomer = Newcomer {
        name: wanted.name,
        display_name: wanted.display_name,
        role: wanted.role,
        model: wanted.model,
        has_soul: wanted.soul.is_some(),
    };
    (newcomer, wanted.soul)
}

/// The Agent is there, and waits for its text, which says so in its status.
fn without_soul(name: &str, problem: &Problem) -> Problem {
    let detail = format!(
        "Agent {name} was added, but its SOUL.md could not be stored, and it waits for it. Send the text with PUT /agents/{name}/soul. {}",
        problem.detail()
    );
    Problem::passing(Kind::Unavailable, detail, Duration::from_secs(5))
}

fn soul_in_the_way(name: &str) -> Problem {
    let detail = format!(
        "ConfigMap {name}, where the text would be stored, is there and was not made for this agent, so it is left alone. Ask a person to remove or rename it."
    );
    Problem::new(Kind::NotYours, detail)
}

pub(super) async fn delete(api: Arc<Api>, caller: Caller, name: String) -> Answer {
    let known = caller.fellow(&name)?;
    if !team::is_made_by_a_lead(&known) {
        return Err(not_made_by_a_lead(&caller, &known).await);
    }
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: known.uid(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    ask(agents(&caller).delete(&name, &params)).await?;
    api.added.forget(&known);
    tracing::info!(namespace = %caller.key.namespace, agent = %name, lead = %caller.name(), "a lead deleted an agent");
    taken(name, "It is taken off the gateway, with its files.")
}

pub(super) async fn set_soul(caller: Caller, name: String, sent: Vec<u8>) -> Answer {
    let known = caller.fellow(&name)?;
    let wanted: Soul = body::parse(&sent, &caller.token, Operation::SetSoul.example())?;
    check::soul(&wanted)?;
    if !team::is_made_by_a_lead(&known) {
        return Err(not_made_by_a_lead(&caller, &known).await);
    }
    // The cache may lag, and keeps no field managers.
    let there = look(agents(&caller).get_opt(&name)).await?;
    let board = caller.board()?;
    let there = there
        .filter(|there| is_on(there, board) && team::is_made_by_a_lead(there))
        .ok_or_else(Problem::not_on_board)?;
    refuse_going(&there)?;
    let is_taken_from_there = team::takes_soul(&there).map_err(|owner| {
        let detail = format!(
            "The SOUL.md of Agent {name} is {owner}, in its spec.files, which the operator never writes over. Ask that owner to change the text, or to remove the entry."
        );
        Problem::new(Kind::NotYours, detail)
    })?;
    store_soul(&caller, &there, &wanted).await?;
    if !is_taken_from_there {
        let applied = json!({
            "apiVersion": "mission.openclaw.dev/v1alpha1",
            "kind": "Agent",
            "metadata": { "name": name, "uid": there.uid() },
            "spec": { "files": [team::soul_file(&name)] },
        });
        let params = PatchParams::apply(AGENT_API_FIELD_MANAGER);
        ask(agents(&caller).patch(&name, &params, &Patch::Apply(applied))).await?;
    }
    tracing::info!(namespace = %caller.key.namespace, agent = %name, lead = %caller.name(), "a lead changed a SOUL.md");
    taken(
        name,
        "The text is stored, and goes to the agent's workspace as it stands.",
    )
}

async fn store_soul(caller: &Caller, agent: &Agent, wanted: &Soul) -> Result<(), Problem> {
    let reason = wanted.reason.as_deref();
    let mut soul = team::soul(agent, caller.name(), &wanted.content, reason);
    let name = soul.name_any();
    let souls = souls(caller);
    match look(souls.get_opt(&name)).await? {
        None => {
            let made = souls.create(&params(), &soul).await;
            if matches!(&made, Err(::kube::Error::Api(status)) if status.code == 409) {
                return Err(soul_in_the_way(&name));
            }
            ask(std::future::ready(made)).await?;
        }
        Some(there) if team::owns(agent, &there) => {
            // Misses one that was deleted and made again by somebody else meanwhile.
            soul.metadata.uid = there.uid();
            let params = PatchParams::apply(AGENT_API_FIELD_MANAGER).force();
            ask(souls.patch(&name, &params, &Patch::Apply(soul))).await?;
        }
        Some(_) => return Err(soul_in_the_way(&name)),
    }
    Ok(())
}

pub(super) async fn wake(caller: Caller, sent: Vec<u8>, request_id: String) -> Answer {
    let wanted: Wake = body::parse(&sent, &caller.token, Operation::Wake.example())?;
    check::wake(&wanted)?;
    let known = caller.fellow(&wanted.name)?;
    refuse_going(&known)?;
    // A null takes an older message away, so that it does not go along with this wake.
    let patch = json!({ "metadata": {
        "uid": known.uid(),
        "annotations": {
            (WAKE): format!("{} {request_id}", Timestamp::now()),
            (WAKE_MESSAGE): wanted.message,
        },
    }});
    let params = PatchParams {
        field_manager: Some(AGENT_API_FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    ask(agents(&caller).patch_metadata(&wanted.name, &params, &Patch::Merge(patch))).await?;
    taken(
        wanted.name,
        "It is woken once; if it is paused, when the pause ends.",
    )
}

fn refuse_going(agent: &Agent) -> Result<(), Problem> {
    if agent.metadata.deletion_timestamp.is_none() {
        return Ok(());
    }
    let detail = format!("Agent {} is being deleted.", agent.name_any());
    Err(Problem::new(Kind::NotNow, detail))
}

/// Who has the say is told as exactly as it can be: the cache keeps no field managers, but does where the API server is away.
async fn not_made_by_a_lead(caller: &Caller, known: &Agent) -> Problem {
    let name = known.name_any();
    let there = look(agents(caller).get_opt(&name)).await.ok().flatten();
    let owner = team::owner(there.as_ref().unwrap_or(known));
    let detail = format!(
        "Agent {name} was not added by a lead: it is {owner}, and only its owner changes or deletes it. Ask that owner."
    );
    Problem::new(Kind::NotYours, detail)
}

fn agents(caller: &Caller) -> Kube<Agent> {
    Kube::namespaced(caller.objects.client.clone(), &caller.key.namespace)
}

fn souls(caller: &Caller) -> Kube<ConfigMap> {
    Kube::namespaced(caller.objects.client.clone(), &caller.key.namespace)
}

fn params() -> PostParams {
    PostParams {
        field_manager: Some(AGENT_API_FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

fn taken(name: String, detail: &str) -> Answer {
    let detail = detail.to_owned();
    answer(StatusCode::ACCEPTED, &Taken { name, detail })
}
