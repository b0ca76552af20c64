//! How many config writes a minute. The gateway counts them in fixed windows; never more than the limit in any 60 s fits all of them.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

const WINDOW: Duration = Duration::from_mins(1);

/// The writes of the last minute.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    spent: VecDeque<Instant>,
    /// The gateway said so.
    not_before: Option<Instant>,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            spent: VecDeque::new(),
            not_before: None,
        }
    }

    /// When the next write may go.
    fn free_at(&self, now: Instant) -> Instant {
        let recent = |at: &&Instant| now.duration_since(**at) < WINDOW;
        let full = self.spent.iter().filter(recent).count() >= self.limit;
        let oldest_that_blocks = self.spent.iter().rev().nth(self.limit - 1);
        let window = match oldest_that_blocks {
            Some(at) if full => *at + WINDOW,
            _ => now,
        };
        window.max(self.not_before.unwrap_or(now))
    }

    /// Waits until a write may go, and counts it.
    pub(super) async fn spend(&mut self) {
        loop {
            let now = Instant::now();
            let free_at = self.free_at(now);
            if free_at <= now {
                self.not_before = None;
                self.spent.push_back(now);
                if self.spent.len() > self.limit {
                    self.spent.pop_front();
                }
                return;
            }
            tracing::info!(
                seconds = free_at.duration_since(now).as_secs(),
                "config writes wait for the gateway's rate limit"
            );
            sleep_until(free_at).await;
        }
    }

    /// The gateway wants no write for so long.
    pub(super) fn hold(&mut self, pause: Duration) {
        self.not_before = Some(Instant::now() + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_minute_holds_more_writes_than_the_limit() {
        let mut budget = Budget::new(3);
        let start = Instant::now();
        let mut writes = Vec::new();
        for _ in 0..10 {
            budget.spend().await;
            writes.push(start.elapsed());
            tokio::time::advance(Duration::from_secs(7)).await;
        }
        for from in &writes {
            let within = writes
                .iter()
                .filter(|at| *at >= from && **at < *from + WINDOW)
                .count();
            assert!(within <= 3, "{within} writes from {from:?}: {writes:?}");
        }
        // It does not wait longer than it must either.
        assert!(
            writes.iter().max() <= Some(&Duration::from_secs(190)),
            "{writes:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_gateway_says_about_time_is_kept() {
        let mut budget = Budget::new(30);
        budget.spend().await;
        budget.hold(Duration::from_secs(38));
        let start = Instant::now();
        budget.spend().await;
        assert_eq!(start.elapsed().as_secs(), 38);
    }
}
