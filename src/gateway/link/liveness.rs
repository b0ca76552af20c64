//! Whether the other side still lives: our pings and its ticks. No I/O and no clock: times are handed in.

use std::time::Duration;

use tokio::time::Instant;

/// How often we ping.
const PING_EVERY: Duration = Duration::from_secs(15);
/// This many pings in a row without a pong: dead.
const MISSED_PINGS: u32 = 2;
/// The gateway's own tick when its hello names none.
const DEFAULT_TICK: Duration = Duration::from_secs(30);

/// Supervision of one connection.
#[derive(Debug)]
pub(super) struct Liveness {
    next_ping: Instant,
    unanswered: u32,
    last_frame: Instant,
    silence_allowed: Duration,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing yet.
    Nothing,
    /// Send a ping.
    Ping,
    /// Give the connection up, for this reason.
    Dead(&'static str),
}

impl Liveness {
    /// `tick` is the interval at which the gateway promised to send a frame.
    pub(super) fn new(now: Instant, tick: Option<Duration>) -> Self {
        let tick = tick.filter(|tick| !tick.is_zero()).unwrap_or(DEFAULT_TICK);
        Self {
            next_ping: now + PING_EVERY,
            unanswered: 0,
            last_frame: now,
            silence_allowed: 2 * tick,
        }
    }

    /// A pong came.
    pub(super) fn pong(&mut self) {
        self.unanswered = 0;
    }

    /// A frame of the protocol came (the tick, if nothing else).
    pub(super) fn frame(&mut self, now: Instant) {
        self.last_frame = now;
    }

    /// When to ask [`Self::due`] again.
    pub(super) fn next(&self) -> Instant {
        self.next_ping.min(self.last_frame + self.silence_allowed)
    }

    /// What is to be done at `now`. A ping is counted as sent.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        if now >= self.last_frame + self.silence_allowed {
            return Due::Dead("the gateway sent nothing for two of its tick intervals");
        }
        if now < self.next_ping {
            return Due::Nothing;
        }
        if self.unanswered >= MISSED_PINGS {
            return Due::Dead("the gateway answered none of the last two pings");
        }
        self.unanswered += 1;
        self.next_ping = now + PING_EVERY;
        Due::Ping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn two_pings_without_a_pong_are_death() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start, Some(TICK));
        assert_eq!(liveness.due(start), Due::Nothing);
        assert_eq!(liveness.due(start + PING_EVERY), Due::Ping);
        assert_eq!(liveness.due(start + 2 * PING_EVERY), Due::Ping);
        liveness.frame(start + 2 * PING_EVERY);
        assert!(matches!(
            liveness.due(start + 3 * PING_EVERY),
            Due::Dead(reason) if reason.contains("pings")
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pong_starts_the_count_again() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start, Some(TICK));
        for round in 1..20 {
            let now = start + round * PING_EVERY;
            liveness.frame(now);
            assert_eq!(liveness.due(now), Due::Ping);
            liveness.pong();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_for_two_ticks_is_death_even_with_pongs() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start, Some(TICK));
        for round in 1..4 {
            assert_eq!(liveness.due(start + round * PING_EVERY), Due::Ping);
            liveness.pong();
        }
        assert_eq!(liveness.next(), start + 2 * TICK);
        assert!(matches!(liveness.due(start + 2 * TICK), Due::Dead(_)));
    }
}
