//! What is left, and how `OpenAI`'s headers tell it.

use std::time::Duration;

/// What is left of the limits of a caller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    /// Of the requests a minute; none without such a limit.
    pub requests: Option<Level>,
    /// Of the tokens a minute; none without such a limit.
    pub tokens: Option<Level>,
}

/// What is left of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// The most there is in a minute.
    pub limit: u32,
    /// How much of it is there.
    pub remaining: u32,
    /// When all of it is there again, if nobody takes more.
    pub reset: Duration,
}

impl State {
    /// Of each limit the one of which least is left.
    pub(super) fn tightest(states: impl Iterator<Item = Self>) -> Self {
        states.fold(Self::default(), |one, other| Self {
            requests: Level::tighter(one.requests, other.requests),
            tokens: Level::tighter(one.tokens, other.tokens),
        })
    }

    /// The headers of an answer, as `OpenAI` names and writes them; none for what has no limit.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let requests = self.requests.into_iter().flat_map(|level| {
            [
                ("x-ratelimit-limit-requests", level.limit.to_string()),
                (
                    "x-ratelimit-remaining-requests",
                    level.remaining.to_string(),
                ),
                ("x-ratelimit-reset-requests", duration(level.reset)),
            ]
        });
        let tokens = self.tokens.into_iter().flat_map(|level| {
            [
                ("x-ratelimit-limit-tokens", level.limit.to_string()),
                ("x-ratelimit-remaining-tokens", level.remaining.to_string()),
                ("x-ratelimit-reset-tokens", duration(level.reset)),
            ]
        });
        requests.chain(tokens).collect()
    }
}

impl Level {
    fn tighter(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        [one, other]
            .into_iter()
            .flatten()
            .min_by_key(|level| (level.remaining, std::cmp::Reverse(level.reset)))
    }
}

/// A length of time as `OpenAI` writes it, which is Go's way: `0s`, `12ms`, `1.5s`, `6m0s`, `1h0m0s`. Whole milliseconds,
/// rounded up: who waits so long has waited long enough.
fn duration(length: Duration) -> String {
    let milliseconds = length.as_nanos().div_ceil(1_000_000);
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    if seconds == 0 && rest > 0 {
        return format!("{rest}ms");
    }
    let fraction = format!(".{rest:03}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}{fraction}s"),
        (0, _) => format!("{minutes}m{seconds}{fraction}s"),
        _ => format!("{hours}h{minutes}m{seconds}{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_written_as_go_does() {
        for (nanoseconds, written) in [
            (0, "0s"),
            (1, "1ms"),
            (11_000_001, "12ms"),
            (999_000_000, "999ms"),
            (999_000_001, "1s"),
            (1_000_000_000, "1s"),
            (1_500_000_000, "1.5s"),
            (8_640_000_000, "8.64s"),
            (59_999_000_000, "59.999s"),
            (360_000_000_000, "6m0s"),
            (3_600_000_000_000, "1h0m0s"),
            (90_061_007_000_000, "25h1m1.007s"),
        ] {
            assert_eq!(duration(Duration::from_nanos(nanoseconds)), written);
        }
    }

    #[test]
    fn headers_are_those_of_openai() {
        let level = |limit, remaining, seconds| Level {
            limit,
            remaining,
            reset: Duration::from_secs(seconds),
        };
        let state = State {
            requests: Some(level(60, 59, 1)),
            tokens: Some(level(150_000, 149_984, 360)),
        };
        let headers: Vec<String> = state
            .headers()
            .into_iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        insta::assert_snapshot!(headers.join("\n"), @r"
        x-ratelimit-limit-requests: 60
        x-ratelimit-remaining-requests: 59
        x-ratelimit-reset-requests: 1s
        x-ratelimit-limit-tokens: 150000
        x-ratelimit-remaining-tokens: 149984
        x-ratelimit-reset-tokens: 6m0s
        ");
        assert_eq!(State::default().headers(), []);
    }

    #[test]
    fn the_tightest_of_several_is_told() {
        let level = |remaining, seconds| Level {
            limit: 9,
            remaining,
            reset: Duration::from_secs(seconds),
        };
        let key = State {
            requests: Some(level(3, 1)),
            tokens: None,
        };
        let project = State {
            requests: Some(level(3, 2)),
            tokens: Some(level(5, 1)),
        };
        let expected = State {
            requests: Some(level(3, 2)),
            tokens: Some(level(5, 1)),
        };
        assert_eq!(State::tightest([key, project].into_iter()), expected);
        assert_eq!(State::tightest([project, key].into_iter()), expected);
    }
}
