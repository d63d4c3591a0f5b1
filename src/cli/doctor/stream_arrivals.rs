//! Times at which the events of a stream arrive.

use std::time::Duration;

use crate::runtime::checks::CheckFinding;

/// Pause between two events, as the server sends them.
const EVENT_PAUSE: Duration = Duration::from_millis(200);
/// End of an event.
const EVENT_END: &[u8] = b"\n\n";
/// Beginning of an event that is no comment.
const DATA: &[u8] = b"data:";
/// Advice on a proxy that holds events back.
const NO_BUFFERING: &str = "let the proxy pass each event on at once; in nginx: `proxy_buffering off;`, `gzip off;`, and no \
                            `proxy_ignore_headers X-Accel-Buffering`";

/// Arrivals of events since the request.
#[derive(Debug, Default)]
pub(super) struct StreamArrivals {
    pending: Vec<u8>,
    times: Vec<Duration>,
}

impl StreamArrivals {
    /// Adds a piece of the body that arrived `since` the request.
    pub(super) fn add(&mut self, piece: &[u8], since: Duration) {
        self.pending.extend_from_slice(piece);
        while let Some(end) = find(&self.pending, EVENT_END) {
            let event: Vec<u8> = self.pending.drain(..end + EVENT_END.len()).collect();
            if event.starts_with(DATA) {
                self.times.push(since);
            }
        }
    }

    /// Judges whether `expected` events arrived, and one by one.
    pub(super) fn judge(&self, expected: usize) -> CheckFinding {
        let count = self.times.len();
        let Some(first) = self.times.first() else {
            return CheckFinding::fail("no event arrived", NO_BUFFERING);
        };
        let last = self.times.last().unwrap_or(first);
        let within = last.as_millis();
        if count < expected {
            return CheckFinding::fail(
                format!("{count} of {expected} events arrived"),
                "something on the way ends the stream early: see the time-outs and the log of the proxy",
            );
        }
        let pauses = u32::try_from(count - 1).unwrap_or(u32::MAX);
        // Half of the time between the first event and the last: networks vary.
        if *last - *first < EVENT_PAUSE * pauses / 2 {
            return CheckFinding::fail(
                format!("{count} events arrived at once, after {within} ms: they were held back"),
                NO_BUFFERING,
            );
        }
        CheckFinding::pass(format!(
            "{count} events arrived one by one, within {within} ms"
        ))
    }
}

/// Returns the position of `pattern` in `bytes`.
fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes
        .windows(pattern.len())
        .position(|window| window == pattern)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::checks::CheckStatus;

    /// Returns the arrivals of pieces at these milliseconds.
    fn arrivals(pieces: &[(&str, u64)]) -> StreamArrivals {
        let mut arrivals = StreamArrivals::default();
        for (piece, milliseconds) in pieces {
            arrivals.add(piece.as_bytes(), Duration::from_millis(*milliseconds));
        }
        arrivals
    }

    #[test]
    fn events_with_their_pauses_pass() {
        let event = "data: {\"n\":1}\n\n";
        let arrivals = arrivals(&[
            (event, 30),
            (": heartbeat\n\ndata: {\"n\"", 240),
            (":2}\n\n", 245),
            (event, 460),
        ]);
        let finding = arrivals.judge(3);
        assert_eq!(finding.status, CheckStatus::Pass, "{finding:?}");
        assert_eq!(finding.detail, "3 events arrived one by one, within 460 ms");
    }

    #[test]
    fn events_that_arrive_together_fail_with_how_to_turn_buffering_off() {
        let all = "data: 1\n\n".repeat(5);
        let finding = arrivals(&[(all.as_str(), 820)]).judge(5);
        assert_eq!(finding.status, CheckStatus::Fail);
        assert!(finding.detail.contains("at once, after 820 ms"));
        assert!(finding.hint.unwrap().contains("proxy_buffering off;"));
    }

    #[test]
    fn stream_that_breaks_off_fails() {
        let finding = arrivals(&[("data: 1\n\n", 20)]).judge(5);
        assert_eq!(finding.status, CheckStatus::Fail);
        assert_eq!(finding.detail, "1 of 5 events arrived");
        assert_eq!(arrivals(&[]).judge(5).status, CheckStatus::Fail);
    }
}
