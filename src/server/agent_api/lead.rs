//! The calls of a lead: what it changes goes to the API server as ordinary objects, which the controllers bring about as they do any other.
//!
//! `plan::team` decides what a lead may do.

use std::sync::Arc;

use ::kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    runtime::reflector::ObjectRef,
};
use axum::http::StatusCode;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::{
    Answer, Api, answer, body,
    caller::Caller,
    check,
    cluster::{AGAIN, CONFLICT, EXISTS, ask, unless},
    managed::{a_leads, agents, params, refuse_going, taken},
    problem::{Kind, Problem},
    record::{self, Life},
    soul,
    types::{NewAgent, Wake},
};
use crate::{
    api::{
        Agent,
        annotation::{AGENT_API_FIELD_MANAGER, WAKE, WAKE_MESSAGE},
    },
    plan::{
        agent_api::Operation,
        team::{self, Newcomer},
    },
};

/// How often an Agent is read anew where somebody else, such as a controller that writes its status, changed it before it could be deleted.
const TRIES: usize = 3;

pub(super) async fn create(api: Arc<Api>, caller: Caller, sent: Vec<u8>) -> Answer {
    let wanted: NewAgent = body::parse(&sent, &caller.token, Operation::CreateAgent.example())?;
    check::newcomer(&wanted)?;
    let (newcomer, content) = split(wanted);
    let made = add(&api, &caller, &newcomer).await?;
    if let Some(content) = content {
        let stored = soul::store_first(&caller, &made, &content).await;
        stored.map_err(|problem| without_soul(&newcomer.name, problem))?;
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

/// Creates the Agent, or finds the one that an earlier try of the same call created: its answer may have been lost.
async fn add(api: &Api, caller: &Caller, newcomer: &Newcomer) -> Result<Agent, Problem> {
    let board = caller.board()?;
    let name = &newcomer.name;
    let agent = team::object(newcomer, caller.name(), board);
    let boards = caller
        .objects
        .boards
        .state_filter(|other| other.metadata.namespace == board.metadata.namespace);
    if team::is_reserved(name, boards.iter().map(AsRef::as_ref)) {
        return Err(Problem::name_taken());
    }
    let known = caller.objects.agents.get(&ObjectRef::from_obj(&agent));
    if let Some(known) = known.or_else(|| api.added.find(&agent).map(Arc::new)) {
        // What is known of somebody else's needs no question.
        if !team::is_made_of(&known, newcomer, caller.name(), board) {
            return Err(Problem::name_taken());
        }
        let made = made_before(caller, newcomer).await?;
        return made.ok_or_else(|| {
            let detail = format!(
                "Agent {name} is being added by another call of yours, or was just deleted. Try again when as many seconds are over as the header Retry-After says."
            );
            Problem::passing(Kind::NotYet, detail, AGAIN)
        });
    }
    let mut place = api.added.keep(&agent, board, caller)?;
    let made = if newcomer.has_soul && soul::is_there(caller, name).await? {
        let made = made_before(caller, newcomer).await?;
        made.ok_or_else(|| soul::in_the_way(&team::soul_name(name)))?
    } else {
        match unless(EXISTS, agents(caller).create(&params(), &agent)).await? {
            Some(made) => {
                tracing::info!(namespace = %caller.key.namespace, agent = %name, lead = %caller.name(), "a lead added an agent");
                made
            }
            None => made_before(caller, newcomer)
                .await?
                .ok_or_else(Problem::changed)?,
        }
    };
    place.taken = true;
    Ok(made)
}

/// The Agent of this name, if it is what this lead wanted and got before; none where there is no such Agent.
async fn made_before(caller: &Caller, newcomer: &Newcomer) -> Result<Option<Agent>, Problem> {
    let board = caller.board()?;
    let there = ask(agents(caller).get_opt(&newcomer.name)).await?;
    let is_it = |there: &Agent| team::is_made_of(there, newcomer, caller.name(), board);
    match there {
        Some(there) if !is_it(&there) => Err(Problem::name_taken()),
        there => Ok(there),
    }
}

/// The Agent is there, and waits for its text, which says so in its status.
fn without_soul(name: &str, problem: Problem) -> Problem {
    problem.after(&format!(
        "Agent {name} was added, but its SOUL.md was not stored, and it waits for one. Repeat the call, or send the text with PUT /agents/{name}/soul."
    ))
}

pub(super) async fn delete(api: Arc<Api>, caller: Caller, name: String) -> Answer {
    for _ in 0..TRIES {
        let there = a_leads(&caller, &name).await?;
        let params = DeleteParams {
            // As it was judged: somebody may take it over at this moment.
            preconditions: Some(Preconditions {
                uid: there.uid(),
                resource_version: there.resource_version(),
            }),
            ..DeleteParams::default()
        };
        let deleted = unless(CONFLICT, agents(&caller).delete(&name, &params)).await?;
        if deleted.is_none() {
            continue;
        }
        api.added.forget(&there);
        tracing::info!(namespace = %caller.key.namespace, agent = %name, lead = %caller.name(), "a lead deleted an agent");
        let detail =
            "It is deleted; its spec.deletionPolicy says what becomes of the agent and its files.";
        return taken(name, detail);
    }
    Err(Problem::changed())
}

pub(super) async fn wake(caller: Caller, sent: Vec<u8>, request_id: String) -> Answer {
    let wanted: Wake = body::parse(&sent, &caller.token, Operation::Wake.example())?;
    check::wake(&wanted)?;
    let known = caller.fellow(&wanted.name)?;
    refuse_going(&known)?;
    if !was_looked_at(&known) {
        // The cache may lag.
        let there = ask(agents(&caller).get_opt(&wanted.name)).await?;
        let there = there.ok_or_else(Problem::not_on_board)?;
        if !was_looked_at(&there) {
            return Err(too_early(&wanted.name));
        }
    }
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

/// Whether the operator has recorded what the Agent asked for at first. What asks before that asks for nothing (`plan::once`).
fn was_looked_at(agent: &Agent) -> bool {
    let status = agent.status.as_ref();
    status.is_some_and(|status| status.recorded.is_some())
}

fn too_early(name: &str) -> Problem {
    let detail = format!(
        "Agent {name} was just added, and the operator has not looked at it yet, so it cannot be woken. Try again when as many seconds are over as the header Retry-After says."
    );
    Problem::passing(Kind::NotYet, detail, AGAIN)
}
