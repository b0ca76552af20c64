//! Agents that are a lead's to change or to wake, as they are now, and what all calls that change one have in common.

use ::kube::{Api as Kube, ResourceExt, api::PostParams};
use axum::http::StatusCode;

use super::{
    Answer, answer,
    caller::{Caller, is_on},
    cluster::ask,
    problem::{Kind, Problem},
    types::Taken,
};
use crate::{
    api::{Agent, annotation::AGENT_API_FIELD_MANAGER},
    plan::team,
};

/// The Agent of this name as it is now, if it is on the caller's Board and a lead's to change. The cache may lag, and keeps no field managers.
pub(super) async fn a_leads(caller: &Caller, name: &str) -> Result<Agent, Problem> {
    let known = caller.fellow(name)?;
    let there = ask(agents(caller).get_opt(name)).await;
    if !team::is_a_leads(&known) {
        // Who has the say is told as exactly as it can be where the API server is away.
        let there = there.ok().flatten();
        return Err(not_a_leads(there.as_ref().unwrap_or(&known)));
    }
    let board = caller.board()?;
    let there = there?
        .filter(|there| is_on(there, board))
        .ok_or_else(Problem::not_on_board)?;
    if team::is_a_leads(&there) {
        Ok(there)
    } else {
        Err(not_a_leads(&there))
    }
}

/// The Agent of this name as it is now, if it is on the caller's Board. The cache may lag behind what the caller did a moment ago.
pub(super) async fn a_fellow(caller: &Caller, name: &str) -> Result<Agent, Problem> {
    caller.fellow(name)?;
    let board = caller.board()?;
    let there = ask(agents(caller).get_opt(name)).await?;
    there
        .filter(|there| is_on(there, board))
        .ok_or_else(Problem::not_on_board)
}

fn not_a_leads(agent: &Agent) -> Problem {
    let (name, owner) = (agent.name_any(), team::owner(agent));
    let now = if team::was_added_by_a_lead(agent) {
        "was added by a lead, and is not a lead's any more: it is"
    } else {
        "was not added by a lead: it is"
    };
    let detail = format!(
        "Agent {name} {now} {owner}, and only its owner changes or deletes it. Ask that owner."
    );
    Problem::new(Kind::NotYours, detail)
}

pub(super) fn refuse_going(agent: &Agent) -> Result<(), Problem> {
    if agent.metadata.deletion_timestamp.is_none() {
        return Ok(());
    }
    let detail = format!("Agent {} is being deleted.", agent.name_any());
    Err(Problem::new(Kind::NotNow, detail))
}

pub(super) fn agents(caller: &Caller) -> Kube<Agent> {
    Kube::namespaced(caller.objects.client.clone(), &caller.key.namespace)
}

pub(super) fn params() -> PostParams {
    PostParams {
        field_manager: Some(AGENT_API_FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

pub(super) fn taken(name: String, detail: &str) -> Answer {
    let detail = detail.to_owned();
    answer(StatusCode::ACCEPTED, &Taken { name, detail })
}
