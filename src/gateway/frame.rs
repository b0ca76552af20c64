//! The frames of protocol 4: parse and serialise, nothing else. Payloads stay raw until somebody who waits for them reads them.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// A frame from the gateway.
#[derive(Debug)]
pub(super) enum Frame<'a> {
    /// The answer to the request with this id.
    Response {
        id: Cow<'a, str>,
        outcome: Result<Option<&'a RawValue>, ErrorBody>,
    },
    /// Something happened.
    Event {
        name: Cow<'a, str>,
        payload: Option<&'a RawValue>,
    },
    /// A kind of frame that this protocol version does not have.
    Unknown,
}

/// Why a request was refused, as the wire says it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorBody {
    #[serde(default)]
    pub(super) code: String,
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) details: Value,
    #[serde(default)]
    retry_after_ms: Option<f64>,
}

impl ErrorBody {
    /// When the gateway wants to be asked again. Never more than an hour, whatever it says.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let milliseconds = self.retry_after_ms?.clamp(0.0, 3_600_000.0);
        Duration::try_from_secs_f64(milliseconds / 1000.0).ok()
    }

    /// A text field of `details`.
    pub(super) fn detail(&self, name: &str) -> Option<&str> {
        self.details.get(name)?.as_str()
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(default)]
    ok: bool,
    #[serde(borrow, default)]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<ErrorBody>,
}

/// Reads one text frame.
pub(super) fn parse(text: &str) -> Result<Frame<'_>, serde_json::Error> {
    let envelope: Envelope<'_> = serde_json::from_str(text)?;
    Ok(match &*envelope.kind {
        "res" => Frame::Response {
            id: envelope.id,
            outcome: if envelope.ok {
                Ok(envelope.payload)
            } else {
                Err(envelope.error.unwrap_or_default())
            },
        },
        "event" => Frame::Event {
            name: envelope.event,
            payload: envelope.payload,
        },
        _ => Frame::Unknown,
    })
}

/// Writes one request frame.
pub(super) fn request(
    id: &str,
    method: &str,
    params: &RawValue,
) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    struct Request<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        id: &'a str,
        method: &'a str,
        params: &'a RawValue,
    }
    serde_json::to_string(&Request {
        kind: "req",
        id,
        method,
        params,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_written_as_the_protocol_says() {
        let params = RawValue::from_string(r#"{"a":1}"#.to_owned()).unwrap();
        assert_eq!(
            request("7", "config.get", &params).unwrap(),
            r#"{"type":"req","id":"7","method":"config.get","params":{"a":1}}"#
        );
    }

    #[test]
    fn an_answer_keeps_its_payload_raw() {
        let Frame::Response { id, outcome } =
            parse(r#"{"type":"res","id":"1","ok":true,"payload":{"x": [1]},"extra":{}}"#).unwrap()
        else {
            panic!("not a response");
        };
        assert_eq!(id, "1");
        assert_eq!(outcome.unwrap().unwrap().get(), r#"{"x": [1]}"#);
    }

    #[test]
    fn a_refusal_carries_code_words_details_and_pause() {
        let Frame::Response { outcome, .. } = parse(
            r#"{"type":"res","id":"1","ok":false,"error":{"code":"UNAVAILABLE","message":"gateway starting; retry shortly","retryable":true,"retryAfterMs":500,"details":{"reason":"startup-sidecars"}}}"#,
        )
        .unwrap() else {
            panic!("not a response");
        };
        let error = outcome.unwrap_err();
        assert_eq!(error.code, "UNAVAILABLE");
        assert_eq!(error.retry_after(), Some(Duration::from_millis(500)));
        assert_eq!(error.detail("reason"), Some("startup-sidecars"));
    }

    #[test]
    fn escapes_in_names_and_kinds_of_frames_nobody_knows_are_no_errors() {
        assert!(matches!(
            parse(r#"{"type":"event","event":"ti\u0063k","seq":4}"#).unwrap(),
            Frame::Event { name, payload: None } if name == "tick"
        ));
        assert!(matches!(
            parse(r#"{"type":"hint"}"#).unwrap(),
            Frame::Unknown
        ));
        assert!(parse("{").is_err());
    }
}
