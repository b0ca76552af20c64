//! The gateway's words, and what each of them means. The wire has four error codes for everything, so text must be matched: here
//! and nowhere else. Every row holds words that OpenClaw 2026.9.6 was seen to say; the tests hold its whole sentences.

use serde::Deserialize;

use super::frame::ErrorBody;
use super::{CallError, Issue, LinkError};

/// What a refused call means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    HashConflict,
    FileConflict,
    SessionChanged,
    AgentExists,
    AgentNotFound,
    AgentCannotBeDeleted,
    JobNotFound,
    NotAppliedYet,
    RateLimited,
    Unavailable,
    Unsupported,
}

/// Part of the gateway's sentence, and its meaning. The first row that fits counts.
const WORDS: &[(&str, Meaning)] = &[
    ("config changed since last load", Meaning::HashConflict),
    ("config base hash unavailable", Meaning::HashConflict),
    (" changed since it was read", Meaning::FileConflict),
    // The only agent, or one that holds credentials of others.
    (" and cannot be deleted.", Meaning::AgentCannotBeDeleted),
    ("unknown agent id \"", Meaning::AgentNotFound),
    (
        "\" no longer exists in configuration",
        Meaning::AgentNotFound,
    ),
    ("\" already exists", Meaning::AgentExists),
    ("Automation not found", Meaning::JobNotFound),
    // Three ends of one call that has stored the config: taken for refused, our own agent would be taken for another's.
    (" persisted but was not applied", Meaning::NotAppliedYet),
    (
        " persisted and updated the active Gateway",
        Meaning::NotAppliedYet,
    ),
    ("accepted for restart", Meaning::NotAppliedYet),
    ("rate limit exceeded for", Meaning::RateLimited),
    ("deletion cleanup is still pending", Meaning::Unavailable),
    ("unknown method: ", Meaning::Unsupported),
    ("unsupported file \"", Meaning::Unsupported),
];

fn meaning(method: &str, body: &ErrorBody) -> Option<Meaning> {
    match body.detail("type").or_else(|| body.detail("code")) {
        Some("agent_file_conflict") => return Some(Meaning::FileConflict),
        Some("CRON_JOB_NOT_FOUND") => return Some(Meaning::JobNotFound),
        _ => {}
    }
    if body.detail("reason") == Some("session-changed") {
        return Some(Meaning::SessionChanged);
    }
    if let Some((_, meaning)) = WORDS.iter().find(|(words, _)| body.message.contains(words)) {
        return Some(*meaning);
    }
    // `agent "x" not found`, but not any other sentence that ends so.
    (method.starts_with("agents.")
        && body.message.starts_with("agent \"")
        && body.message.ends_with("\" not found"))
    .then_some(Meaning::AgentNotFound)
}

/// What the refusal of one call means.
pub(super) fn call_error(method: &'static str, body: ErrorBody) -> CallError {
    let retry_after = body.retry_after();
    match meaning(method, &body) {
        Some(Meaning::HashConflict) => CallError::HashConflict,
        Some(Meaning::FileConflict) => CallError::FileConflict {
            name: body
                .detail("name")
                .or_else(|| quoted(&body.message))
                .unwrap_or_default()
                .to_owned(),
            current_hash: body.detail("currentHash").map(ToOwned::to_owned),
        },
        Some(Meaning::SessionChanged) => CallError::SessionChanged,
        Some(Meaning::AgentExists) => CallError::AgentExists {
            agent_id: quoted(&body.message).unwrap_or_default().to_owned(),
        },
        Some(Meaning::AgentNotFound) => CallError::AgentNotFound {
            agent_id: quoted(&body.message).unwrap_or_default().to_owned(),
        },
        Some(Meaning::AgentCannotBeDeleted) => CallError::AgentCannotBeDeleted {
            message: body.message,
        },
        Some(Meaning::JobNotFound) => CallError::JobNotFound {
            message: body.message,
        },
        Some(Meaning::NotAppliedYet) => CallError::NotAppliedYet {
            message: body.message,
        },
        Some(Meaning::RateLimited) => CallError::RateLimited {
            message: body.message,
            retry_after,
        },
        Some(Meaning::Unsupported) => CallError::Unsupported {
            message: body.message,
        },
        Some(Meaning::Unavailable) => CallError::Unavailable {
            message: body.message,
            retry_after,
        },
        None => match body.code.as_str() {
            "UNAVAILABLE" => CallError::Unavailable {
                message: body.message,
                retry_after,
            },
            "FORBIDDEN" | "NOT_PAIRED" => CallError::Forbidden {
                message: body.message,
            },
            _ => CallError::Rejected {
                issues: issues(&body),
                message: body.message,
            },
        },
    }
}

/// What the refusal of `connect` means.
pub(super) fn link_error(body: ErrorBody) -> LinkError {
    let retry_after = body.retry_after();
    let detail = body
        .detail("code")
        .or_else(|| body.detail("reason"))
        .unwrap_or_default()
        .to_owned();
    if detail == "PAIRING_REQUIRED" {
        return LinkError::PairingRequired {
            request_id: body.detail("requestId").map(ToOwned::to_owned),
            message: body.message,
            not_automatic: None,
        };
    }
    if detail == "PROTOCOL_MISMATCH" {
        return LinkError::Protocol {
            message: body.message,
        };
    }
    if body.code == "NOT_PAIRED"
        || detail.starts_with("AUTH_")
        || detail.starts_with("DEVICE_")
        || body.message.starts_with("unauthorized")
    {
        return LinkError::Unauthorized {
            code: if detail.is_empty() { body.code } else { detail },
            message: body.message,
            retry_after,
        };
    }
    if body.code == "UNAVAILABLE" {
        return LinkError::Starting {
            message: body.message,
            retry_after,
        };
    }
    LinkError::Protocol {
        message: body.message,
    }
}

/// The config problems that a refusal names.
fn issues(body: &ErrorBody) -> Vec<Issue> {
    body.details
        .get("issues")
        .and_then(|issues| Vec::<Issue>::deserialize(issues).ok())
        .unwrap_or_default()
}

/// What stands between the first two double quotes.
fn quoted(message: &str) -> Option<&str> {
    message.split('"').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> ErrorBody {
        serde_json::from_str(text).unwrap()
    }

    /// (method, error as OpenClaw 2026.9.6 sent it, what it means)
    #[rustfmt::skip]
    const SEEN: &[(&str, &str, &str)] = &[
        ("config.patch", r#"{"code":"INVALID_REQUEST","message":"config changed since last load; re-run config.get and retry"}"#, "HashConflict"),
        ("config.patch", r#"{"code":"UNAVAILABLE","message":"rate limit exceeded for config.patch; retry after 38s","retryable":true,"retryAfterMs":37456,"details":{"method":"config.patch","limit":"30 per 60s"}}"#, "RateLimited 37.456s"),
        ("config.patch", r#"{"code":"UNAVAILABLE","message":"config.get unavailable during gateway restart","retryable":true,"retryAfterMs":1000,"details":{"reason":"gateway-restarting","phase":"accepting"}}"#, "Unavailable 1s"),
        ("config.patch", r#"{"code":"INVALID_REQUEST","message":"invalid config: agents.entries.m1.heartbeat.target: unknown heartbeat target: nosuch; agents.entries.m2.heartbeat.target: unknown heartbeat target: nosuch2","details":{"issues":[{"path":"agents.entries.m1.heartbeat.target","message":"unknown heartbeat target: nosuch"},{"path":"agents.entries.m2.heartbeat.target","message":"unknown heartbeat target: nosuch2"}]}}"#, "Rejected agents.entries.m1.heartbeat.target agents.entries.m2.heartbeat.target"),
        ("config.patch", r#"{"code":"INVALID_REQUEST","message":"config.patch would remove entries from array path(s): agents.entries.m1.model.fallbacks. Pass replacePaths with the exact path(s) when this is intentional, or use config.apply for full-config replacement."}"#, "Rejected"),
        ("config.patch", r#"{"code":"UNAVAILABLE","message":"config.patch persisted and updated the active Gateway, but a recovery restart is required; wait for the Gateway to restart, then run config.get to confirm the active revision"}"#, "NotAppliedYet"),
        ("config.get", r#"{"code":"UNAVAILABLE","message":"The server is busy. Please try again in a moment.","retryable":true}"#, "Unavailable"),
        ("agents.files.set", r#"{"code":"INVALID_REQUEST","message":"agent file \"SOUL.md\" changed since it was read","details":{"type":"agent_file_conflict","name":"SOUL.md","currentHash":"2d71"}}"#, "FileConflict SOUL.md 2d71"),
        ("agents.files.set", r#"{"code":"INVALID_REQUEST","message":"agent file \"USER.md\" changed since it was read","details":{"type":"agent_file_conflict","name":"USER.md"}}"#, "FileConflict USER.md"),
        ("agents.files.get", r#"{"code":"INVALID_REQUEST","message":"agent \"nope\" not found"}"#, "AgentNotFound nope"),
        ("agents.delete", r#"{"code":"INVALID_REQUEST","message":"agent \"nope\" not found"}"#, "AgentNotFound nope"),
        ("agents.create", r#"{"code":"INVALID_REQUEST","message":"agent \"x\" already exists"}"#, "AgentExists x"),
        ("models.list", r#"{"code":"INVALID_REQUEST","message":"unknown agent id \"nope\""}"#, "AgentNotFound nope"),
        ("agents.delete", r#"{"code":"INVALID_REQUEST","message":"Agent \"main\" owns the legacy shared auth store and cannot be deleted. Run openclaw doctor --fix to migrate shared auth, then retry."}"#, "AgentCannotBeDeleted"),
        ("agents.delete", r#"{"code":"INVALID_REQUEST","message":"Agent \"x\" owns inherited credentials through agents.defaults.authInheritance.agentId and cannot be deleted. Relocate those credentials, then re-point or remove that binding before retrying."}"#, "AgentCannotBeDeleted"),
        ("agents.delete", r#"{"code":"INVALID_REQUEST","message":"Agent \"x\" is the only configured agent and cannot be deleted."}"#, "AgentCannotBeDeleted"),
        ("agents.files.get", r#"{"code":"INVALID_REQUEST","message":"unsupported file \"TOOLS.md\""}"#, "Unsupported"),
        ("foo.bar", r#"{"code":"INVALID_REQUEST","message":"unknown method: foo.bar"}"#, "Unsupported"),
        ("cron.scratch.get", r#"{"code":"INVALID_REQUEST","message":"Automation not found: 1. List automations and retry with a current job id.","details":{"code":"CRON_JOB_NOT_FOUND","jobId":"1"}}"#, "JobNotFound"),
        ("config.get", r#"{"code":"FORBIDDEN","message":"missing scope: operator.read","details":{"code":"MISSING_SCOPE","missingScope":"operator.read","requiredScopes":["operator.read"]}}"#, "Forbidden"),
        ("agents.files.set", r#"{"code":"INVALID_REQUEST","message":"invalid agents.files.set params: at /name: must not have fewer than 1 characters"}"#, "Rejected"),
        ("chat.send", r#"{"code":"INVALID_REQUEST","message":"Agent \"nope\" no longer exists in configuration"}"#, "AgentNotFound nope"),
        ("chat.send", r#"{"code":"INVALID_REQUEST","message":"This message ID was already used for different input. Check the conversation history and use a new message ID to send again.","details":{"reason":"chat-request-conflict"}}"#, "Rejected"),
        ("sessions.reset", r#"{"code":"INVALID_REQUEST","message":"Session agent:pp:main changed before reset. Retry.","details":{"reason":"session-changed"}}"#, "SessionChanged"),
        ("sessions.patch", r#"{"code":"INVALID_REQUEST","message":"label already in use: L"}"#, "Rejected"),
        // Not an agent, although it ends so.
        ("cron.run", r#"{"code":"INVALID_REQUEST","message":"thing \"nope\" not found"}"#, "Rejected"),
    ];

    fn told(error: &CallError) -> String {
        let pause = error
            .retry_after()
            .map(|after| format!(" {}s", after.as_secs_f64()))
            .unwrap_or_default();
        match error {
            CallError::HashConflict => "HashConflict".to_owned(),
            CallError::RateLimited { .. } => format!("RateLimited{pause}"),
            CallError::Unavailable { .. } => format!("Unavailable{pause}"),
            CallError::Rejected { issues, .. } => {
                issues.iter().fold("Rejected".to_owned(), |told, issue| {
                    format!("{told} {}", issue.path)
                })
            }
            CallError::FileConflict { name, current_hash } => format!(
                "FileConflict {name}{}",
                current_hash
                    .as_ref()
                    .map(|hash| format!(" {hash}"))
                    .unwrap_or_default()
            ),
            CallError::AgentNotFound { agent_id } => format!("AgentNotFound {agent_id}"),
            CallError::AgentExists { agent_id } => format!("AgentExists {agent_id}"),
            CallError::AgentCannotBeDeleted { .. } => "AgentCannotBeDeleted".to_owned(),
            CallError::Unsupported { .. } => "Unsupported".to_owned(),
            CallError::JobNotFound { .. } => "JobNotFound".to_owned(),
            CallError::NotAppliedYet { .. } => "NotAppliedYet".to_owned(),
            CallError::Forbidden { .. } => "Forbidden".to_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_gateways_sentences_about_calls_mean_what_they_mean() {
        for (method, error, meaning) in SEEN {
            assert_eq!(told(&call_error(method, body(error))), *meaning, "{error}");
        }
    }

    #[test]
    fn a_wrong_secret_is_unauthorized_with_the_gateways_code_and_words() {
        let error = link_error(body(
            r#"{"code":"INVALID_REQUEST","message":"unauthorized: gateway token mismatch (provide gateway auth token)","details":{"code":"AUTH_TOKEN_MISMATCH","authReason":"token_mismatch","canRetryWithDeviceToken":false,"recommendedNextStep":"update_auth_credentials"}}"#,
        ));
        assert!(error.is_refusal());
        let text = error.to_string();
        assert!(text.contains("token mismatch"), "{text}");
        assert!(text.contains("AUTH_TOKEN_MISMATCH"), "{text}");
        assert!(text.contains("Secret"), "{text}");
    }

    #[test]
    fn a_lockout_says_how_long() {
        let error = link_error(body(
            r#"{"code":"INVALID_REQUEST","message":"unauthorized: too many failed authentication attempts (retry later)","retryable":true,"retryAfterMs":299995,"details":{"code":"AUTH_RATE_LIMITED"}}"#,
        ));
        assert!(matches!(
            error,
            LinkError::Unauthorized { retry_after: Some(after), .. } if after.as_secs() == 299
        ));
    }

    #[test]
    fn starting_pairing_and_protocol_are_told_apart() {
        assert!(matches!(
            link_error(body(
                r#"{"code":"UNAVAILABLE","message":"gateway starting; retry shortly","retryable":true,"retryAfterMs":500,"details":{"reason":"startup-sidecars"}}"#
            )),
            LinkError::Starting {
                retry_after: Some(_),
                ..
            }
        ));
        assert!(matches!(
            link_error(body(
                r#"{"code":"UNAVAILABLE","message":"connect unavailable during gateway restart","retryable":true,"retryAfterMs":1000,"details":{"method":"connect","reason":"gateway-restarting","phase":"accepting"}}"#
            )),
            LinkError::Starting {
                retry_after: Some(after),
                ..
            } if after.as_secs() == 1
        ));
        assert!(matches!(
            link_error(body(
                r#"{"code":"NOT_PAIRED","message":"pairing required: device is not approved yet","details":{"code":"PAIRING_REQUIRED","reason":"not-paired","requestId":"912710da"}}"#
            )),
            LinkError::PairingRequired { request_id: Some(id), .. } if id == "912710da"
        ));
        assert!(matches!(
            link_error(body(
                r#"{"code":"NOT_PAIRED","message":"device identity required","details":{"code":"DEVICE_IDENTITY_REQUIRED"}}"#
            )),
            LinkError::Unauthorized { .. }
        ));
        assert!(matches!(
            link_error(body(
                r#"{"code":"INVALID_REQUEST","message":"protocol mismatch","details":{"code":"PROTOCOL_MISMATCH","expectedProtocol":5}}"#
            )),
            LinkError::Protocol { .. }
        ));
    }
}
