//! Whether an agent is online: what follows from when it was last heard of, and since when anything could be heard.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::api::{
    condition::{Judgement, ONLINE, Status},
    reason::Reason,
};

/// Shortest time without a sign of life after which an agent counts as offline.
pub const SHORTEST: SignedDuration = SignedDuration::from_mins(5);

/// What is known of an agent's signs of life.
#[derive(Clone, Copy, Debug)]
pub struct Signs {
    /// Time between two heartbeats as it is on the gateway; zero where it has none.
    pub every: SignedDuration,
    /// When it was last heard of.
    pub last: Option<Timestamp>,
    /// Since when its gateway could tell of it without a break; `None` while it cannot.
    pub heard_since: Option<Timestamp>,
    /// Since when it beats so, as far as that was seen: nothing could have been heard before.
    pub beats_since: Timestamp,
}

/// What is said, and when to look again for it to become something else by time alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The condition `Online`.
    pub judgement: Judgement,
    /// Time after which an agent that says nothing more is offline; only where it is not known yet.
    pub look_in: Option<SignedDuration>,
}

/// Time without a sign of life after which an agent that beats `every` counts as offline: two beats and a half, and never less than
/// five minutes.
#[must_use]
pub fn window(every: SignedDuration) -> SignedDuration {
    (every * 5 / 2).max(SHORTEST)
}

/// Judges. No time stands in a message: it would move with every beat.
#[must_use]
pub fn judge(signs: &Signs, now: Timestamp) -> Said {
    let said = |judgement| Said {
        judgement,
        look_in: None,
    };
    if signs.every.is_zero() {
        return said(Judgement::unknown(
            ONLINE,
            Reason::NoHeartbeat,
            "The agent has no heartbeat, so nothing tells whether it is there.",
        ));
    }
    let window = window(signs.every);
    let in_words = words(window);
    if signs
        .last
        .is_some_and(|last| now.duration_since(last) < window)
    {
        let message = format!("The agent was heard of within the last {in_words}.");
        return said(Judgement::holds(ONLINE, Reason::Alive, message));
    }
    let Some(since) = signs.heard_since else {
        return said(Judgement::unknown(
            ONLINE,
            Reason::GatewayUnreachable,
            "The gateway is not connected, so nobody tells whether the agent is there.",
        ));
    };
    let listened = now.duration_since(since.max(signs.beats_since));
    if listened < window {
        let message = format!(
            "Nothing was heard of the agent yet; after {in_words} without a sign of life it counts as offline."
        );
        return Said {
            judgement: Judgement::unknown(ONLINE, Reason::NotHeardYet, message),
            look_in: Some(window - listened),
        };
    }
    let message = format!(
        "Nothing was heard of the agent for {in_words}: no heartbeat ended well on the gateway and it made no call. See its last runs there (openclaw cron runs), its model and its provider."
    );
    said(Judgement::fails(ONLINE, Reason::Silent, message))
}

/// What is said while a pause keeps the agent from beating.
#[must_use]
pub fn paused() -> Judgement {
    Judgement::unknown(
        ONLINE,
        Reason::NoHeartbeat,
        "The agent does not beat while the pause lasts, so nothing tells whether it is there.",
    )
}

/// What is said while the agent is not confirmed yet at the place that it moves to.
#[must_use]
pub fn moving(gateway: &str) -> Judgement {
    Judgement::unknown(
        ONLINE,
        Reason::Pending,
        format!("The agent moves to Gateway {gateway}; nothing can be heard of it there yet."),
    )
}

/// What is said while nothing tells how often the agent beats.
#[must_use]
pub fn without_every() -> Judgement {
    Judgement::unknown(
        ONLINE,
        Reason::Pending,
        "Nothing tells how often the agent is to beat: what it belongs to is not there or does not allow it, and its entry on the gateway could not be read. Accepted says why.",
    )
}

/// A time that a gateway told, or that was kept. One that is still to come says nothing: the clock it is from is ahead of ours.
#[must_use]
pub fn credible(told: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    told.filter(|told| *told <= now)
}

/// The event that people are told when the condition turns. Not where it is only known again, as after a start of the operator or an outage
/// of the gateway: that would be one for each agent. `was_heard` says that the agent had been heard of before.
#[must_use]
pub fn event(before: Option<&str>, now: Status, was_heard: bool) -> Option<&'static str> {
    match (before, now) {
        (Some("False"), Status::True) => Some("WentOnline"),
        (Some("Unknown") | None, Status::True) if !was_heard => Some("WentOnline"),
        (Some("True"), Status::False) => Some("WentOffline"),
        _ => None,
    }
}

fn words(time: SignedDuration) -> String {
    let minutes = time.as_mins();
    if minutes % 60 == 0 {
        format!("{} h", minutes / 60)
    } else {
        format!("{minutes} min")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_offline_only_after_two_beats_and_a_half_in_which_it_could_have_been_heard() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let ago = |minutes| Some(now - SignedDuration::from_mins(minutes));
        let (on, off, unknown) = (Status::True, Status::False, Status::Unknown);
        let not_yet = Reason::NotHeardYet;
        // Time between heartbeats, the last sign of life, and since when anything is heard and the agent beats so.
        for (every, last, heard_since, beats_since, status, reason, look_in) in [
            (0, ago(1), ago(99), 99, unknown, Reason::NoHeartbeat, None),
            (10, ago(24), ago(99), 99, on, Reason::Alive, None),
            (10, ago(25), ago(99), 99, off, Reason::Silent, None),
            // Never less than five minutes.
            (1, ago(4), ago(99), 99, on, Reason::Alive, None),
            (1, ago(5), ago(99), 99, off, Reason::Silent, None),
            // Right after a start, or while nobody could have told, nothing is said for sure.
            (10, ago(60), ago(5), 99, unknown, not_yet, Some(20)),
            (10, None, ago(0), 99, unknown, not_yet, Some(25)),
            (10, None, ago(25), 99, off, Reason::Silent, None),
            (
                10,
                ago(60),
                None,
                99,
                unknown,
                Reason::GatewayUnreachable,
                None,
            ),
            // An agent that is new, that was paused, or that has beaten more rarely.
            (10, None, ago(99), 0, unknown, not_yet, Some(25)),
            (10, ago(60), ago(99), 5, unknown, not_yet, Some(20)),
            (1, ago(20), ago(99), 1, unknown, not_yet, Some(4)),
            (1, ago(20), ago(99), 5, off, Reason::Silent, None),
            (1, ago(20), ago(2), 5, unknown, not_yet, Some(3)),
            // A call of its own is heard without the gateway.
            (10, ago(1), None, 99, on, Reason::Alive, None),
        ] {
            let signs = Signs {
                every: SignedDuration::from_mins(every),
                last,
                heard_since,
                beats_since: now - SignedDuration::from_mins(beats_since),
            };
            let said = judge(&signs, now);
            assert_eq!(said.judgement.status, status, "{signs:?}");
            assert_eq!(said.judgement.reason, reason, "{signs:?}");
            assert_eq!(
                said.look_in,
                look_in.map(SignedDuration::from_mins),
                "{signs:?}"
            );
        }
    }

    #[test]
    fn a_time_that_is_still_to_come_is_not_believed() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let second = SignedDuration::from_secs(1);
        for (told, expected) in [
            (None, None),
            (Some(now - second), Some(now - second)),
            (Some(now), Some(now)),
            (Some(now + second), None),
        ] {
            assert_eq!(credible(told, now), expected);
        }
    }

    #[test]
    fn people_are_told_who_comes_and_goes_and_not_what_is_known_again() {
        use Status::{False, True, Unknown};
        for (before, now, was_heard, told) in [
            (None, Unknown, false, None),
            // Its first sign of life.
            (None, True, false, Some("WentOnline")),
            (Some("Unknown"), True, false, Some("WentOnline")),
            // After a start of the operator, or an outage.
            (Some("Unknown"), True, true, None),
            (Some("Unknown"), False, true, None),
            (Some("Unknown"), False, false, None),
            (Some("True"), Unknown, true, None),
            (Some("False"), Unknown, true, None),
            (Some("True"), True, true, None),
            (Some("False"), True, true, Some("WentOnline")),
            (Some("False"), True, false, Some("WentOnline")),
            (Some("True"), False, true, Some("WentOffline")),
        ] {
            assert_eq!(event(before, now, was_heard), told, "{before:?} {now:?}");
        }
    }
}
