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
const AGAIN: Duration = Duration::from_secs(5);

/// Waits for an answer of the API server.
pub(super) async fn ask<T>(question: impl Future<Output = Result<T, Error>>) -> Result<T, Problem> {
    let Ok(answered) = tokio::time::timeout(PATIENCE, question).await else {
        tracing::warn!("the API server did not answer what a lead asked for");
        return Err(unavailable(AGAIN));
    };
    answered.map_err(|error| problem(&error))
}

/// The same; nothing where the object is not there.
pub(super) async fn look<T>(
    question: impl Future<Output = Result<Option<T>, Error>>,
) -> Result<Option<T>, Problem> {
    ask(question).await
}

fn unavailable(after: Duration) -> Problem {
    let detail = "The API server of the cluster does not answer now. Nothing is lost; try again when as many seconds are over as the header Retry-After says.";
    Problem::passing(Kind::Unavailable, detail, after)
}

/// What a failure means. Which object it was about is the caller's to know: a name that is taken and one that is gone are told by their codes.
fn problem(error: &Error) -> Problem {
    let Error::Api(status) = error else {
        tracing::warn!(%error, "the API server could not be asked for what a lead wants");
        return unavailable(AGAIN);
    };
    match status.code {
        404 => Problem::not_on_board(),
        409 if status.reason == "AlreadyExists" => Problem::name_taken(),
        409 => Problem::new(
            Kind::NotNow,
            "Somebody else changed it at the same time. Look at it again, and repeat the call if it is still wanted.",
        ),
        400 | 422 => invalid(status),
        429 | 500.. => {
            tracing::warn!(%error, "the API server failed at what a lead wants");
            let after = status.details.as_ref();
            let after = after.map(|details| details.retry_after_seconds);
            let after = after.filter(|seconds| *seconds > 0);
            unavailable(after.map_or(AGAIN, |seconds| Duration::from_secs(seconds.into())))
        }
        _ => {
            tracing::warn!(%error, "the API server refuses what a lead wants");
            let detail = format!(
                "The cluster refuses it: {}. Tell a person who can mend that.",
                status.message.trim_end_matches('.')
            );
            Problem::new(Kind::Refused, detail)
        }
    }
}

/// Fields of the Agent that the API server finds wrong, by the names that they have in the lead's body.
fn invalid(status: &Status) -> Problem {
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
