//! What is told of an Agent and of a Board. Pure.

use ::kube::ResourceExt;
use k8s_openapi::jiff::Timestamp;

use super::types::{BoardRecord, Member, Ready, Record};
use crate::{
    api::{
        Agent, Board,
        condition::{self, PAUSED, READY, Status},
    },
    plan::{presence::SHORTEST, seats::display_name, wake::whole_seconds},
};

/// What is known of an agent's life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    /// When it was last heard of.
    pub(super) last: Option<Timestamp>,
    /// Now.
    pub(super) now: Timestamp,
}

/// The record of an Agent, whose Board is this one.
pub(super) fn agent(agent: &Agent, board: Option<&Board>, life: Life) -> Record {
    let status = agent.status.clone().unwrap_or_default();
    let by_board = board.is_some_and(|board| board.spec.paused);
    Record {
        name: agent.name_any(),
        namespace: agent.namespace().unwrap_or_default(),
        role: agent.spec.role,
        display_name: display_name(agent),
        board: agent
            .spec
            .board_ref
            .as_ref()
            .map(|board| board.name.clone()),
        paused: agent.spec.paused || by_board || condition::is_true(&status.conditions, PAUSED),
        ready: ready(agent),
        online: online(agent, life),
        last_seen: life.last.map(told),
        agent_id: status.agent_id,
        gateway: status.gateway,
        session_key: status.session_key,
        workspace_path: status.workspace_path,
    }
}

/// The line of an Agent among those of its Board.
pub(super) fn member(agent: &Agent, life: Life) -> Member {
    Member {
        name: agent.name_any(),
        display_name: display_name(agent),
        role: agent.spec.role,
        ready: ready(agent).status == Status::True.as_str(),
        online: online(agent, life),
        last_seen: life.last.map(told),
    }
}

/// The record of a Board with these members.
pub(super) fn board(board: &Board, mut members: Vec<String>) -> BoardRecord {
    members.sort();
    let spec = board.spec.clone();
    BoardRecord {
        name: board.name_any(),
        display_name: spec.display_name.unwrap_or_else(|| board.name_any()),
        description: spec.description,
        type_: spec.type_,
        objective: spec.objective,
        success_metrics: spec.success_metrics,
        target_date: spec.target_date,
        goal_confirmed: spec.goal_confirmed.unwrap_or_default(),
        rules: spec.rules,
        max_agents: spec.max_agents,
        members,
    }
}

fn ready(agent: &Agent) -> Ready {
    let status = agent.status.as_ref();
    let ready = status.and_then(|status| condition::find(&status.conditions, READY));
    ready.map_or_else(
        || Ready {
            status: Status::Unknown.as_str().to_owned(),
            reason: "Pending".to_owned(),
            message: "Not judged yet.".to_owned(),
        },
        |ready| Ready {
            status: ready.status.clone(),
            reason: ready.reason.clone(),
            message: ready.message.clone(),
        },
    )
}

/// A sign of life tells before the status does, for as long as no agent is judged to be offline.
fn online(agent: &Agent, life: Life) -> Option<bool> {
    let since = life.last.map(|last| life.now.duration_since(last));
    if since.is_some_and(|since| since < SHORTEST) {
        return Some(true);
    }
    let conditions = &agent.status.as_ref()?.conditions;
    match condition::find(conditions, condition::ONLINE)?
        .status
        .as_str()
    {
        "True" => Some(true),
        "False" => Some(false),
        _ => None,
    }
}

/// In whole seconds: more would only be noise.
fn told(at: Timestamp) -> String {
    whole_seconds(at).to_string()
}
