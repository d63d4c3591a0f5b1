//! Rates of the last minute, from totals that are read again and again.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::telemetry::metrics::LatencyBuckets;

/// Time over which rates are computed.
const WINDOW: Duration = Duration::from_secs(60);
/// Ends of turns, in the order in which they are shown.
pub(super) const TURN_ENDS: [&str; 4] = ["answered", "refused", "failed", "cancelled"];
/// Kinds of tokens that are sent, other than the tokens of answers.
const INPUT_KINDS: [&str; 4] = ["input", "cache_read", "cache_write", "estimated"];

/// Rates of what a server does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct StatusRates {
    /// Time for which they hold.
    pub(super) span: Duration,
    /// True if that is the time since the server has started.
    pub(super) is_since_start: bool,
    /// Turns each second, by their end.
    pub(super) turns: [f64; TURN_ENDS.len()],
    /// Tokens each second: of prompts and of answers.
    pub(super) tokens: [f64; 2],
    /// Milliseconds to the first token: the median and 95 percent; `None` without any.
    pub(super) first_token_ms: Option<[f64; 2]>,
}

/// Totals at one moment.
#[derive(Debug, Clone, Copy, Default)]
struct StatusTotals {
    /// Start of the server that counts.
    started_at: u64,
    turns: [u64; TURN_ENDS.len()],
    tokens: [u64; 2],
    first_tokens: LatencyBuckets,
}

/// Totals of the last minute.
#[derive(Debug, Default)]
pub(super) struct RateWindow(VecDeque<(Instant, StatusTotals)>);

impl StatusTotals {
    fn from_status(status: &Value) -> Self {
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let pairs = status["first_token_buckets"].as_array();
        let pairs = pairs.map(Vec::as_slice).unwrap_or_default().iter();
        let pairs: Vec<(usize, u64)> = pairs
            .map(|pair| {
                let index = usize::try_from(number(&pair[0])).unwrap_or(usize::MAX);
                (index, number(&pair[1]))
            })
            .collect();
        let tokens = &status["tokens"];
        let input = INPUT_KINDS.iter().map(|kind| number(&tokens[*kind]));
        Self {
            started_at: number(&status["started_at"]),
            turns: TURN_ENDS.map(|end| number(&status["turns"][end])),
            tokens: [input.sum(), number(&tokens["output"])],
            first_tokens: LatencyBuckets::from_pairs(&pairs),
        }
    }
}

impl RateWindow {
    /// Adds the totals of `status`, as read at `now`, and returns the rates up to then. The first
    /// rates are those since the start of the server.
    pub(super) fn add(&mut self, now: Instant, status: &Value) -> StatusRates {
        let totals = StatusTotals::from_status(status);
        let is_other =
            |(_, earlier): &(Instant, StatusTotals)| earlier.started_at != totals.started_at;
        if self.0.back().is_some_and(is_other) {
            // A restarted server counts from 0.
            self.0.clear();
        }
        while self.0.len() > 1 && now.duration_since(self.0[1].0) >= WINDOW {
            self.0.pop_front();
        }
        let first = self.0.front().copied();
        self.0.push_back((now, totals));
        match first {
            Some((then, earlier)) => rates(&totals, &earlier, now.duration_since(then), false),
            None => {
                let clock = status["now"].as_u64().unwrap_or_default();
                let uptime = clock.saturating_sub(totals.started_at);
                let none = StatusTotals::default();
                rates(&totals, &none, Duration::from_secs(uptime), true)
            }
        }
    }
}

fn rates(
    now: &StatusTotals,
    before: &StatusTotals,
    span: Duration,
    is_since_start: bool,
) -> StatusRates {
    // A server that has just started has at least a second, so that nothing is divided by 0.
    let seconds = span.as_secs_f64().max(1.0);
    let per_second = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
    let turns = std::array::from_fn(|index| per_second(now.turns[index], before.turns[index]));
    let tokens = std::array::from_fn(|index| per_second(now.tokens[index], before.tokens[index]));
    let latencies = now.first_tokens - before.first_tokens;
    let median = latencies.percentile(0.5);
    let first_token_ms = median.zip(latencies.percentile(0.95));
    StatusRates {
        span,
        is_since_start,
        turns,
        tokens,
        first_token_ms: first_token_ms.map(|(median, high)| [median, high]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(started_at: u64, answered: u64, output: u64, buckets: &Value) -> Value {
        json!({
            "now": started_at + 100, "started_at": started_at,
            "turns": {"answered": answered, "refused": 0, "failed": 0, "cancelled": 0},
            "tokens": {"input": 10, "cache_read": 20, "cache_write": 0, "output": output, "estimated": 0},
            "first_token_buckets": buckets,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn rates_are_those_of_the_last_minute() {
        let mut window = RateWindow::default();
        let begun = Instant::now();
        let second = Duration::from_secs(1);
        let slow = json!([[80, 200]]);
        let rates = window.add(begun, &status(1, 200, 500, &slow));
        assert!(rates.is_since_start);
        assert_eq!((rates.turns[0], rates.tokens), (2.0, [0.3, 5.0]));

        let both = json!([[40, 100], [80, 200]]);
        let rates = window.add(begun + 10 * second, &status(1, 300, 500, &both));
        assert_eq!((rates.span, rates.is_since_start), (10 * second, false));
        assert_eq!((rates.turns[0], rates.tokens), (10.0, [0.0, 0.0]));
        let [median, high] = rates.first_token_ms.unwrap();
        // Bucket 40 ends at 2 to the power of 5 ms.
        assert!(median <= high && high <= 32.0, "{median} {high}");

        let rates = window.add(begun + 70 * second, &status(1, 360, 500, &both));
        assert_eq!((rates.span, rates.turns[0]), (60 * second, 1.0));
        assert_eq!(rates.first_token_ms, None);
    }

    #[tokio::test(start_paused = true)]
    async fn restarted_server_begins_anew() {
        let mut window = RateWindow::default();
        let begun = Instant::now();
        let none = json!([]);
        window.add(begun, &status(1, 1000, 0, &none));
        let rates = window.add(begun + WINDOW, &status(50, 100, 0, &none));
        assert!(rates.is_since_start);
        assert_eq!(rates.turns[0], 1.0);
    }
}
