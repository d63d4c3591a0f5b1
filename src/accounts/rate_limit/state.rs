//! Remaining rate limits of a caller, and their `OpenAI` response headers (`x-ratelimit-*`).

use std::time::Duration;

/// Remaining rate limits of a caller: for each limit the tighter of key and project.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateLimitState {
    /// Requests per minute; `None` without such a limit.
    pub requests: Option<LimitLevel>,
    /// Tokens per minute; `None` without such a limit.
    pub tokens: Option<LimitLevel>,
}

/// Remaining amount of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitLevel {
    /// The limit per minute.
    pub limit: u32,
    /// Amount that can be taken now.
    pub remaining: u32,
    /// Time until the full limit is available again, if nothing more is taken.
    pub reset: Duration,
}

impl RateLimitState {
    /// Picks for each limit the level with the least remaining.
    pub(super) fn tightest(states: impl Iterator<Item = Self>) -> Self {
        states.fold(Self::default(), |one, other| Self {
            requests: LimitLevel::tighter(one.requests, other.requests),
            tokens: LimitLevel::tighter(one.tokens, other.tokens),
        })
    }

    /// Response headers with the names and format of `OpenAI`; empty for limits that are not set.
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

impl LimitLevel {
    fn tighter(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        [one, other]
            .into_iter()
            .flatten()
            .min_by_key(|level| (level.remaining, std::cmp::Reverse(level.reset)))
    }
}

/// Formats a duration as `OpenAI` does, which is Go's format: `0s`, `12ms`, `1.5s`, `6m0s`,
/// `1h0m0s`. Rounded up to whole milliseconds, so that a client that waits this long has waited
/// long enough.
fn duration(length: Duration) -> String {
    let milliseconds = length.as_nanos().div_ceil(1_000_000);
    let seconds = milliseconds / 1000;
    let rest = milliseconds % 1000;
    if seconds == 0 && rest > 0 {
        return format!("{rest}ms");
    }
    let fraction = format!(".{rest:03}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    let hours = seconds / 3600;
    let minutes = seconds / 60 % 60;
    let seconds = seconds % 60;
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
    fn rate_limit_durations_are_formatted_like_go() {
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
    fn rate_limit_headers_match_openai() {
        let level = |limit, remaining, seconds| LimitLevel {
            limit,
            remaining,
            reset: Duration::from_secs(seconds),
        };
        let state = RateLimitState {
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
        assert_eq!(RateLimitState::default().headers(), []);
    }

    #[test]
    fn tightest_level_of_key_and_project_is_reported() {
        let level = |remaining, seconds| LimitLevel {
            limit: 9,
            remaining,
            reset: Duration::from_secs(seconds),
        };
        let key = RateLimitState {
            requests: Some(level(3, 1)),
            tokens: None,
        };
        let project = RateLimitState {
            requests: Some(level(3, 2)),
            tokens: Some(level(5, 1)),
        };
        let expected = RateLimitState {
            requests: Some(level(3, 2)),
            tokens: Some(level(5, 1)),
        };
        assert_eq!(
            RateLimitState::tightest([key, project].into_iter()),
            expected
        );
        assert_eq!(
            RateLimitState::tightest([project, key].into_iter()),
            expected
        );
    }
}
