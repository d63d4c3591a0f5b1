//! Rate limit headers that the real API sends to a subscription.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::directives::{Directives, RateLimitState};

const DEFAULT_RESET: Duration = Duration::from_secs(3600);

/// Adds the rate limit headers that `directives` request.
pub(crate) fn add_rate_limit_headers(headers: &mut HeaderMap, directives: &Directives) {
    let Some(limit) = directives.limit else {
        return;
    };
    let wait = directives
        .limit_reset_seconds
        .map_or(DEFAULT_RESET, Duration::from_secs);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let reset = (now + wait).as_secs();
    let (status, utilization) = match limit {
        RateLimitState::Allowed => ("allowed", "0.1"),
        RateLimitState::Warning => ("allowed_warning", "0.9"),
        RateLimitState::Rejected => ("rejected", "1"),
    };
    let mut add = |name: &'static str, value: HeaderValue| {
        headers.insert(HeaderName::from_static(name), value)
    };
    add(
        "anthropic-ratelimit-unified-status",
        HeaderValue::from_static(status),
    );
    add(
        "anthropic-ratelimit-unified-reset",
        HeaderValue::from(reset),
    );
    add(
        "anthropic-ratelimit-unified-representative-claim",
        HeaderValue::from_static("five_hour"),
    );
    add(
        "anthropic-ratelimit-unified-5h-status",
        HeaderValue::from_static(status),
    );
    add(
        "anthropic-ratelimit-unified-5h-reset",
        HeaderValue::from(reset),
    );
    add(
        "anthropic-ratelimit-unified-5h-utilization",
        HeaderValue::from_static(utilization),
    );
    if limit == RateLimitState::Warning {
        add(
            "anthropic-ratelimit-unified-5h-surpassed-threshold",
            HeaderValue::from_static("0.9"),
        );
    }
}
