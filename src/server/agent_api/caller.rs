//! Who calls, and whether it may.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ::kube::{ResourceExt, runtime::reflector::ObjectRef};
use axum::{
    extract::ConnectInfo,
    http::{Extensions, HeaderMap, header, request::Parts},
};
use secrecy::SecretString;

use super::{
    Api, Found, Objects,
    problem::{Kind, Problem},
};
use crate::{
    api::{Agent, Board, agent::Role},
    plan::{
        agent_api::{self, TOKEN_HEADER},
        seats,
    },
    presence::AgentKey,
};

/// When to ask again what is not known yet: the caches are filled within seconds of a start.
const START: Duration = Duration::from_secs(5);

/// The agent that calls.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) key: AgentKey,
    pub(super) agent: Arc<Agent>,
    /// Its Board, where it has one that is there.
    pub(super) board: Option<Arc<Board>>,
    pub(super) objects: Objects,
    pub(super) token: SecretString,
}

impl Caller {
    /// Its Board.
    pub(super) fn board(&self) -> Result<&Arc<Board>, Problem> {
        self.board.as_ref().ok_or_else(|| {
            let detail = match &self.agent.spec.board_ref {
                Some(board) => format!("Your board {} does not exist any more.", board.name),
                None => "You work without a board: your Agent has a gatewayRef, and no boardRef."
                    .to_owned(),
            };
            Problem::new(Kind::NoBoard, detail)
        })
    }

    /// The Agent of this name, if it is on the caller's Board.
    pub(super) fn fellow(&self, name: &str) -> Result<Arc<Agent>, Problem> {
        let board = self.board()?;
        let wanted = ObjectRef::new(name).within(&self.key.namespace);
        let fellow = self.objects.agents.get(&wanted);
        fellow
            .filter(|agent| is_on(agent, board))
            .ok_or_else(Problem::not_on_board)
    }

    /// The Agents on the caller's Board.
    pub(super) fn fellows(&self) -> Result<Vec<Arc<Agent>>, Problem> {
        let board = self.board()?;
        let mut fellows = (self.objects.agents_of_board)(&self.key.namespace, &board.name_any());
        // The index follows the cache.
        fellows.retain(|agent| is_on(agent, board));
        Ok(fellows)
    }

    /// The caller's own name, as it stands on what it makes.
    pub(super) fn name(&self) -> &str {
        &self.key.name
    }
}

/// Whether the Agent is on the Board, accepted there or not.
pub(super) fn is_on(agent: &Agent, board: &Board) -> bool {
    agent.metadata.namespace == board.metadata.namespace
        && agent.spec.board_ref.as_ref().map(|board| &board.name) == board.metadata.name.as_ref()
}

/// The address of the peer. Who serves without telling addresses has one for all.
pub(super) fn address(extensions: &Extensions) -> IpAddr {
    extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip())
}

/// The token that comes with a request; the header of its own goes first.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    let own = headers.get(TOKEN_HEADER);
    let token = if let Some(own) = own {
        own.to_str().ok()?
    } else {
        let (scheme, token) = headers
            .get(header::AUTHORIZATION)?
            .to_str()
            .ok()?
            .split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)?
    };
    Some(token.trim()).filter(|token| !token.is_empty())
}

/// Whose token comes with a request; none where there is no token.
pub(super) fn find(api: &Api, headers: &HeaderMap) -> Option<Found> {
    token(headers).map(|token| api.directory.find(token))
}

/// Whose token comes with a request, which is one more call of that agent; none where there is no token. What no agent answers for is one more
/// of the address: a call without a good token, or of an agent over its own limit. So no agent keeps the others behind its address out.
pub(super) fn count(
    api: &Api,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Option<Found>, Problem> {
    let address = address(extensions);
    let found = find(api, headers);
    if let Some(Found::Known(key)) = &found {
        api.gate.by_agent(&key.uid).inspect_err(|_| {
            api.gate.at_address(address).ok();
        })?;
    } else {
        api.gate.at_address(address)?;
    }
    Ok(found)
}

/// Finds out who calls, and whether it may make calls of this kind.
pub(super) fn admit(
    api: &Api,
    may: agent_api::Caller,
    parts: &Parts,
    found: Option<Found>,
) -> Result<Caller, Problem> {
    let caller = identify(api, parts, found)?;
    match may {
        agent_api::Caller::Anybody | agent_api::Caller::Agent => {}
        agent_api::Caller::Member => {
            caller.board()?;
        }
        agent_api::Caller::Lead => {
            let role = caller.agent.spec.role;
            if role != Role::Lead {
                let detail = format!(
                    "Only an agent of role Lead may make this call, for its own board; your role is {}. Ask your lead.",
                    role.as_str()
                );
                return Err(Problem::new(Kind::Forbidden, detail));
            }
            leads(&caller)?;
            if caller.agent.metadata.deletion_timestamp.is_some() {
                let detail = "You are being deleted, so you change nothing any more.";
                return Err(Problem::new(Kind::NotNow, detail));
            }
        }
    }
    Ok(caller)
}

/// Whether the caller is who leads its Board: of several, the one whose seat it is.
fn leads(caller: &Caller) -> Result<(), Problem> {
    let fellows = caller.fellows()?;
    let lead = seats::holder(Role::Lead, fellows.iter().map(AsRef::as_ref));
    if lead.is_some_and(|lead| lead.metadata.uid.as_ref() == Some(&caller.key.uid)) {
        return Ok(());
    }
    let why = if lead.is_some() || seats::waits(&caller.agent) {
        "another one leads yours"
    } else {
        "you are not accepted as that now"
    };
    let detail = format!(
        "Only the agent of role Lead that leads its board may make this call; {why}. Your own record says more (GET /me)."
    );
    Err(Problem::new(Kind::Forbidden, detail))
}

fn identify(api: &Api, parts: &Parts, found: Option<Found>) -> Result<Caller, Problem> {
    let address = address(&parts.extensions);
    let refuse = |detail: &str| {
        let refused = Problem::new(Kind::Unauthenticated, detail);
        api.gate.failed(address).err().unwrap_or(refused)
    };
    let (Some(token), Some(found)) = (token(&parts.headers), found) else {
        return Err(refuse(
            "Send your token in the header X-Agent-Token. It stands in your AGENTS.md.",
        ));
    };
    let unknown = || {
        refuse(
            "This token is nobody's. Read the token in your AGENTS.md again: it may have changed.",
        )
    };
    let starting = || {
        let detail = "The operator has just started and does not know all agents yet. Try again.";
        Problem::passing(Kind::NotReady, detail, START)
    };
    let key = match found {
        Found::Known(key) => key,
        Found::Unknown => return Err(unknown()),
        Found::NotReadYet => return Err(starting()),
    };
    let objects = api.directory.objects().ok_or_else(starting)?;
    let own = ObjectRef::new(&key.name).within(&key.namespace);
    let Some(agent) = objects.agents.get(&own) else {
        return Err(unknown());
    };
    // Another object that has taken the name is not the one that the token was made for.
    if agent.uid().as_deref() != Some(key.uid.as_str()) {
        return Err(unknown());
    }
    let board = agent.spec.board_ref.as_ref().and_then(|board| {
        let board = ObjectRef::new(&board.name).within(&key.namespace);
        objects.boards.get(&board)
    });
    Ok(Caller {
        token: token.into(),
        objects: objects.clone(),
        key,
        agent,
        board,
    })
}
