//! Backoff between delivery attempts.

use std::time::Duration;

use crate::runtime::backoff;

/// Base delays between attempts, growing about exponentially.
const RETRY_DELAYS: [Duration; 6] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(6 * 60 * 60),
];

/// Delay after `tries` failed attempts, with jitter, or `None` after the last one.
pub(super) fn delay_after(tries: u32) -> Option<Duration> {
    let index = usize::try_from(tries).ok()?.checked_sub(1)?;
    RETRY_DELAYS.get(index).copied().map(backoff::with_jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_delays_have_jitter_and_end() {
        assert_eq!(delay_after(0), None);
        for (tries, pause) in (1..).zip(RETRY_DELAYS) {
            for _ in 0..100 {
                let given = delay_after(tries).unwrap();
                assert!(
                    given >= pause && given <= pause.mul_f64(1.2),
                    "{tries}: {given:?}"
                );
            }
        }
        assert_eq!(delay_after(7), None);
    }
}
