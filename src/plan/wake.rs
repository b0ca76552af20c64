//! Waking: a message once per cause, again after 2, 5 and 15 minutes without a sign of life, and then no more. Waking is never more than
//! a message: tokens and sessions stay as they are, unlike in Mission Control.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::{SignedDuration, Timestamp},
};

use crate::api::{
    Agent, annotation,
    condition::{self, Judgement, WOKEN},
    reason::Reason,
    wake::{WakePolicy, WakeStatus},
};

/// What wakes an agent that was made.
pub const PROVISION: &str = "provision";

/// How long a sign of life is waited for after each attempt, in minutes; as many attempts are made.
const WAITS: [i64; 4] = [2, 5, 15, 15];
/// The last of them: for so long an agent must have been silent, and listened to, before it is given up.
const LAST_WAIT: SignedDuration = SignedDuration::from_mins(15);

/// How long after a message its key still says what became of it. The gateway remembers it for five minutes after the turn's end.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(4);
/// When it is looked again whether a turn that is under way has ended.
const UNDER_WAY: SignedDuration = SignedDuration::from_mins(1);

/// What an agent is told where nobody says otherwise.
const MESSAGE: &str = "You have just been set up, or somebody wants you awake. Read AGENTS.md in your workspace and the files that it names, in the order that it gives, then look what there is to do for you. If there is nothing, say so in one line.";

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing is under way.
    Nothing,
    /// Send the message, as this attempt, counted from 1.
    Send(i32),
    /// Wait for a sign of life for this time.
    Wait(SignedDuration),
    /// It showed life.
    Woken,
    /// It did not, after all attempts.
    GiveUp,
}

/// Decides what follows for a wake-up, `last` being the last sign of life. The status knows only the second in which the message was sent;
/// `exactly` tells more, where that is known. Where an answer to the message may have come while nobody
/// listened, `heard_since` says since when somebody does: an agent is not given up before it could be heard for long enough.
#[must_use]
pub fn decide(
    wake: Option<&WakeStatus>,
    exactly: Option<Timestamp>,
    last: Option<Timestamp>,
    heard_since: Option<Timestamp>,
    now: Timestamp,
) -> Step {
    let Some(wake) = wake.filter(|wake| !wake.done) else {
        return Step::Nothing;
    };
    let Some(Time(sent)) = &wake.last_time else {
        return Step::Send(1);
    };
    if last.is_some_and(|last| last > exactly.unwrap_or(*sent)) {
        return Step::Woken;
    }
    let made = usize::try_from(wake.attempts.max(1)).unwrap_or(usize::MAX);
    let wait = SignedDuration::from_mins(WAITS.get(made - 1).copied().unwrap_or_default());
    let left = wait - now.duration_since(*sent);
    if left.is_positive() {
        return Step::Wait(left);
    }
    if made < WAITS.len() {
        return Step::Send(wake.attempts + 1);
    }
    let unheard = heard_since.map(|since| LAST_WAIT - now.duration_since(since));
    match unheard.filter(SignedDuration::is_positive) {
        Some(left) => Step::Wait(left),
        None => Step::GiveUp,
    }
}

/// What tells one process of a gateway from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process<'a> {
    /// Its identity.
    pub boot_id: &'a str,
    /// For how long it runs; `None` where it does not say.
    pub age: Option<SignedDuration>,
}

/// Whether the gateway can say by a message's key what became of it; `had_by` is the process that has it, where that is known. One that was
/// started since does not know the key and would begin a second turn, beside the first, which it takes up again by itself.
#[must_use]
pub fn is_known(
    sent: Timestamp,
    had_by: Option<&str>,
    process: Process<'_>,
    now: Timestamp,
) -> bool {
    let ago = now.duration_since(sent);
    let is_same = match had_by {
        Some(boot_id) => boot_id == process.boot_id,
        None => process.age.is_none_or(|age| age >= ago),
    };
    is_same && ago < REMEMBERED
}

/// Whether it matters for this step if a turn is under way: nothing more is said to an agent that is at work, and it is not given up.
#[must_use]
pub fn waits_for_turns(step: Step) -> bool {
    matches!(step, Step::GiveUp | Step::Send(2..))
}

/// What is done instead while a turn is under way. The gateway ends one that hangs.
#[must_use]
pub fn until_turn_ends(step: Step) -> Step {
    if waits_for_turns(step) {
        Step::Wait(UNDER_WAY)
    } else {
        step
    }
}

/// The time of a message that is sent now, as it is kept: in whole seconds, and after the last sign of life, which is no answer to it.
#[must_use]
pub fn sent_at(last: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let sent = whole_seconds(now);
    match last {
        Some(last) if last > sent => sent
            .checked_add(SignedDuration::from_secs(1))
            .unwrap_or(sent),
        _ => sent,
    }
}

/// As the API server keeps times: a finer one would differ from what comes back.
#[must_use]
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// The wake-up of an agent that is being made, if it is to be woken then. One that somebody asked for and that is under way begins anew:
/// it is the new agent that has to answer.
#[must_use]
pub fn on_provision(agent: &Agent) -> Option<WakeStatus> {
    let asked = agent.status.as_ref().and_then(|it| it.wake.as_ref());
    let is_under_way = |wake: &&WakeStatus| {
        let made = usize::try_from(wake.attempts).unwrap_or_default();
        wake.cause != PROVISION && !wake.done && made < WAITS.len()
    };
    if let Some(asked) = asked.filter(is_under_way) {
        return Some(begun(&asked.cause, asked.message.clone()));
    }
    let policy = agent.spec.wake.as_ref().and_then(|wake| wake.policy);
    (policy.unwrap_or_default() == WakePolicy::OnProvision).then(|| begun(PROVISION, None))
}

/// Whether an agent is to be woken because it was made, and was not sent anything yet.
#[must_use]
pub fn is_planned(wake: &WakeStatus) -> bool {
    wake.cause == PROVISION && wake.attempts == 0 && !wake.done
}

/// The wake-up that the value asks for.
#[must_use]
pub fn asked(agent: &Agent, value: &str) -> WakeStatus {
    let annotations = agent.metadata.annotations.as_ref();
    let of = |name: &str| annotations.and_then(|all| all.get(name)).cloned();
    // Only the annotation has a message of its own.
    let message = of(annotation::WAKE_MESSAGE)
        .filter(|_| of(annotation::WAKE).is_some_and(|asked| asked == value));
    begun(value, message)
}

fn begun(cause: &str, message: Option<String>) -> WakeStatus {
    WakeStatus {
        cause: cause.to_owned(),
        message,
        attempts: 0,
        last_time: None,
        done: false,
    }
}

/// What the agent is told.
#[must_use]
pub fn message(agent: &Agent, wake: &WakeStatus) -> String {
    let declared = agent.spec.wake.as_ref().and_then(|it| it.message.clone());
    let own = wake.message.clone().or(declared);
    own.unwrap_or_else(|| MESSAGE.to_owned())
}

/// What the condition says after a step.
#[must_use]
pub fn judge(wake: Option<&WakeStatus>, gave_up: bool) -> Judgement {
    match wake {
        None => Judgement::unknown(
            WOKEN,
            Reason::NotAsked,
            "Nobody asked for the agent to be woken.",
        ),
        Some(_) if gave_up => Judgement::fails(
            WOKEN,
            Reason::WakeGaveUp,
            "The agent showed no sign of life after four messages. See its last turns on the gateway, its model and its provider; then wake it again with another value of wake.now.",
        ),
        Some(wake) if wake.done => Judgement::holds(
            WOKEN,
            Reason::Woken,
            "The agent was woken, and showed life since.",
        ),
        Some(_) => Judgement::unknown(
            WOKEN,
            Reason::Waking,
            "The agent is being woken; a sign of life is waited for, and the message sent again after 2, 5 and 15 minutes, unless a turn is under way then.",
        ),
    }
}

/// What the condition says of a message that the gateway did not take.
#[must_use]
pub fn refused(why: &str) -> Judgement {
    Judgement::fails(
        WOKEN,
        Reason::Rejected,
        format!(
            "The gateway did not take the message to the agent: {why}. Change what is in its way there, or spec.wake.message; it is sent again after 2, 5 and 15 minutes, and for another value of wake.now."
        ),
    )
}

/// What was said of a message that the gateway did not take; it holds until the next one is sent.
#[must_use]
pub fn refused_before(conditions: &[Condition]) -> Option<Judgement> {
    let said = condition::find(conditions, WOKEN)?;
    (said.reason == Reason::Rejected.as_str())
        .then(|| Judgement::fails(WOKEN, Reason::Rejected, said.message.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_sent_once_and_again_only_while_nobody_answers() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let ago = |minutes| now - SignedDuration::from_mins(minutes);
        let mins = SignedDuration::from_mins;
        let wake = |attempts, sent: Option<i64>| WakeStatus {
            attempts,
            last_time: sent.map(|minutes| Time(ago(minutes))),
            ..begun("x", None)
        };
        let done = WakeStatus {
            done: true,
            ..wake(1, Some(99))
        };
        // The wake-up, the last sign of life, and since when one can be heard, where it may have come before.
        for (wake, last, since, expected) in [
            (None, None, None, Step::Nothing),
            (Some(done), None, None, Step::Nothing),
            // A sign of life from before is no answer.
            (Some(wake(0, None)), Some(ago(1)), None, Step::Send(1)),
            (
                Some(wake(1, Some(1))),
                Some(ago(2)),
                None,
                Step::Wait(mins(1)),
            ),
            (
                Some(wake(1, Some(1))),
                Some(ago(1)),
                None,
                Step::Wait(mins(1)),
            ),
            (Some(wake(1, Some(1))), Some(ago(0)), None, Step::Woken),
            (Some(wake(1, Some(2))), None, None, Step::Send(2)),
            (Some(wake(2, Some(4))), None, None, Step::Wait(mins(1))),
            (Some(wake(2, Some(5))), None, None, Step::Send(3)),
            (Some(wake(3, Some(15))), None, None, Step::Send(4)),
            (Some(wake(4, Some(14))), None, None, Step::Wait(mins(1))),
            (Some(wake(4, Some(15))), None, None, Step::GiveUp),
            (Some(wake(4, Some(15))), Some(ago(3)), None, Step::Woken),
            (Some(wake(9, Some(15))), None, None, Step::GiveUp),
            // An answer may have come while nobody listened.
            (Some(wake(4, Some(60))), None, Some(5), Step::Wait(mins(10))),
            (Some(wake(4, Some(60))), None, Some(0), Step::Wait(mins(15))),
            (Some(wake(4, Some(60))), None, Some(15), Step::GiveUp),
            (Some(wake(3, Some(15))), None, Some(0), Step::Send(4)),
        ] {
            let said = decide(wake.as_ref(), None, last, since.map(ago), now);
            assert_eq!(said, expected, "{wake:?}, {since:?}");
        }
    }

    #[test]
    fn an_answer_within_the_second_of_the_message_counts_where_its_moment_is_known() {
        let now: Timestamp = "2026-11-22T12:00:10.9Z".parse().unwrap();
        let at = |millis| now - SignedDuration::from_millis(millis);
        // Kept as 12:00:11, because of a sign of life at 10.5; sent at 10.6.
        let wake = WakeStatus {
            attempts: 1,
            last_time: Some(Time(sent_at(Some(at(400)), at(300)))),
            ..begun("x", None)
        };
        for (exactly, last, is_woken) in [
            (None, at(400), false),
            (None, at(200), false),
            (Some(at(300)), at(400), false),
            (Some(at(300)), at(200), true),
        ] {
            let said = decide(Some(&wake), exactly, Some(last), None, now);
            assert_eq!(said == Step::Woken, is_woken, "{exactly:?} {last}");
        }
    }

    #[test]
    fn only_the_process_that_has_a_message_is_asked_for_it_and_only_while_it_remembers() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        // When it was sent, which process has it, and how old the one of now is, in minutes.
        for (sent, had_by, age, expected) in [
            (1, Some("now"), Some(9), true),
            (1, Some("now"), None, true),
            (4, Some("now"), Some(9), false),
            // Restarted since.
            (1, Some("before"), Some(9), false),
            (1, Some("before"), None, false),
            // Sent by an operator that has ended.
            (1, None, Some(9), true),
            (2, None, Some(1), false),
            (1, None, None, true),
            (4, None, Some(9), false),
        ] {
            let process = Process {
                boot_id: "now",
                age: age.map(SignedDuration::from_mins),
            };
            let sent = now - SignedDuration::from_mins(sent);
            let is_known = is_known(sent, had_by, process, now);
            assert_eq!(is_known, expected, "{sent} {had_by:?} {process:?}");
        }
    }

    #[test]
    fn nothing_more_is_said_to_an_agent_at_work_and_it_is_not_given_up() {
        let wait = Step::Wait(SignedDuration::from_secs(9));
        for (step, expected) in [
            (Step::Nothing, Step::Nothing),
            (Step::Woken, Step::Woken),
            (wait, wait),
            // The first message is for its cause, whatever the agent does.
            (Step::Send(1), Step::Send(1)),
            (Step::Send(2), Step::Wait(UNDER_WAY)),
            (Step::Send(4), Step::Wait(UNDER_WAY)),
            (Step::GiveUp, Step::Wait(UNDER_WAY)),
        ] {
            assert_eq!(until_turn_ends(step), expected);
        }
    }

    #[test]
    fn a_sign_of_life_of_the_same_second_is_an_answer_only_where_it_came_after_the_message() {
        let at = |text: &str| {
            format!("2026-11-22T12:00:{text}Z")
                .parse::<Timestamp>()
                .unwrap()
        };
        for (last, now, sent) in [
            (None, "10.9", "10"),
            (Some("09.9"), "10.9", "10"),
            (Some("10"), "10.9", "10"),
            (Some("10.5"), "10.9", "11"),
        ] {
            let last = last.map(at);
            let kept = sent_at(last, at(now));
            assert_eq!(kept, at(sent), "{last:?}");
            assert!(last.is_none_or(|last| last <= kept), "{last:?}");
        }
    }

    #[test]
    fn a_new_agent_is_woken_for_what_was_asked_and_else_because_it_is_new() {
        let wake = |cause: &str, attempts, done| WakeStatus {
            attempts,
            done,
            last_time: Some(Time(Timestamp::UNIX_EPOCH)),
            ..begun(cause, Some("Up!".to_owned()))
        };
        let again = Some(begun("x", Some("Up!".to_owned())));
        let new = Some(begun(PROVISION, None));
        for (before, expected) in [
            (None, new.clone()),
            (Some(wake("x", 2, false)), again),
            (Some(wake("x", 2, true)), new.clone()),
            (Some(wake("x", 4, false)), new.clone()),
            (Some(wake(PROVISION, 2, false)), new),
        ] {
            let mut agent = Agent::new("agent", crate::api::AgentSpec::default());
            agent.status.get_or_insert_default().wake = before.clone();
            assert_eq!(on_provision(&agent), expected, "{before:?}");
        }
    }
}
