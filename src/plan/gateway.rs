//! What a Gateway's conditions say, from how its credential and its link stand.

use crate::api::{
    condition::{AUTHENTICATED, COMPATIBLE, Judgement, REACHABLE, READY},
    reason::Reason,
};

/// How the link of a Gateway stands, in words of its conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkView {
    /// There is none, because something to open it with is missing.
    None,
    /// It is being opened for the first time, or again after a loss that has no cause yet.
    Connecting,
    /// The gateway does not answer, or not yet.
    Away {
        /// Why.
        reason: Reason,
        /// What happened and what to do next.
        message: String,
    },
    /// The gateway answers but does not let us in.
    Refused {
        /// Why.
        reason: Reason,
        /// What happened and what to do next.
        message: String,
    },
    /// It is up.
    Up {
        /// What the gateway lacks of what the operator needs.
        missing: Vec<&'static str>,
        /// The gateway's version.
        version: String,
    },
}

/// What is wrong with the Secret, if anything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretProblem {
    /// Why there is no credential.
    pub reason: Reason,
    /// What happened and what to do next.
    pub message: String,
}

/// Judges a Gateway that is not being deleted. `was_ready` says whether it is Ready by its status, for its newest generation.
#[must_use]
pub fn judge(
    url: &str,
    secret: Option<&SecretProblem>,
    link: &LinkView,
    was_ready: bool,
) -> Vec<Judgement> {
    let unknown = |type_, reason, what: &str| Judgement::unknown(type_, reason, what);
    let mut judgements = match link {
        // After a start of the operator, or with a new credential: what was found holds until something else is.
        LinkView::Connecting if was_ready => Vec::new(),
        LinkView::None | LinkView::Connecting => {
            let waits = if *link == LinkView::None {
                "Not tried: Authenticated says what is missing to connect with."
            } else {
                "The connection is being opened."
            };
            [REACHABLE, AUTHENTICATED, COMPATIBLE]
                .map(|type_| unknown(type_, Reason::Pending, waits))
                .to_vec()
        }
        LinkView::Away { reason, message } => {
            let waits = "Not known while the gateway does not answer.";
            vec![
                Judgement::fails(REACHABLE, *reason, message),
                unknown(AUTHENTICATED, *reason, waits),
                unknown(COMPATIBLE, *reason, waits),
            ]
        }
        LinkView::Refused { reason, message } => vec![
            Judgement::holds(REACHABLE, Reason::Connected, format!("{url} answers.")),
            Judgement::fails(AUTHENTICATED, *reason, message),
            unknown(
                COMPATIBLE,
                *reason,
                "Not known before the gateway lets the operator in.",
            ),
        ],
        LinkView::Up { missing, version } => vec![
            Judgement::holds(REACHABLE, Reason::Connected, format!("Connected to {url}.")),
            Judgement::holds(
                AUTHENTICATED,
                Reason::Authenticated,
                "The gateway let the operator in.",
            ),
            if missing.is_empty() {
                Judgement::holds(
                    COMPATIBLE,
                    Reason::Compatible,
                    format!("OpenClaw {version} has all that the operator needs."),
                )
            } else {
                let message = format!(
                    "OpenClaw {version} lacks {}. No Agent is written to it; update the gateway to 2026.9.6 or later.",
                    missing.join("; ")
                );
                Judgement::fails(COMPATIBLE, Reason::Incompatible, message)
            },
        ],
    };
    if let Some(problem) = secret {
        let kept = if matches!(link, LinkView::Up { .. }) {
            " The open connection is kept, because Agents hold claims on this gateway."
        } else {
            ""
        };
        judgements.retain(|judgement| judgement.type_ != AUTHENTICATED);
        judgements.push(Judgement::fails(
            AUTHENTICATED,
            problem.reason,
            format!("{}{kept}", problem.message),
        ));
    }
    judgements
}

/// What a Gateway says that is being deleted while `holders` (`namespace/name`) still hold claims on it.
#[must_use]
pub fn waits_for(mut holders: Vec<String>) -> Judgement {
    const NAMED: usize = 5;
    holders.sort();
    let more = holders.len().saturating_sub(NAMED);
    let named = holders
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    let rest = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    let message = format!(
        "Deletion waits for the Agents that are on this gateway: {named}{rest}. Delete them; the Gateway goes by itself then."
    );
    Judgement::fails(READY, Reason::AgentsRemain, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::condition::Status;

    fn statuses(secret: Option<&SecretProblem>, link: &LinkView) -> Vec<(Status, Reason)> {
        let mut judgements = judge("ws://gw:1", secret, link, false);
        judgements.sort_by_key(|judgement| {
            [REACHABLE, AUTHENTICATED, COMPATIBLE]
                .iter()
                .position(|type_| *type_ == judgement.type_)
        });
        judgements
            .iter()
            .map(|judgement| (judgement.status, judgement.reason))
            .collect()
    }

    #[test]
    fn conditions_follow_the_link() {
        use Status::{False, True, Unknown};
        let up = |missing| LinkView::Up {
            missing,
            version: "2026.9.6".into(),
        };
        let refused = LinkView::Refused {
            reason: Reason::Unauthorized,
            message: String::new(),
        };
        let away = LinkView::Away {
            reason: Reason::GatewayUnreachable,
            message: String::new(),
        };
        let missing = SecretProblem {
            reason: Reason::SecretNotFound,
            message: "gone.".into(),
        };
        for (secret, link, expected) in [
            (
                None,
                up(vec![]),
                [
                    (True, Reason::Connected),
                    (True, Reason::Authenticated),
                    (True, Reason::Compatible),
                ],
            ),
            (
                None,
                up(vec!["x"]),
                [
                    (True, Reason::Connected),
                    (True, Reason::Authenticated),
                    (False, Reason::Incompatible),
                ],
            ),
            (
                None,
                refused,
                [
                    (True, Reason::Connected),
                    (False, Reason::Unauthorized),
                    (Unknown, Reason::Unauthorized),
                ],
            ),
            (
                None,
                away,
                [
                    (False, Reason::GatewayUnreachable),
                    (Unknown, Reason::GatewayUnreachable),
                    (Unknown, Reason::GatewayUnreachable),
                ],
            ),
            (
                Some(&missing),
                LinkView::None,
                [
                    (Unknown, Reason::Pending),
                    (False, Reason::SecretNotFound),
                    (Unknown, Reason::Pending),
                ],
            ),
            (
                Some(&missing),
                up(vec![]),
                [
                    (True, Reason::Connected),
                    (False, Reason::SecretNotFound),
                    (True, Reason::Compatible),
                ],
            ),
        ] {
            assert_eq!(statuses(secret, &link), expected, "{link:?}");
        }
    }

    #[test]
    fn a_gateway_that_was_ready_stays_so_while_its_link_is_being_opened() {
        let judged = |link, was_ready| judge("ws://gw:1", None, link, was_ready).len();
        assert_eq!(judged(&LinkView::Connecting, true), 0);
        assert_eq!(judged(&LinkView::Connecting, false), 3);
        assert_eq!(judged(&LinkView::None, true), 3);
    }

    #[test]
    fn a_gateway_that_waits_names_at_most_five_agents() {
        let message = waits_for((0..7).map(|n| format!("team/agent-{n}")).collect()).message;
        assert!(
            message.contains("team/agent-4 and 2 more") && !message.contains("team/agent-5"),
            "{message}"
        );
    }
}
