//! What becomes of an agent's token: minted where there is none, replaced where that is asked for or it is old enough.
//!
//! The Secret is the only truth. It holds the token that the files carry and, during a rotation, the next one: that goes into the files
//! first and takes the other's place only when the gateway has confirmed them, so that at every moment every token in a file is taken.
//! It holds as well which values of the once-fields its newest token was minted for: one that is asked for meanwhile waits for its turn.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::api::{Agent, annotation::FINALIZER};

/// What a Secret says of its tokens, without them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// It holds the token that the files carry, or are to carry first.
    pub has_current: bool,
    /// It holds the next one: a rotation is under way.
    pub has_next: bool,
    /// When the newest of them was minted.
    pub minted: Option<Timestamp>,
}

/// What is to be done before files are rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing; the token comes of age after this time, if ever.
    Keep(Option<SignedDuration>),
    /// Mint the first token.
    Mint,
    /// Mint the next token beside the current one.
    MintNext,
}

/// Whether the Agent's token is read soon after a start, so that it is worth waiting for before an unknown token is said to be nobody's. One
/// that is being deleted and that others hold is not looked at any more.
#[must_use]
pub fn is_expected(agent: &Agent) -> bool {
    let status = agent.status.as_ref();
    let is_looked_at = agent.metadata.deletion_timestamp.is_none()
        || agent.finalizers().iter().any(|held| held == FINALIZER);
    is_looked_at && status.is_some_and(|status| status.token_secret_name.is_some())
}

/// Decides; `asked` says that a rotation is due that was not begun yet.
#[must_use]
pub fn decide(
    stored: Stored,
    asked: bool,
    rotate_every: Option<SignedDuration>,
    now: Timestamp,
) -> Step {
    if !stored.has_current {
        return Step::Mint;
    }
    // One at a time: what is asked for meanwhile stays due until the one that is under way has ended.
    if stored.has_next {
        return Step::Keep(None);
    }
    if asked {
        return Step::MintNext;
    }
    let Some(every) = rotate_every else {
        return Step::Keep(None);
    };
    // A token whose age nobody knows counts as old.
    let Some(minted) = stored.minted else {
        return Step::MintNext;
    };
    let left = every - now.duration_since(minted);
    if left.is_positive() {
        Step::Keep(Some(left))
    } else {
        Step::MintNext
    }
}

/// Why the next token does not take the other's place, although the files are as wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The agent leaves another gateway: its files there carry the one before.
    Moving,
    /// AGENTS.md carries the one before, and is not put back.
    InFile,
}

/// Decides; `is_in_file` says that the current token stands in an AGENTS.md that the operator leaves alone.
#[must_use]
pub const fn held(is_moving: bool, is_in_file: bool) -> Option<Held> {
    match (is_moving, is_in_file) {
        (true, _) => Some(Held::Moving),
        (false, true) => Some(Held::InFile),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::api::AgentSpec;

    #[test]
    fn a_token_is_minted_once_and_replaced_when_asked_or_when_it_is_old() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let hour = SignedDuration::from_hours(1);
        let stored = |has_current, has_next, age: Option<i64>| Stored {
            has_current,
            has_next,
            minted: age.map(|minutes| now - SignedDuration::from_mins(minutes)),
        };
        let half = SignedDuration::from_mins(30);
        for (stored, asked, every, expected) in [
            (Stored::default(), false, None, Step::Mint),
            (Stored::default(), true, Some(hour), Step::Mint),
            (stored(true, false, Some(30)), false, None, Step::Keep(None)),
            (stored(true, false, Some(30)), true, None, Step::MintNext),
            (
                stored(true, false, Some(30)),
                false,
                Some(hour),
                Step::Keep(Some(half)),
            ),
            (
                stored(true, false, Some(60)),
                false,
                Some(hour),
                Step::MintNext,
            ),
            (stored(true, false, None), false, Some(hour), Step::MintNext),
            (stored(true, false, None), false, None, Step::Keep(None)),
            (
                stored(true, true, Some(90)),
                true,
                Some(hour),
                Step::Keep(None),
            ),
            (stored(false, true, Some(90)), true, Some(hour), Step::Mint),
        ] {
            assert_eq!(decide(stored, asked, every, now), expected, "{stored:?}");
        }
    }

    #[test]
    fn tokens_are_awaited_of_those_whose_agents_are_looked_at() {
        let ours = || vec![FINALIZER.to_owned(), "other/one".to_owned()];
        let others = || vec!["other/one".to_owned()];
        for (has_token, is_leaving, finalizers, expected) in [
            (true, false, ours(), true),
            (true, false, Vec::new(), true),
            (true, true, ours(), true),
            (true, true, others(), false),
            (false, false, ours(), false),
        ] {
            let mut agent = Agent::new("a", AgentSpec::default());
            agent.metadata.deletion_timestamp = is_leaving.then_some(Time(Timestamp::UNIX_EPOCH));
            agent.metadata.finalizers = Some(finalizers);
            let status = agent.status.get_or_insert_default();
            status.token_secret_name = has_token.then(|| "a-token".to_owned());
            assert_eq!(is_expected(&agent), expected, "{:?}", agent.metadata);
        }
    }

    #[test]
    fn a_token_that_stands_in_a_file_is_not_replaced_by_one_that_does_not() {
        for (is_moving, is_in_file, expected) in [
            (false, false, None),
            (false, true, Some(Held::InFile)),
            (true, false, Some(Held::Moving)),
            (true, true, Some(Held::Moving)),
        ] {
            assert_eq!(held(is_moving, is_in_file), expected);
        }
    }
}
