//! Reading bodies: not too much, not for too long, and nothing that is not known. The content type does not matter: curl sends another one.

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::{
    Limits,
    problem::{Kind, Problem},
    types::FieldProblem,
};

/// The whole body.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    limits: &Limits,
) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("A body may have {} bytes at most.", limits.body);
        Problem::new(Kind::TooLarge, detail)
    };
    let announced = headers.get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > limits.body) {
        return Err(too_large());
    }
    let collected = Limited::new(body, limits.body).collect();
    match tokio::time::timeout(limits.patience, collected).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => {
            let detail = "The body broke off. Send it again.";
            Err(Problem::new(Kind::BadBody, detail))
        }
        Err(_) => {
            let seconds = limits.patience.as_secs_f64();
            let detail = format!("The body did not come within {seconds} s. Send it again.");
            Err(Problem::new(Kind::Slow, detail))
        }
    }
}

/// What the body says; `example` is told to whom sends none. No body holds the caller's token: it would be stored where others read it.
pub(super) fn parse<T: DeserializeOwned>(
    body: &[u8],
    token: &SecretString,
    example: Option<&str>,
) -> Result<T, Problem> {
    let example = example.unwrap_or("{}");
    if body.trim_ascii().is_empty() {
        let detail = format!("The body is empty. Send JSON such as {example}");
        return Err(Problem::new(Kind::BadBody, detail));
    }
    let whole = |detail: String| {
        let pointer = "#".to_owned();
        Problem::fields(vec![FieldProblem { pointer, detail }])
    };
    let token = token.expose_secret();
    let holds_token = || {
        let detail = "The body holds your token. It is yours alone and belongs into the header: take it out.";
        whole(detail.to_owned())
    };
    let as_sent = || {
        body.windows(token.len())
            .any(|part| part == token.as_bytes())
    };
    if !token.is_empty() && as_sent() {
        return Err(holds_token());
    }
    let value: Value = serde_json::from_slice(body).map_err(|error| not_json(&error, example))?;
    // As it will be stored, however its characters are escaped here.
    if !token.is_empty() && holds(&value, token) {
        return Err(holds_token());
    }
    // A list would be taken for the fields in their order.
    if !value.is_object() {
        let detail = format!("The body is no JSON object. Send one such as {example}");
        return Err(whole(detail));
    }
    // From the text again, which tells of a field that comes twice.
    let mut json = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut json);
    let parsed = parsed.map_err(|error| {
        let pointer = pointer(error.path());
        let error = error.into_inner();
        if error.is_data() {
            Problem::fields(vec![FieldProblem {
                pointer,
                detail: error.to_string(),
            }])
        } else {
            not_json(&error, example)
        }
    })?;
    json.end().map_err(|error| not_json(&error, example))?;
    Ok(parsed)
}

/// Whether a name or a text anywhere in the value holds `part`.
fn holds(value: &Value, part: &str) -> bool {
    match value {
        Value::String(text) => text.contains(part),
        Value::Array(items) => items.iter().any(|item| holds(item, part)),
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| name.contains(part) || holds(value, part)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn not_json(error: &serde_json::Error, example: &str) -> Problem {
    let detail = format!("The body is not JSON: {error}. Send JSON such as {example}");
    Problem::new(Kind::BadBody, detail)
}

/// The place as a JSON pointer in a URI fragment (RFC 6901).
fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = "#".to_owned();
    for segment in path {
        let part = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&part);
    }
    pointer
}
