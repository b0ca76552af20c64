//! How long a link waits before it tries again: a pure function of what went wrong, how often, and one random number.

use std::time::Duration;

use super::super::LinkError;

/// A connection that was up this long has shown that the trouble is over.
pub(super) const SETTLED: Duration = Duration::from_mins(1);

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// A gateway that is there, or will be, and does not say when it is ready.
const LONGEST_START: Duration = Duration::from_secs(5);
/// A refused credential is shown again after 2, 4, 8, 10, 10, .. minutes: three times in ten minutes at most. The gateway locks an
/// address out for five minutes after ten failures within one.
const FIRST_REFUSAL: Duration = Duration::from_mins(2);
const LONGEST_REFUSAL: Duration = Duration::from_mins(10);
/// A person may approve the device at any time; asking costs no lockout, since the secret is right.
const PAIRING: Duration = Duration::from_secs(10);
/// A gateway that says when it will be ready is asked soon after that, not all at once.
const READY_SPREAD: Duration = Duration::from_secs(1);

/// The pause after failure number `attempt` (0 is the first); `random` is uniform in 0..1.
pub(super) fn pause(error: &LinkError, attempt: u32, random: f64) -> Duration {
    match error {
        LinkError::Unauthorized { retry_after, .. } => {
            doubled(FIRST_REFUSAL, LONGEST_REFUSAL, attempt)
                .max(retry_after.unwrap_or_default())
                .mul_f64(1.0 + 0.1 * random)
        }
        LinkError::NoScopes => {
            doubled(FIRST_REFUSAL, LONGEST_REFUSAL, attempt).mul_f64(1.0 + 0.1 * random)
        }
        LinkError::PairingRequired { .. } => PAIRING.mul_f64(1.0 + 0.1 * random),
        LinkError::Starting {
            retry_after: Some(after),
            ..
        }
        | LinkError::Lost {
            restart_after: Some(after),
            ..
        } => *after + READY_SPREAD.mul_f64(random),
        LinkError::Starting { .. } => doubled(FIRST, LONGEST_START, attempt).mul_f64(random),
        _ => doubled(FIRST, LONGEST, attempt).mul_f64(random),
    }
}

fn doubled(first: Duration, longest: Duration, attempt: u32) -> Duration {
    first
        .saturating_mul(2_u32.saturating_pow(attempt))
        .min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(restart_after: Option<Duration>) -> LinkError {
        LinkError::Lost {
            detail: String::new(),
            restart_after,
        }
    }

    fn unauthorized(retry_after: Option<Duration>) -> LinkError {
        LinkError::Unauthorized {
            code: "AUTH_TOKEN_MISMATCH".to_owned(),
            message: String::new(),
            retry_after,
        }
    }

    #[test]
    fn the_pause_is_full_jitter_from_half_a_second_to_thirty() {
        for (attempt, longest) in [
            (0, 500),
            (1, 1000),
            (4, 8000),
            (6, 30_000),
            (u32::MAX, 30_000),
        ] {
            assert_eq!(pause(&lost(None), attempt, 0.0), Duration::ZERO);
            assert_eq!(
                pause(&lost(None), attempt, 1.0),
                Duration::from_millis(longest)
            );
        }
    }

    #[test]
    fn a_gateway_that_starts_is_asked_every_few_seconds() {
        let starting = LinkError::Starting {
            message: String::new(),
            retry_after: None,
        };
        assert_eq!(pause(&starting, u32::MAX, 1.0), LONGEST_START);
        assert_eq!(pause(&starting, 0, 1.0), FIRST);
    }

    #[test]
    fn a_refused_credential_is_shown_three_times_in_ten_minutes_at_most() {
        let mut at = Duration::ZERO;
        let mut tries = Vec::new();
        for attempt in 0..10 {
            tries.push(at);
            at += pause(&unauthorized(None), attempt, 0.0);
        }
        for from in &tries {
            let within = tries
                .iter()
                .filter(|at| *at >= from && **at < *from + Duration::from_mins(10))
                .count();
            assert!(within <= 3, "{within} tries from {from:?}");
        }
    }

    #[test]
    fn what_the_gateway_says_about_time_is_kept() {
        let lockout = Duration::from_mins(15);
        assert!(pause(&unauthorized(Some(lockout)), 0, 0.0) >= lockout);
        let restart = Duration::from_millis(1500);
        assert!(pause(&lost(Some(restart)), 7, 0.0) >= restart);
        assert!(pause(&lost(Some(restart)), 7, 1.0) <= restart + READY_SPREAD);
    }
}
