//! What is said when a call is not answered: `application/problem+json` as in RFC 9457, with the request's id and never a token.

use std::time::Duration;

use axum::{
    http::{HeaderValue, Response as HttpResponse, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::types::{FieldProblem, ProblemBody};

/// What kind of problem it is; the one table of types, status codes and titles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    BadBody,
    Unauthenticated,
    Forbidden,
    NoBoard,
    NotOnBoard,
    NoSuchPath,
    NoSuchMethod,
    Slow,
    NameTaken,
    DisplayNameTaken,
    BoardFull,
    NotNow,
    NotYours,
    Refused,
    TooLarge,
    InvalidField,
    TooMany,
    Fault,
    NotReady,
    NotYet,
    Unavailable,
}

impl Kind {
    pub(super) const fn code(self) -> u16 {
        match self {
            Self::BadBody => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NoBoard | Self::NotOnBoard | Self::NoSuchPath => 404,
            Self::NoSuchMethod => 405,
            Self::Slow => 408,
            Self::NameTaken
            | Self::DisplayNameTaken
            | Self::BoardFull
            | Self::NotNow
            | Self::NotYours
            | Self::Refused => 409,
            Self::TooLarge => 413,
            Self::InvalidField => 422,
            Self::TooMany => 429,
            Self::Fault => 500,
            Self::NotReady | Self::NotYet | Self::Unavailable => 503,
        }
    }

    /// The end of the type's URN, and the title.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::BadBody => ("bad-body", "The body cannot be read"),
            Self::Unauthenticated => ("unauthenticated", "The token is missing or nobody's"),
            Self::Forbidden => ("forbidden", "Your role may not make this call"),
            Self::NoBoard => ("no-board", "You have no board"),
            Self::NotOnBoard => ("not-on-board", "There is no such agent on your board"),
            Self::NoSuchPath => ("no-such-call", "There is no such call"),
            Self::NoSuchMethod => ("no-such-method", "The call has another method"),
            Self::Slow => ("slow", "The body did not come in time"),
            Self::NameTaken => ("name-taken", "The name is taken"),
            Self::DisplayNameTaken => ("display-name-taken", "The display name is taken"),
            Self::BoardFull => ("board-full", "The board is full"),
            Self::NotNow => ("not-now", "This cannot be done now"),
            Self::NotYours => ("not-yours", "Somebody else has the say over it"),
            Self::Refused => ("refused", "The cluster refuses it"),
            Self::TooLarge => ("too-large", "The body is too large"),
            Self::InvalidField => ("invalid-field", "A field is wrong"),
            Self::TooMany => ("too-many-requests", "Too many requests"),
            Self::Fault => ("fault", "The operator failed"),
            Self::NotReady => ("not-ready", "The operator is starting"),
            Self::NotYet => ("not-yet", "It is too early for this"),
            Self::Unavailable => ("unavailable", "The cluster cannot be asked"),
        }
    }

    /// What it is, in words.
    pub(super) const fn title(self) -> &'static str {
        self.words().1
    }
}

/// Why a call is not answered, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    kind: Kind,
    detail: String,
    fields: Vec<FieldProblem>,
    retry_after: Option<Duration>,
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            fields: Vec::new(),
            retry_after: None,
        }
    }

    /// One that passes by itself.
    pub(super) fn passing(kind: Kind, detail: impl Into<String>, after: Duration) -> Self {
        Self {
            retry_after: Some(after),
            ..Self::new(kind, detail)
        }
    }

    /// Fields that are wrong, each by its JSON pointer.
    pub(super) fn fields(fields: Vec<FieldProblem>) -> Self {
        let told: Vec<_> = fields
            .iter()
            .map(|field| match field.pointer.strip_prefix("#/") {
                Some(path) => format!("{}: {}", path.replace('/', "."), field.detail),
                None => field.detail.clone(),
            })
            .collect();
        Self {
            fields,
            ..Self::new(Kind::InvalidField, told.join("; "))
        }
    }

    /// The same for a name that is not on the board and for one of another board, so that nobody learns what exists elsewhere.
    pub(super) fn not_on_board() -> Self {
        Self::new(
            Kind::NotOnBoard,
            "There is no agent of this name on your board. GET /agents lists those that there are.",
        )
    }

    /// What was read is not so any more.
    pub(super) fn changed() -> Self {
        Self::new(
            Kind::NotNow,
            "Somebody else changed it at the same time. Look at it again, and repeat the call if it is still wanted.",
        )
    }

    /// The same whoever has the name, and wherever.
    pub(super) fn name_taken() -> Self {
        Self::new(
            Kind::NameTaken,
            "There is an agent of this name, or the name is kept for one. Choose another name.",
        )
    }

    /// The same, where something was done before.
    pub(super) fn after(self, done: &str) -> Self {
        Self {
            detail: format!("{done} {}", self.detail),
            ..self
        }
    }

    #[cfg(test)]
    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    #[cfg(test)]
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Whole seconds, and one at least.
    fn seconds(&self) -> Option<u64> {
        let after = self.retry_after?;
        let begun = u64::from(after.subsec_nanos() > 0);
        Some((after.as_secs() + begun).max(1))
    }

    /// As it is sent. What the caller gave as its token is nowhere in it, whatever the detail was made of.
    pub(super) fn render(&self, request_id: &str, tokens: &[&str]) -> Response {
        let (slug, title) = self.kind.words();
        let clean = |text: &str| {
            let tokens = tokens.iter().filter(|token| !token.is_empty());
            tokens.fold(text.to_owned(), |text, token| {
                text.replace(token, "[token]")
            })
        };
        let fields = self.fields.iter().map(|field| FieldProblem {
            pointer: clean(&field.pointer),
            detail: clean(&field.detail),
        });
        let body = ProblemBody {
            type_: format!("urn:mission-operator:problem:{slug}"),
            title: title.to_owned(),
            status: self.kind.code(),
            detail: clean(&self.detail),
            request_id: request_id.to_owned(),
            errors: fields.collect(),
        };
        let text = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = HttpResponse::new(text.into());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.kind == Kind::Unauthenticated {
            let challenge = HeaderValue::from_static(r#"Bearer realm="mission-operator""#);
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.seconds() {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// Without a body: the request's id is known outside only, where it is [rendered](Problem::render).
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}
