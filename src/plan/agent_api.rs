//! The calls that agents make to the operator: the one table from which the router, the `OpenAPI` document and the part of `AGENTS.md`
//! that tells agents of them are made, so that none of the three can say something else.
//!
//! Mission Control serves much more (tasks, approvals, memory); an agent is never told of a call that is not served here.

use secrecy::{ExposeSecret, SecretString};

use crate::api::agent::Role;

/// Where all calls begin, after the base URL.
pub const ROOT: &str = "/api/v1/agent";

/// Header that carries the token; `Authorization: Bearer` does as well.
pub const TOKEN_HEADER: &str = "X-Agent-Token";

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Whether the API is there.
    Healthz,
    /// The caller's own record.
    Me,
    /// A sign of life.
    Heartbeat,
    /// The agents of the caller's Board.
    Agents,
    /// The caller's Board.
    Board,
    /// Creates a worker on the caller's Board.
    CreateAgent,
    /// Sets the SOUL.md of a worker that a lead made.
    SetSoul,
    /// Wakes an agent of the caller's Board.
    Wake,
    /// Deletes a worker that a lead made.
    DeleteAgent,
}

/// Who may make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Anybody, without a token.
    Anybody,
    /// Every agent.
    Agent,
    /// Every agent that has a Board.
    Member,
    /// The lead of a Board.
    Lead,
}

impl Operation {
    /// All of them, in the order in which a lead could make them one after the other.
    pub const ALL: [Self; 9] = [
        Self::Healthz,
        Self::Me,
        Self::Heartbeat,
        Self::Board,
        Self::Agents,
        Self::CreateAgent,
        Self::SetSoul,
        Self::Wake,
        Self::DeleteAgent,
    ];

    /// The name in the `OpenAPI` document.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Healthz => "healthz",
            Self::Me => "getMe",
            Self::Heartbeat => "sendHeartbeat",
            Self::Agents => "listAgents",
            Self::Board => "getBoard",
            Self::CreateAgent => "createAgent",
            Self::SetSoul => "setSoul",
            Self::Wake => "wakeAgent",
            Self::DeleteAgent => "deleteAgent",
        }
    }

    /// The HTTP method.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::Healthz | Self::Me | Self::Agents | Self::Board => "GET",
            Self::Heartbeat | Self::CreateAgent | Self::Wake => "POST",
            Self::SetSoul => "PUT",
            Self::DeleteAgent => "DELETE",
        }
    }

    /// The path after [`ROOT`]; `{name}` is the name of an `Agent` object.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Healthz => "/healthz",
            Self::Me => "/me",
            Self::Heartbeat => "/heartbeat",
            Self::Agents | Self::CreateAgent => "/agents",
            Self::Board => "/board",
            Self::Wake => "/wake",
            Self::DeleteAgent => "/agents/{name}",
            Self::SetSoul => "/agents/{name}/soul",
        }
    }

    /// Who may make it.
    #[must_use]
    pub const fn caller(self) -> Caller {
        match self {
            Self::Healthz => Caller::Anybody,
            Self::Me | Self::Heartbeat => Caller::Agent,
            Self::Agents | Self::Board => Caller::Member,
            Self::CreateAgent | Self::SetSoul | Self::Wake | Self::DeleteAgent => Caller::Lead,
        }
    }

    /// What it is for, in one sentence to the agent.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Healthz => "Says whether the API is there; needs no token.",
            Self::Me => {
                "Your own record: id, role, board, session, and whether you are as declared."
            }
            Self::Heartbeat => {
                "Tells that you are alive, and answers your record with the names of your files that changed since you called last. Call it at every heartbeat and when you start."
            }
            Self::Agents => {
                "The agents of your board, with their roles and whether they are online."
            }
            Self::Board => "Your board: its goal, its rules and its members.",
            Self::CreateAgent => {
                "Adds a worker to your board, within the board's limit. `name` is its name in Kubernetes (lower case letters, digits and `-`)."
            }
            Self::SetSoul => "Replaces the SOUL.md of a worker that was added by a lead.",
            Self::Wake => "Wakes an agent of your board, with a message for it.",
            Self::DeleteAgent => {
                "Removes a worker that was added by a lead; its deletionPolicy says what becomes of its files."
            }
        }
    }

    /// An example of the body, where the call has one.
    #[must_use]
    pub const fn example(self) -> Option<&'static str> {
        match self {
            Self::Healthz | Self::Me | Self::Agents | Self::Board | Self::DeleteAgent => None,
            Self::Heartbeat => Some("{}"),
            Self::CreateAgent => Some(
                r#"{"name":"fact-checker","displayName":"Fact checker","role":"Checks every figure against its source"}"#,
            ),
            Self::SetSoul => {
                Some(r#"{"content":"You check figures, and name the source of each."}"#)
            }
            Self::Wake => {
                Some(r#"{"name":"fact-checker","message":"Please check the figures of today."}"#)
            }
        }
    }

    /// Whether an agent is told of it.
    #[must_use]
    pub const fn concerns(self, role: Role, has_board: bool) -> bool {
        match self.caller() {
            Caller::Anybody | Caller::Agent => true,
            Caller::Member => has_board,
            Caller::Lead => matches!(role, Role::Lead),
        }
    }
}

/// Name of the agent in the examples.
const EXAMPLE_NAME: &str = "fact-checker";

/// How an agent reaches the API.
#[derive(Clone, Debug)]
pub struct Access {
    /// The base URL, without a slash at the end.
    pub base_url: String,
    /// The agent's token.
    pub token: SecretString,
}

/// The part of `AGENTS.md` that tells the agent of its calls. It holds the one copy of the token that stands in any file.
#[must_use]
pub fn tools(role: Role, has_board: bool, access: &Access) -> String {
    let base = access.base_url.trim_end_matches('/');
    let token = access.token.expose_secret();
    let mut text = format!(
        "## Operator API\n\n\
         Mission Operator, which made you, answers these calls. Set both names in the shell before you call. The token is yours alone:\n\
         it stands only here; never copy it into another file, a message or an answer. If a call answers 401, read this file again: the\n\
         token may have changed. If the API does not answer, go on with your work and try again at the next heartbeat.\n\n\
         ```sh\nMISSION_API='{base}{ROOT}'\nMISSION_TOKEN='{token}'\n```\n"
    );
    let concerned = Operation::ALL
        .into_iter()
        .filter(|operation| operation.concerns(role, has_board));
    text.extend(concerned.map(|operation| {
        let summary = operation.summary();
        format!("\n{summary}\n\n```sh\n{}\n```\n", curl(operation))
    }));
    let document = format!(
        "\nEvery field and every answer of these calls, as an OpenAPI document; needs no token.\n\n\
         ```sh\ncurl -sS '{base}/openapi.json'\n```\n"
    );
    text + &document
}

/// The call as a line for a shell.
fn curl(operation: Operation) -> String {
    let path = operation.path().replace("{name}", EXAMPLE_NAME);
    let method = match operation.method() {
        "GET" => String::new(),
        method => format!("-X {method} "),
    };
    let token = match operation.caller() {
        Caller::Anybody => String::new(),
        _ => format!(r#" -H "{TOKEN_HEADER}: $MISSION_TOKEN""#),
    };
    let body = operation.example().map_or_else(String::new, |example| {
        format!(" -H 'Content-Type: application/json' -d '{example}'")
    });
    format!(r#"curl -sS {method}"$MISSION_API{path}"{token}{body}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(role: Role, has_board: bool) -> String {
        let access = Access {
            base_url: "http://operator:8080/".to_owned(),
            token: "t0ken".to_owned().into(),
        };
        tools(role, has_board, &access)
    }

    #[test]
    fn an_agent_is_told_of_exactly_the_calls_that_it_may_make() {
        for (role, has_board, calls) in [
            (Role::Worker, false, 3),
            (Role::Main, false, 3),
            (Role::Worker, true, 5),
            (Role::Lead, true, 9),
        ] {
            let text = told(role, has_board);
            // And one for the document of them all.
            assert_eq!(text.matches("curl ").count(), calls + 1, "{text}");
        }
        insta::assert_snapshot!(told(Role::Lead, true));
    }

    #[test]
    fn the_token_stands_there_once() {
        let text = told(Role::Lead, true);
        assert_eq!(text.matches("t0ken").count(), 1);
        assert!(text.contains("MISSION_API='http://operator:8080/api/v1/agent'"));
    }
}
