//! Why a connection ended, from its close code and the gateway's farewell. Pure.

use std::time::Duration;

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
