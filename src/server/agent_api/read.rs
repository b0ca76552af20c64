//! The calls that change nothing in the cluster: answered from memory, whatever becomes of the API server and of the gateways.

use axum::http::StatusCode;
use k8s_openapi::jiff::Timestamp;

use super::{
    Answer, Api, answer, body,
    caller::Caller,
    record::{self, Life},
    types::{Health, Heartbeat, HeartbeatAnswer, Record, Roster},
};
use crate::{
    api::Agent,
    plan::agent_api::Operation,
    presence::{AgentKey, Presence},
};

pub(super) fn healthz() -> Answer {
    answer(
        StatusCode::OK,
        &Health {
            status: "ok".to_owned(),
        },
    )
}

pub(super) fn me(api: &Api, caller: &Caller) -> Answer {
    answer(StatusCode::OK, &own_record(api, caller))
}

pub(super) fn heartbeat(api: &Api, caller: &Caller, sent: &[u8]) -> Answer {
    // Only looked at to tell who sends something that nobody reads.
    if !matches!(sent.trim_ascii(), b"" | b"null") {
        let example = Operation::Heartbeat.example();
        body::parse::<Heartbeat>(sent, &caller.token, example)?;
    }
    api.directory.presence().seen(&caller.key, Timestamp::now());
    let status = caller.agent.status.as_ref();
    let files = status.map_or(&[][..], |status| &status.files);
    let told = HeartbeatAnswer {
        agent: own_record(api, caller),
        changed: api.directory.news(&caller.key, files),
        pending: status
            .map(|status| status.pending.clone())
            .unwrap_or_default(),
    };
    answer(StatusCode::OK, &told)
}

pub(super) fn agents(api: &Api, caller: &Caller) -> Answer {
    let presence = api.directory.presence();
    let mut agents: Vec<_> = caller
        .fellows()?
        .iter()
        .map(|agent| record::member(agent, life(presence, agent)))
        .collect();
    agents.sort_by(|a, b| a.name.cmp(&b.name));
    answer(StatusCode::OK, &Roster { agents })
}

pub(super) fn board(caller: &Caller) -> Answer {
    let fellows = caller.fellows()?;
    let members = fellows
        .iter()
        .filter_map(|agent| agent.metadata.name.clone());
    answer(
        StatusCode::OK,
        &record::board(caller.board()?, members.collect()),
    )
}

fn own_record(api: &Api, caller: &Caller) -> Record {
    let life = life(api.directory.presence(), &caller.agent);
    record::agent(&caller.agent, caller.board.as_deref(), life)
}

/// When the agent of this object was last heard of.
fn life(presence: &Presence, agent: &Agent) -> Life {
    let now = Timestamp::now();
    Life {
        last: presence.last_seen(&AgentKey::of(agent), now),
        now,
    }
}
