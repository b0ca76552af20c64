//! Why a connection ended, from its close code and the gateway's farewell. Pure.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::super::LinkError;

/// The close code for a restart and for a plain shutdown.
const SERVICE_RESTART: u16 = 1012;
/// The close code while the gateway starts.
const TRY_AGAIN_LATER: u16 = 1013;
/// A gateway that is starting asked to be tried again in half a second.
const STARTING_PAUSE: Duration = Duration::from_millis(500);
/// A small gateway was back 2.7 s after an in-process restart.
const RESTART_PAUSE: Duration = Duration::from_millis(1500);
/// After a farewell a gateway that does not answer is taken to be restarting for this long; a big one takes most of a minute.
pub(super) const RESTART: Duration = Duration::from_mins(2);

/// When a gateway that says goodbye expects to be back, from the payload of its farewell; never more than [`RESTART`], whatever it
/// says: a link must not sleep for ever over one number.
pub(super) fn announced(farewell: Option<&RawValue>) -> Option<Duration> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Farewell {
        #[serde(default)]
        restart_expected_ms: Option<u64>,
    }
    let farewell: Farewell = serde_json::from_str(farewell?.get()).ok()?;
    let announced = Duration::from_millis(farewell.restart_expected_ms?);
    Some(announced.min(RESTART))
}

/// What the end of a connection means. `announced` is the farewell's `restartExpectedMs`.
pub(super) fn lost(close: Option<&CloseFrame>, announced: Option<Duration>) -> LinkError {
    let Some(close) = close else {
        return LinkError::Lost {
            detail: "the gateway ended it without a word".to_owned(),
            restart_after: announced,
        };
    };
    let code = u16::from(close.code);
    let reason = close.reason.as_str();
    match code {
        TRY_AGAIN_LATER => LinkError::Starting {
            message: reason.to_owned(),
            retry_after: Some(STARTING_PAUSE),
        },
        SERVICE_RESTART => LinkError::Lost {
            detail: format!("close code {code} {reason}"),
            restart_after: announced.or(Some(RESTART_PAUSE)),
        },
        _ => LinkError::Lost {
            detail: format!("close code {code} {reason}").trim_end().to_owned(),
            restart_after: announced,
        },
    }
}

/// Whether the gateway said that it would be back when the connection ended.
pub(super) fn is_restart(error: &LinkError) -> bool {
    matches!(
        error,
        LinkError::Lost {
            restart_after: Some(_),
            ..
        }
    )
}

/// What it means that a connection cannot be made while a restart is under way: nobody listens yet, or a proxy has nobody to forward to.
pub(super) fn while_restarting(error: LinkError) -> LinkError {
    match error {
        LinkError::Unreachable { .. }
        | LinkError::NotAGateway { status: None, .. }
        | LinkError::Lost { .. } => LinkError::Starting {
            message: "it restarts, as it said when it closed the connection".to_owned(),
            retry_after: None,
        },
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

    use super::*;

    fn closed(code: u16) -> LinkError {
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: "service restart".into(),
        };
        lost(Some(&frame), None)
    }

    #[test]
    fn a_gateway_that_says_goodbye_is_expected_back() {
        assert!(is_restart(&closed(1012)));
        assert!(is_restart(&lost(None, Some(Duration::from_secs(1)))));
        assert!(!is_restart(&closed(4001)));
        assert!(!is_restart(&lost(None, None)));
        assert!(matches!(closed(1013), LinkError::Starting { .. }));
    }

    #[test]
    fn a_farewell_never_keeps_the_link_away_for_longer_than_a_restart_lasts() {
        for (farewell, expected) in [
            (
                r#"{"reason":"gateway restarting","restartExpectedMs":1500}"#,
                Some(Duration::from_millis(1500)),
            ),
            (
                r#"{"restartExpectedMs":18446744073709551615}"#,
                Some(RESTART),
            ),
            (r#"{"reason":"gateway stopping"}"#, None),
            (r#"{"restartExpectedMs":-1}"#, None),
        ] {
            let payload = RawValue::from_string(farewell.to_owned()).unwrap();
            assert_eq!(announced(Some(&payload)), expected, "{farewell}");
        }
        assert_eq!(announced(None), None);
    }

    #[test]
    fn nobody_there_is_no_news_while_a_restart_is_under_way_but_a_refusal_is() {
        let unreachable = LinkError::Unreachable {
            address: "gateway:1".to_owned(),
            source: std::io::ErrorKind::ConnectionRefused.into(),
        };
        let waits = while_restarting(unreachable);
        assert!(matches!(waits, LinkError::Starting { .. }), "{waits}");
        assert!(while_restarting(LinkError::NoScopes).is_refusal());
    }
}
