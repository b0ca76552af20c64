//! How often one may call: each agent, each address, and each address with tokens that are nobody's.

use std::{
    hash::Hash,
    net::IpAddr,
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock};

use super::problem::{Kind, Problem};
use crate::{
    metrics::{Limit, Metrics},
    server::share::network,
};

/// After so many checks what has recovered its whole burst is forgotten.
const SWEEP: u64 = 4096;

/// Bytes of a body: a whole `SOUL.md` in JSON, each of its characters written as `\uXXXX`, with room to spare.
pub(super) const BODY: usize = 160 * 1024;

/// So many calls a minute, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Calls that come back each minute.
    pub per_minute: NonZeroU32,
    /// Calls at once.
    pub burst: NonZeroU32,
}

impl Rate {
    /// So many a minute and so many at once; zero counts as one.
    #[must_use]
    pub const fn new(per_minute: u32, burst: u32) -> Self {
        const fn at_least_one(number: u32) -> NonZeroU32 {
            match NonZeroU32::new(number) {
                Some(number) => number,
                None => NonZeroU32::MIN,
            }
        }
        Self {
            per_minute: at_least_one(per_minute),
            burst: at_least_one(burst),
        }
    }
}

/// What callers may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls of one agent, whatever its token.
    pub agent: Rate,
    /// Calls from one address without a good token, those that need none included, and calls of agents over their own limit. All agents of a
    /// gateway share an address, so what they call within their limits counts for nobody else.
    pub address: Rate,
    /// Calls from one address that are refused because they have no token, or one that is nobody's.
    pub failures: Rate,
    /// Bytes of a body.
    pub body: usize,
    /// How long a body may take to come.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            agent: Rate::new(60, 30),
            address: Rate::new(6000, 6000),
            failures: Rate::new(30, 30),
            body: BODY,
            patience: Duration::from_secs(10),
        }
    }
}

/// Counts who called how often.
pub(super) struct Gate {
    agents: Meter<String>,
    addresses: Meter<IpAddr>,
    failures: Meter<IpAddr>,
    metrics: Metrics,
}

impl Gate {
    pub(super) fn new(limits: &Limits, metrics: Metrics) -> Self {
        Self {
            agents: Meter::new(limits.agent),
            addresses: Meter::new(limits.address),
            failures: Meter::new(limits.failures),
            metrics,
        }
    }

    /// One more call from this address that no agent answers for.
    pub(super) fn at_address(&self, address: IpAddr) -> Result<(), Problem> {
        let checked = self.addresses.check(&network(address));
        self.told(
            checked,
            Limit::address,
            "There are too many calls from your address.",
        )
    }

    /// One more call from this address for which no agent is found.
    pub(super) fn failed(&self, address: IpAddr) -> Result<(), Problem> {
        let checked = self.failures.check(&network(address));
        self.told(
            checked,
            Limit::failures,
            "Too many calls from your address had no token, or one that is nobody's. Read the token in your AGENTS.md again.",
        )
    }

    /// One more call of the agent with this uid.
    pub(super) fn by_agent(&self, uid: &String) -> Result<(), Problem> {
        let checked = self.agents.check(uid);
        self.told(checked, Limit::agent, "You call too often.")
    }

    fn told(
        &self,
        checked: Result<(), Duration>,
        limit: Limit,
        detail: &str,
    ) -> Result<(), Problem> {
        checked.map_err(|after| {
            self.metrics.agent_api_limited(limit);
            let detail =
                format!("{detail} Wait for as many seconds as the header Retry-After says.");
            Problem::passing(Kind::TooMany, detail, after)
        })
    }
}

struct Meter<K: Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<K>,
    checks: AtomicU64,
}

impl<K: Hash + Eq + Clone> Meter<K> {
    fn new(rate: Rate) -> Self {
        let quota = Quota::per_minute(rate.per_minute).allow_burst(rate.burst);
        Self {
            limiter: RateLimiter::keyed(quota),
            checks: AtomicU64::new(0),
        }
    }

    /// Errors with how long to wait.
    fn check(&self, key: &K) -> Result<(), Duration> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        let checked = self.limiter.check_key(key);
        checked.map_err(|until| until.wait_time_from(self.limiter.clock().now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_remembered_for_longer_than_it_matters() {
        // A thousand calls a second come back, so that each is forgotten a millisecond later.
        let meter = Meter::new(Rate::new(60_000, 1));
        for caller in 0..200_000_u32 {
            meter.check(&caller).ok();
        }
        let kept = meter.limiter.len();
        assert!(kept < 100_000, "{kept} of 200000 callers are kept");
        std::thread::sleep(Duration::from_millis(2));
        for _ in 0..SWEEP {
            meter.check(&0).ok();
        }
        assert!(meter.limiter.len() <= 1);
    }

    #[test]
    fn who_calls_too_often_is_told_how_long_to_wait() {
        let gate = Gate::new(
            &Limits {
                agent: Rate::new(60, 2),
                ..Limits::default()
            },
            Metrics::default(),
        );
        let (a, b) = ("a".to_owned(), "b".to_owned());
        assert!(gate.by_agent(&a).is_ok() && gate.by_agent(&a).is_ok());
        let problem = gate.by_agent(&a).unwrap_err();
        assert_eq!(problem.kind(), Kind::TooMany);
        assert_eq!(problem.render("id", &[]).headers()["retry-after"], "1");
        assert!(gate.by_agent(&b).is_ok(), "another agent goes on");
    }
}
