//! Where the operator can be killed: a call on one of its two worlds, and a moment of it.

use std::fmt;

use crate::bed::api_proxy::Moment;

/// Methods of the gateway that change something.
const GATEWAY_WRITES: [&str; 9] = [
    "config.patch",
    "config.set",
    "agents.create",
    "agents.delete",
    "agents.files.set",
    "cron.scratch.set",
    "chat.send",
    "sessions.patch",
    "sessions.reset",
];

/// One of the two worlds that the operator acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Side {
    /// The API server.
    Api,
    /// The gateway.
    Gateway,
}

/// A kind of call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Call {
    pub(crate) side: Side,
    /// Verb and resource, or method.
    pub(crate) name: String,
}

impl Call {
    /// Whether it changes what others see. Events are told and never read again.
    pub(crate) fn is_write(&self) -> bool {
        match self.side {
            Side::Api => {
                let is_read = ["get ", "list ", "watch "]
                    .iter()
                    .any(|verb| self.name.starts_with(verb));
                !is_read && !self.name.ends_with(" events")
            }
            Side::Gateway => GATEWAY_WRITES.contains(&self.name.as_str()),
        }
    }
}

/// The so many-th call of a kind in a phase, and the moment of it at which the operator is killed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Site {
    pub(crate) call: Call,
    /// From 1.
    pub(crate) nth: usize,
    /// So many calls of the kind there are in the phase.
    pub(crate) of: usize,
    pub(crate) moment: Moment,
}

impl Site {
    /// Whether it is a write, and the moment before the first or after the last of those that are alike in a phase: what lies between is like
    /// one of them.
    pub(crate) fn is_sample(&self) -> bool {
        let is_edge = match self.moment {
            Moment::Before => self.nth == 1,
            Moment::After => self.nth == self.of,
        };
        self.call.is_write() && is_edge
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            call, nth, moment, ..
        } = self;
        let moment = match moment {
            Moment::Before => "before",
            Moment::After => "after",
        };
        write!(f, "{moment} {} #{nth}", call.name)
    }
}

/// Both moments of each of `calls`, in their order.
pub(crate) fn sites(calls: &[Call]) -> Vec<Site> {
    let nth = |at: usize| {
        calls[..=at]
            .iter()
            .filter(|call| **call == calls[at])
            .count()
    };
    let both = |(at, call): (usize, &Call)| {
        [Moment::Before, Moment::After].map(|moment| Site {
            call: call.clone(),
            nth: nth(at),
            of: calls.iter().filter(|other| *other == call).count(),
            moment,
        })
    };
    calls.iter().enumerate().flat_map(both).collect()
}
