//! Delays between attempts.
//!
//! Jitter spreads retries of simultaneous failures.

use std::time::Duration;

/// Exponential backoff: delays that double with each failure, up to a maximum.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    first: Duration,
    max: Duration,
}

impl Backoff {
    /// Creates a backoff from the delay after the first failure and the maximum, both without
    /// jitter.
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max }
    }

    /// Returns the delay after `failures` consecutive failures, with jitter.
    pub fn delay(self, failures: u32) -> Duration {
        // Bounded, since a shift by 32 or more overflows; the maximum is reached before.
        let doublings = failures.saturating_sub(1).min(31);
        let delay = self.first.saturating_mul(1 << doublings);
        with_jitter(delay.min(self.max))
    }
}

/// Returns `delay` with up to a fifth of it added at random.
pub fn with_jitter(delay: Duration) -> Duration {
    random_between(delay, delay.saturating_add(delay / 5))
}

/// Returns a random duration from `min` to `max`.
pub fn random_between(min: Duration, max: Duration) -> Duration {
    min + max.saturating_sub(min).mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_maximum_with_jitter() {
        let seconds = Duration::from_secs;
        let backoff = Backoff::new(seconds(1), seconds(30));
        for (failures, least) in [(0, 1), (1, 1), (2, 2), (5, 16), (6, 30), (u32::MAX, 30)] {
            let delays: Vec<_> = (0..100).map(|_| backoff.delay(failures)).collect();
            let least = seconds(least);
            assert!(
                delays
                    .iter()
                    .all(|delay| (least..=least.mul_f64(1.2)).contains(delay)),
                "{failures}: {delays:?}"
            );
            assert!(delays.iter().any(|delay| *delay != delays[0]), "no jitter");
        }
    }
}
