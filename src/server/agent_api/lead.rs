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
    caller::{Caller, is_on},
    check,
    cluster::{AGAIN, CONFLICT, EXISTS, ask, unless},
    managed::{a_fellow, a_leads, agents, params, refuse_going, taken},
    problem::{Kind, Problem},
    record::{self, Life},
    soul,
    types::{NewAgent, Wake},
};
use crate::{
    api::{
        Agent, Board,
        annotation::{AGENT_API_FIELD_MANAGER, WAKE, WAKE_MESSAGE},
    },
    plan::{
        agent_api::Operation,
        once::Once,
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
    let gateways = caller
        .objects
        .gateways
        .state_filter(|gateway| gateway.metadata.namespace == board.metadata.namespace);
    if team::is_reserved(
        name,
        boards.iter().map(AsRef::as_ref),
        gateways.iter().map(AsRef::as_ref),
    ) {
        return Err(Problem::name_taken());
    }
    let known = caller.objects.agents.get(&ObjectRef::from_obj(&agent));
    if let Some(known) = known.or_else(|| api.added.find(&agent).map(Arc::new)) {
        // What is known of somebody else's needs no question.
        if !team::is_made_of(&known, newcomer, caller.name(), board) {
            return Err(taken_by(&known, board));
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
    let soul = if newcomer.has_soul {
        soul::there(caller, name).await?
    } else {
        None
    };
    let made = if let Some(soul) = soul {
        let made = made_before(caller, newcomer).await?;
        made.ok_or_else(|| soul::in_the_way(name, None, &soul))?
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
        Some(there) if !is_it(&there) => Err(taken_by(&there, board)),
        there => Ok(there),
    }
}

/// Why another Agent of this name cannot be added beside `there`. Of one that goes only its own Board learns that.
fn taken_by(there: &Agent, board: &Board) -> Problem {
    if there.metadata.deletion_timestamp.is_none() || !is_on(there, board) {
        return Problem::name_taken();
    }
    let detail = format!(
        "Agent {} of your board is being deleted, and its name is free when it is gone (GET /agents). Try again when as many seconds are over as the header Retry-After says, or choose another name.",
        there.name_any()
    );
    Problem::passing(Kind::NotYet, detail, AGAIN)
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
    for _ in 0..TRIES {
        let there = a_fellow(&caller, &wanted.name).await?;
        refuse_going(&there)?;
        let recorded = there.status.as_ref().and_then(|it| it.recorded.as_ref());
        // What asks before the operator has recorded what was asked for at first asks for nothing (`plan::once`).
        if recorded.is_none() {
            return Err(too_early(&wanted.name));
        }
        if Once::Wake.is_annotated(&there, recorded) {
            if there.annotations().get(WAKE_MESSAGE) != wanted.message.as_ref() {
                return Err(is_being_woken(&wanted.name));
            }
            // This very call, whose answer was lost.
            return woken(wanted.name);
        }
        // A null takes an older message away, so that it does not go along with this wake.
        let patch = Patch::Merge(json!({ "metadata": {
            "uid": there.uid(),
            // Two at once do not take each other's message away.
            "resourceVersion": there.resource_version(),
            "annotations": {
                (WAKE): format!("{} {request_id}", Timestamp::now()),
                (WAKE_MESSAGE): wanted.message,
            },
        }}));
        let params = PatchParams {
            field_manager: Some(AGENT_API_FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let all = agents(&caller);
        let asked = all.patch_metadata(&wanted.name, &params, &patch);
        if unless(CONFLICT, asked).await?.is_some() {
            return woken(wanted.name);
        }
    }
    Err(Problem::changed())
}

fn woken(name: String) -> Answer {
    let detail = "It is woken once; if it is paused, when the pause ends.";
    taken(name, detail)
}

fn is_being_woken(name: &str) -> Problem {
    let detail = format!(
        "Agent {name} was asked to wake before, with another message, which it was not sent yet: it is paused, not accepted, or not reached now. That message stays. Send yours again when GET /agents says that it is ready and a minute is over."
    );
    Problem::new(Kind::NotNow, detail)
}

fn too_early(name: &str) -> Problem {
    let detail = format!(
        "Agent {name} was just added, and the operator has not looked at it yet, so it cannot be woken. Try again when as many seconds are over as the header Retry-After says."
    );
    Problem::passing(Kind::NotYet, detail, AGAIN)
}
