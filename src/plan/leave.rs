//! How long an agent that is to go from one gateway may still wait for it. What is done about it when the time is over is
//! `controller::agent::leave`.

use std::time::Duration;

/// How long anything may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// For a gateway that is only away.
    pub deletion: Duration,
    /// For one whose Gateway or namespace goes too.
    pub teardown: Duration,
}

/// The Gateway object that is left, as far as it decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftGateway {
    /// `spec.paused`.
    pub is_paused: bool,
    /// How long ago it was deleted, if it was.
    pub deleted: Option<Duration>,
}

/// An agent that is not off its gateway yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// How long ago it was asked for.
    pub asked: Duration,
    /// How long this process has met what keeps it there.
    pub tried: Duration,
    /// Whether the Agent's namespace is being deleted.
    pub namespace_goes: bool,
    /// The Gateway object, where it is still there.
    pub gateway: Option<LeftGateway>,
}

impl Leaving {
    /// Whether it waits for the end of a pause. Nothing waits for that whose Gateway or namespace goes too.
    #[must_use]
    pub fn is_for_pause(&self) -> bool {
        let pauses = |gateway: LeftGateway| gateway.is_paused && gateway.deleted.is_none();
        !self.namespace_goes && self.gateway.is_some_and(pauses)
    }

    /// What is left of the short time, where that one holds: where the Gateway or the namespace goes too.
    #[must_use]
    pub fn short_time(&self, deadlines: Deadlines) -> Option<Duration> {
        let tried = match self.gateway {
            None => self.tried,
            Some(_) if self.namespace_goes => self.tried,
            // Not longer ago than it was deleted: before that, the long time held.
            Some(gateway) => self.tried.min(gateway.deleted?),
        };
        Some(deadlines.teardown.saturating_sub(tried))
    }

    /// How long it may still wait for the gateway: as long as it is paused, long while it is only away, short when the Gateway or the
    /// namespace goes too. Never less than the short time since this process met what it waits for, however long ago it was asked for:
    /// after a start nothing was tried yet.
    #[must_use]
    pub fn time(&self, deadlines: Deadlines) -> Duration {
        if let Some(short) = self.short_time(deadlines) {
            return short;
        }
        if self.is_for_pause() {
            // Somebody wants it to wait.
            return Duration::MAX;
        }
        let long = deadlines.deletion.saturating_sub(self.asked);
        long.max(deadlines.teardown.saturating_sub(self.tried))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINES: Deadlines = Deadlines {
        deletion: Duration::from_hours(1),
        teardown: Duration::from_secs(30),
    };
    const AWAY: LeftGateway = LeftGateway {
        is_paused: false,
        deleted: None,
    };
    const PAUSED: LeftGateway = LeftGateway {
        is_paused: true,
        deleted: None,
    };

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const fn deleted(gateway: LeftGateway, since: u64) -> LeftGateway {
        LeftGateway {
            deleted: Some(seconds(since)),
            ..gateway
        }
    }

    #[test]
    fn how_long_it_waits_is_said_by_what_becomes_of_the_gateway() {
        for (what, gateway, namespace_goes, asked, tried, time) in [
            ("only away", Some(AWAY), false, 60, 60, seconds(3540)),
            (
                "asked for while nobody tried",
                Some(AWAY),
                false,
                7200,
                0,
                seconds(30),
            ),
            ("and tried since", Some(AWAY), false, 7200, 29, seconds(1)),
            ("long enough", Some(AWAY), false, 7200, 60, Duration::ZERO),
            ("paused", Some(PAUSED), false, 7200, 7200, Duration::MAX),
            (
                "paused, and the namespace goes",
                Some(PAUSED),
                true,
                60,
                10,
                seconds(20),
            ),
            (
                "paused and deleted",
                Some(deleted(PAUSED, 10)),
                false,
                60,
                60,
                seconds(20),
            ),
            (
                "deleted after long trying",
                Some(deleted(AWAY, 1)),
                false,
                600,
                600,
                seconds(29),
            ),
            (
                "deleted long ago, and not tried",
                Some(deleted(AWAY, 600)),
                false,
                600,
                0,
                seconds(30),
            ),
            (
                "deleted long ago, and tried",
                Some(deleted(AWAY, 600)),
                false,
                600,
                30,
                Duration::ZERO,
            ),
            (
                "the namespace goes",
                Some(AWAY),
                true,
                1,
                31,
                Duration::ZERO,
            ),
            ("the Gateway is gone", None, false, 1, 25, seconds(5)),
        ] {
            let leaving = Leaving {
                asked: seconds(asked),
                tried: seconds(tried),
                namespace_goes,
                gateway,
            };
            assert_eq!(leaving.time(DEADLINES), time, "{what}");
            assert_eq!(leaving.is_for_pause(), time == Duration::MAX, "{what}");
        }
    }

    #[test]
    fn the_short_time_holds_only_where_something_else_goes_too() {
        let leaving = |gateway, namespace_goes| Leaving {
            asked: seconds(5),
            tried: seconds(5),
            namespace_goes,
            gateway,
        };
        for (gateway, namespace_goes, short) in [
            (Some(AWAY), false, None),
            (Some(PAUSED), false, None),
            (Some(AWAY), true, Some(seconds(25))),
            (Some(deleted(AWAY, 5)), false, Some(seconds(25))),
            (None, false, Some(seconds(25))),
        ] {
            assert_eq!(
                leaving(gateway, namespace_goes).short_time(DEADLINES),
                short,
                "{gateway:?}, {namespace_goes}"
            );
        }
    }
}
