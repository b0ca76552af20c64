//! Heartbeats: how often an agent wakes by itself and what it is told then. The fields are those of the gateway's
//! `agents.entries.<id>.heartbeat`, plus the checklist, which the gateway keeps apart. No defaults in the schema: every field is inheritable.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rule;

/// When the agent wakes by itself. A field that is not set is inherited: Agent, then Board `agentDefaults`, then Gateway, then the operator's own (`every: 10m`, `target: none`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct Heartbeat {
    /// Time between two beats: a whole number and one of `s`, `m`, `h`, at least `1m`, for example `30m`. `0m` turns the heartbeat off.
    /// Each beat is one turn of the model, with its time and cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-validations" = rule::every()))]
    pub every: Option<String>,
    /// Where the answer goes: `none`, `last`, `owner`, or the id of a channel that the gateway knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-validations" = rule::line("target")))]
    pub target: Option<String>,
    /// The text the model gets at each beat, in place of the gateway's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16_384))]
    pub prompt: Option<String>,
    /// Model for heartbeats, if it is not the agent's, for example `anthropic/claude-haiku`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200), extend("x-kubernetes-validations" = rule::line("model")))]
    pub model: Option<String>,
    /// Hours of the day in which the agent beats. Without it: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_hours: Option<ActiveHours>,
    /// What the agent works through at each beat; the gateway appends it to the prompt. Replaces the built-in checklist.
    // The gateway takes 262 144 bytes; a character has four at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65_536))]
    pub checklist: Option<String>,
}

/// Hours of the day. An `end` before `start` goes over midnight.
// Both ends are required, and must differ: the gateway takes a window with one end for no window, and one of no length for "never".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rule::active_hours()))]
pub struct ActiveHours {
    /// First minute of the window, `HH:MM` from `00:00` to `23:59`.
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-validations" = rule::start_time()))]
    pub start: String,
    /// End of the window, `HH:MM` up to `24:00`, itself outside.
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-validations" = rule::end_time()))]
    pub end: String,
    /// Time zone of both, an IANA name such as `Europe/Berlin`, or `user` or `local` for the gateway's own settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-validations" = rule::timezone()))]
    pub timezone: Option<String>,
}

/// The time that `every` names; zero means that the heartbeat is off. `None` for a text that the schema refuses.
///
/// Accepts the part of the gateway's syntax that says its unit: a whole number of at most five digits and one of `s`, `m`, `h`.
#[must_use]
pub fn parse_every(text: &str) -> Option<Duration> {
    let digits = text.strip_suffix(['s', 'm', 'h'])?;
    if digits.is_empty() || digits.len() > 5 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    let seconds = match text.as_bytes().last()? {
        b's' => 1,
        b'm' => 60,
        _ => 3600,
    };
    Some(Duration::from_secs(count * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_is_read_with_its_unit() {
        for (text, seconds) in [
            ("0m", 0),
            ("90s", 90),
            ("30m", 1800),
            ("1h", 3600),
            ("99999h", 359_996_400),
        ] {
            assert_eq!(
                parse_every(text),
                Some(Duration::from_secs(seconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_the_schema_refuses_is_no_time() {
        for text in [
            "",
            "m",
            "30",
            "1.5h",
            "-1m",
            "+1m",
            "1d",
            "500ms",
            "1h30m",
            "100000s",
            " 1m",
            "1m ",
            "\u{0661}m",
        ] {
            assert_eq!(parse_every(text), None, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC*") {
            if let Some(time) = parse_every(&text) {
                proptest::prop_assert!(time <= Duration::from_hours(99_999));
            }
        }
    }
}
