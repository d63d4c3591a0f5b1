//! Delays between attempts to reach a server that was there before.

use std::time::Duration;

use hyper::StatusCode;

/// Delay before the first attempt; it doubles up to the maximum.
const MIN_DELAY: Duration = Duration::from_millis(250);
const MAX_DELAY: Duration = Duration::from_secs(5);
/// Maximum number of attempts in a row, which take about two minutes.
const MAX_ATTEMPTS: u32 = 30;

/// Number of attempts in a row that reached no server.
#[derive(Debug, Default)]
pub(super) struct ReconnectAttempts(u32);

impl ReconnectAttempts {
    /// Returns the delay before the next attempt; `None` if there were enough.
    pub(super) fn next_delay(&mut self) -> Option<Duration> {
        if self.0 == MAX_ATTEMPTS {
            return None;
        }
        let delay = MIN_DELAY * 2u32.pow(self.0.min(16));
        self.0 += 1;
        Some(delay.min(MAX_DELAY))
    }

    /// Begins to count anew, since the server was reached.
    pub(super) fn reset(&mut self) {
        self.0 = 0;
    }
}

/// True for a status of a server that may answer the same request later: it is busy or restarts.
pub(super) fn may_pass(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_slow_down_and_end_after_minutes() {
        let mut attempts = ReconnectAttempts::default();
        let delays: Vec<Duration> = std::iter::from_fn(|| attempts.next_delay()).collect();
        assert_eq!(delays[..3], [MIN_DELAY, 2 * MIN_DELAY, 4 * MIN_DELAY]);
        assert_eq!(delays.last(), Some(&MAX_DELAY));
        let sum: Duration = delays.iter().sum();
        let minutes = Duration::from_secs(60)..Duration::from_secs(300);
        assert!(minutes.contains(&sum), "{sum:?}");
        attempts.reset();
        assert_eq!(attempts.next_delay(), Some(MIN_DELAY));
    }
}
