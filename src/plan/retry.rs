//! When to come again, as pure functions: spread over time, yet repeatable for one object and attempt.

use std::{hash::Hasher, time::Duration};

/// First wait after an error.
const BASE: Duration = Duration::from_secs(1);
/// Longest wait after an error: what heals by itself shows within five minutes.
const CAP: Duration = Duration::from_mins(5);

/// Wait before try `attempt` (1 for the first retry) of the object `uid`: 1 s doubling to 5 min, each drawn from its upper half.
#[must_use]
pub fn after(uid: &str, attempt: u32) -> Duration {
    let full = BASE
        .saturating_mul(1 << attempt.saturating_sub(1).min(16))
        .min(CAP);
    full.mul_f64(0.5 + 0.5 * fraction(uid, attempt))
}

/// `interval` give or take a tenth, so that what started together does not come back together.
#[must_use]
pub fn jittered(interval: Duration, uid: &str, round: u32) -> Duration {
    interval.mul_f64(0.9 + 0.2 * fraction(uid, round))
}

/// A number from 0 to 1 that depends on nothing but its arguments (FNV-1a: stable across runs, unlike the standard hasher).
fn fraction(uid: &str, attempt: u32) -> f64 {
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    hasher.write(uid.as_bytes());
    hasher.write(&attempt.to_le_bytes());
    // The last bytes reach only the low bits of an FNV hash; one more round spreads them upward.
    hasher.write(&[0; 8]);
    f64::from((hasher.finish() >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_stay_within_their_bounds(uid in ".{0,40}", attempt in 0_u32..1000) {
            let wait = after(&uid, attempt);
            prop_assert!(wait >= BASE / 2 && wait <= CAP);
            prop_assert_eq!(wait, after(&uid, attempt));
            let interval = jittered(Duration::from_secs(600), &uid, attempt);
            prop_assert!(interval >= Duration::from_secs(540) && interval <= Duration::from_secs(660));
        }
    }

    #[test]
    fn objects_that_fail_together_do_not_come_back_together() {
        let waits: std::collections::BTreeSet<_> =
            (0..100).map(|n| after(&format!("uid-{n}"), 8)).collect();
        assert!(waits.len() > 90, "{} different waits", waits.len());
    }
}
