//! Conditions: their types, how a new judgement is merged into them, and how `Ready`, `Reconciling` and `Stalled` follow from the others.
//!
//! Pure: the time is passed in. `Reconciling` and `Stalled` are abnormal-true as kstatus reads them: never both `True`, and both `False` once `Ready` is `True`.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::reason::{Class, Reason};

/// Everything that was asked for is there, and the gateway confirmed it.
pub const READY: &str = "Ready";
/// Not Ready yet, and it may come right by itself.
pub const RECONCILING: &str = "Reconciling";
/// Not Ready, and only an edit can help.
pub const STALLED: &str = "Stalled";

/// Gateway: the link is up.
pub const REACHABLE: &str = "Reachable";
/// Gateway: the credential was accepted.
pub const AUTHENTICATED: &str = "Authenticated";
/// Gateway: it can do what the operator needs.
pub const COMPATIBLE: &str = "Compatible";

/// Nothing is written, or only as much as keeps agents from beating, because somebody wants it so.
pub const PAUSED: &str = "Paused";

/// Gateway: its main agent is Ready, or none is declared. Not part of Ready: that agent waits for the Gateway.
pub const MAIN_AGENT_READY: &str = "MainAgentReady";

/// Gateway: on it are agents of this cluster that no Agent stands for. True is what should not be; not part of Ready.
pub const ORPHANED_AGENTS: &str = "OrphanedAgents";

/// Board: its Gateway is there and allows it.
pub const GATEWAY_RESOLVED: &str = "GatewayResolved";

/// Board: its lead is Ready, or none is declared.
pub const LEAD_READY: &str = "LeadReady";

/// Agent: its references hold and its id is its own.
pub const ACCEPTED: &str = "Accepted";
/// Agent: its token stands in its Secret.
pub const TOKEN_READY: &str = "TokenReady";
/// Agent: the gateway has it.
pub const REGISTERED: &str = "Registered";
/// Agent: the gateway lists its model. Not part of Ready: the gateway accepts any name and may learn it later.
pub const MODEL_AVAILABLE: &str = "ModelAvailable";
/// Agent: the gateway has its heartbeat and checklist.
pub const HEARTBEAT_CONFIGURED: &str = "HeartbeatConfigured";
/// Agent: the gateway has its files.
pub const FILES_SYNCED: &str = "FilesSynced";

/// Agent: it was woken, and showed life. Not part of Ready.
pub const WOKEN: &str = "Woken";
/// Agent: it was heard of in time. Not part of Ready.
pub const ONLINE: &str = "Online";

/// The conditions of one kind.
#[derive(Clone, Copy, Debug)]
pub struct ConditionSet {
    /// Those that Ready stands on, the first cause first.
    pub required: &'static [&'static str],
    /// Those that Ready does not look at.
    pub informative: &'static [&'static str],
    /// Message of Ready while it holds.
    pub ready_message: &'static str,
}

/// The conditions of a Gateway.
pub const GATEWAY: ConditionSet = ConditionSet {
    required: &[REACHABLE, AUTHENTICATED, COMPATIBLE],
    informative: &[MAIN_AGENT_READY, ORPHANED_AGENTS, PAUSED],
    ready_message: "The gateway is connected and can be driven.",
};

/// The conditions of a Board.
pub const BOARD: ConditionSet = ConditionSet {
    required: &[GATEWAY_RESOLVED, LEAD_READY],
    informative: &[PAUSED],
    ready_message: "The Board's Gateway is there and allows it, and so is the lead that it declares.",
};

/// The conditions of an Agent.
pub const AGENT: ConditionSet = ConditionSet {
    required: &[
        ACCEPTED,
        TOKEN_READY,
        REGISTERED,
        HEARTBEAT_CONFIGURED,
        FILES_SYNCED,
    ],
    informative: &[MODEL_AVAILABLE, WOKEN, ONLINE, PAUSED],
    ready_message: "The gateway confirmed the agent as declared.",
};

/// Longest message we write, in characters. The schema takes 32 768; a message is for people, and every Agent carries several.
const MAX_MESSAGE: usize = 2048;

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Not judged, or not to be known now.
    Unknown,
}

impl Status {
    /// The word as it stands in a condition.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What was found about one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Type of the condition, one of the constants here.
    pub type_: &'static str,
    /// Whether it holds.
    pub status: Status,
    /// Why.
    pub reason: Reason,
    /// What happened and what to do next.
    pub message: String,
}

impl Judgement {
    /// It holds.
    pub fn holds(type_: &'static str, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            type_,
            status: Status::True,
            reason,
            message: message.into(),
        }
    }

    /// It does not hold.
    pub fn fails(type_: &'static str, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            type_,
            status: Status::False,
            reason,
            message: message.into(),
        }
    }

    /// It is not known.
    pub fn unknown(type_: &'static str, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            type_,
            status: Status::Unknown,
            reason,
            message: message.into(),
        }
    }
}

/// The condition of a type.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == type_)
}

/// Whether the condition of a type is there and `True`.
#[must_use]
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|c| c.status == Status::True.as_str())
}

/// Merges one judgement in. `lastTransitionTime` moves to `now` only if the status differs from before; a message longer than 2048 characters is cut.
pub fn set(
    conditions: &mut Vec<Condition>,
    judgement: Judgement,
    generation: Option<i64>,
    now: Timestamp,
) {
    let Judgement {
        type_,
        status,
        reason,
        message,
    } = judgement;
    let position = conditions.iter().position(|c| c.type_ == type_);
    let since = position
        .and_then(|i| conditions.get(i))
        .filter(|c| c.status == status.as_str())
        .map_or(Time(now), |c| c.last_transition_time.clone());
    let condition = Condition {
        type_: type_.to_owned(),
        status: status.as_str().to_owned(),
        reason: reason.as_str().to_owned(),
        message: cut(message),
        observed_generation: generation,
        last_transition_time: since,
    };
    match position.and_then(|i| conditions.get_mut(i)) {
        Some(slot) => *slot = condition,
        None => conditions.push(condition),
    }
}

impl ConditionSet {
    /// Merges what was judged into `conditions` and derives `Ready`, `Reconciling` and `Stalled` from it.
    ///
    /// Afterwards every condition of the kind is there, in a fixed order, and no other. One that was never judged is `Unknown`
    /// with reason Pending; one that was judged before and is not judged now stays as it is, with the generation it was judged at,
    /// and says something about Ready only if that is `generation`: neither that it holds nor why it does not. A judgement of type [`READY`] takes the place of the derived one
    /// (an object that is being deleted says so there).
    pub fn merge(
        self,
        conditions: &mut Vec<Condition>,
        judgements: Vec<Judgement>,
        generation: Option<i64>,
        now: Timestamp,
    ) {
        let mut ready = None;
        for judgement in judgements {
            if judgement.type_ == READY {
                ready = Some(judgement);
            } else {
                set(conditions, judgement, generation, now);
            }
        }
        for &type_ in self.required.iter().chain(self.informative) {
            if find(conditions, type_).is_none() {
                set(
                    conditions,
                    Judgement::unknown(type_, Reason::Pending, "Not judged yet."),
                    generation,
                    now,
                );
            }
        }
        let ready = ready.unwrap_or_else(|| self.ready(conditions, generation));
        for judgement in summary(ready) {
            set(conditions, judgement, generation, now);
        }
        self.arrange(conditions);
    }

    /// `Ready` as it follows from the required conditions: the cause is the first that is Stalled, else the first `False`, else the first `Unknown`.
    fn ready(self, conditions: &[Condition], generation: Option<i64>) -> Judgement {
        let missing: Vec<Judgement> = self
            .required
            .iter()
            .filter_map(|&type_| missing(type_, find(conditions, type_), generation))
            .collect();
        let cause = missing
            .iter()
            .find(|j| j.reason.class() == Class::Stalled)
            .or_else(|| missing.iter().find(|j| j.status == Status::False))
            .or_else(|| missing.first());
        cause.map_or_else(
            || Judgement::holds(READY, Reason::Reconciled, self.ready_message),
            |cause| Judgement {
                type_: READY,
                ..cause.clone()
            },
        )
    }

    fn arrange(self, conditions: &mut Vec<Condition>) {
        let order: Vec<&str> = self
            .required
            .iter()
            .chain(self.informative)
            .copied()
            .chain([READY, RECONCILING, STALLED])
            .collect();
        let place = |c: &Condition| order.iter().position(|&t| t == c.type_);
        conditions.retain(|c| place(c).is_some());
        conditions.sort_by_key(|c| place(c));
    }
}

/// Why a required condition does not carry Ready, or nothing if it does.
fn missing(
    type_: &'static str,
    condition: Option<&Condition>,
    generation: Option<i64>,
) -> Option<Judgement> {
    let pending = || {
        Judgement::unknown(
            type_,
            Reason::Pending,
            format!("{type_} is not judged yet for the newest change."),
        )
    };
    let condition = condition.filter(|it| it.observed_generation == generation);
    let Some(condition) = condition else {
        return Some(pending());
    };
    let status = match condition.status.as_str() {
        "True" => return None,
        "False" => Status::False,
        _ => Status::Unknown,
    };
    // A word that this version does not know was written by another one; it is judged again soon.
    let reason = Reason::parse(&condition.reason).unwrap_or(Reason::Pending);
    Some(Judgement {
        type_,
        status,
        reason,
        message: condition.message.clone(),
    })
}

/// `Ready` with the two conditions kstatus reads beside it.
#[must_use]
pub fn summary(ready: Judgement) -> [Judgement; 3] {
    let Judgement {
        reason,
        ref message,
        ..
    } = ready;
    let class = match (ready.status, reason.class()) {
        (Status::True, _) => Class::Fine,
        (_, Class::Stalled) => Class::Stalled,
        _ => Class::Progressing,
    };
    let (reconciling, stalled) = match class {
        Class::Fine => (
            Judgement::fails(RECONCILING, Reason::Reconciled, "Nothing is left to do."),
            Judgement::fails(STALLED, Reason::Reconciled, "Nothing is in the way."),
        ),
        Class::Progressing => (
            Judgement::holds(RECONCILING, reason, message.clone()),
            Judgement::fails(
                STALLED,
                reason,
                "It may come right without an edit of this object.",
            ),
        ),
        Class::Stalled => (
            Judgement::fails(RECONCILING, reason, "Nothing happens until an edit."),
            Judgement::holds(STALLED, reason, message.clone()),
        ),
    };
    [ready, reconciling, stalled]
}

/// At most [`MAX_MESSAGE`] characters, with a sign that something is missing.
fn cut(message: String) -> String {
    match message.char_indices().nth(MAX_MESSAGE - 1) {
        Some((end, last)) if message.len() > end + last.len_utf8() => {
            let mut kept: String = message.chars().take(MAX_MESSAGE - 1).collect();
            kept.push('\u{2026}');
            kept
        }
        _ => message,
    }
}

#[cfg(test)]
mod tests;
