//! Asking the API server on behalf of a lead, and what its refusals mean to the lead.

use std::time::Duration;

use ::kube::{Error, core::Status};

use super::{
    problem::{Kind, Problem},
    types::FieldProblem,
};

/// How long the API server may take; the client has tried three times within it.
const PATIENCE: Duration = Duration::from_secs(15);

/// When to try again what the API server did not answer and did not say.
pub(super) const AGAIN: Duration = Duration::from_secs(5);

/// The reason of a refusal: an object of that name is there.
pub(super) const EXISTS: &str = "AlreadyExists";

/// The reason of a refusal: the object is not the one, or not as it was, when it was read.
pub(super) const CONFLICT: &str = "Conflict";

/// Words of a refusal with which a lead can do something: a quota, or a policy of the cluster. Whatever else is refused is the operator's own
/// lack of rights, which an agent neither understands nor mends.
const OF_USE: [&str; 4] = [
    "exceeded quota",
    "denied the request",
    "denied request",
    "because it is being terminated",
];

/// How the API server names a ServiceAccount, which is nobody's business here.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// Waits for an answer of the API server.
pub(super) async fn ask<T>(question: impl Future<Output = Result<T, Error>>) -> Result<T, Problem> {
    within_patience(question)
        .await?
        .map_err(|error| problem(&error))
}

/// The same; nothing where it is refused for this reason.
pub(super) async fn unless<T>(
    reason: &str,
    question: impl Future<Output = Result<T, Error>>,
) -> Result<Option<T>, Problem> {
    match within_patience(question).await? {
        Ok(answer) => Ok(Some(answer)),
        Err(Error::Api(status)) if status.code == 409 && status.reason == reason => Ok(None),
        Err(error) => Err(problem(&error)),
    }
}

async fn within_patience<T>(question: impl Future<Output = T>) -> Result<T, Problem> {
    let answered = tokio::time::timeout(PATIENCE, question).await;
    answered.map_err(|_| {
        tracing::warn!("the API server did not answer what a lead asked for");
        unavailable(AGAIN)
    })
}

fn unavailable(after: Duration) -> Problem {
    let detail = "The API server of the cluster does not answer now. Nothing is lost; try again when as many seconds are over as the header Retry-After says.";
    Problem::passing(Kind::Unavailable, detail, after)
}

/// What a failure means.
fn problem(error: &Error) -> Problem {
    let Error::Api(status) = error else {
        tracing::warn!(%error, "the API server could not be asked for what a lead wants");
        return unavailable(AGAIN);
    };
    match status.code {
        404 => Problem::not_on_board(),
        409 => Problem::changed(),
        422 => invalid(status),
        429 | 500.. => {
            tracing::warn!(%error, "the API server failed at what a lead wants");
            let after = status.details.as_ref();
            let after = after.map(|details| details.retry_after_seconds);
            let after = after.filter(|seconds| *seconds > 0);
            unavailable(after.map_or(AGAIN, |seconds| Duration::from_secs(seconds.into())))
        }
        _ => refused(status),
    }
}

fn refused(status: &Status) -> Problem {
    tracing::warn!(code = status.code, refusal = %status.message, "the API server refuses what a lead wants");
    let detail = match words_of_use(status) {
        Some(words) => {
            format!("The cluster refuses it: {words}. Tell a person who can mend that.")
        }
        None => {
            "The cluster refuses it, for a reason that the operator's log names. Tell a person, with the id of the request."
                .to_owned()
        }
    };
    Problem::new(Kind::Refused, detail)
}

/// What the API server says, where a lead may know it and can use it.
fn words_of_use(status: &Status) -> Option<&str> {
    let words = status.message.trim_end_matches('.');
    let is_of_use = OF_USE.iter().any(|part| words.contains(part));
    (is_of_use && !words.contains(SERVICE_ACCOUNT)).then_some(words)
}

/// Fields of the Agent that the API server finds wrong, by the names that they have in the lead's body.
fn invalid(status: &Status) -> Problem {
    if status.message.contains(SERVICE_ACCOUNT) {
        return refused(status);
    }
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let fields: Vec<_> = causes
        .map(|cause| FieldProblem {
            pointer: match cause.field.as_str() {
                "metadata.name" => "#/name".to_owned(),
                "spec.displayName" => "#/displayName".to_owned(),
                "spec.identity.role" => "#/role".to_owned(),
                "spec.model" => "#/model".to_owned(),
                _ => "#".to_owned(),
            },
            detail: cause.message.clone(),
        })
        .collect();
    if fields.is_empty() {
        Problem::new(Kind::InvalidField, status.message.clone())
    } else {
        Problem::fields(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_a_lead_can_use_are_told() {
        for (message, is_told) in [
            (
                r#"agents "a" is forbidden: exceeded quota: agents, requested: count/agents=1, used: 5, limited: 5"#,
                true,
            ),
            (
                r#"admission webhook "names.example.org" denied the request: no poets."#,
                true,
            ),
            (
                "ValidatingAdmissionPolicy 'names' with binding 'all' denied request: no poets",
                true,
            ),
            (
                r#"agents "a" is forbidden: unable to create new content in namespace team because it is being terminated"#,
                true,
            ),
            (
                r#"agents is forbidden: User "system:serviceaccount:mission-system:mission-operator" cannot create resource "agents""#,
                false,
            ),
            (
                r#"admission webhook "x" denied the request: User "system:serviceaccount:mission-system:mission-operator" may not"#,
                false,
            ),
            ("Unauthorized", false),
        ] {
            for code in [403, 422] {
                let status = Status {
                    code,
                    message: message.to_owned(),
                    ..Status::default()
                };
                let problem = problem(&Error::Api(Box::new(status)));
                assert!(!problem.detail().contains(SERVICE_ACCOUNT), "{problem:?}");
                if code == 403 {
                    let told = problem.detail().contains(message.trim_end_matches('.'));
                    assert_eq!(
                        (problem.kind(), told),
                        (Kind::Refused, is_told),
                        "{message}"
                    );
                }
            }
        }
    }
}
