//! The headers in which the real API tells a subscription how it stands to its limits.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::directives::{Directives, Limit};

const DEFAULT_RESET: Duration = Duration::from_secs(3600);

/// Adds the headers which `directives` ask for.
pub(crate) fn mark(headers: &mut HeaderMap, directives: &Directives) {
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
        Limit::Allowed => ("allowed", "0.1"),
        Limit::Warning => ("allowed_warning", "0.9"),
        Limit::Rejected => ("rejected", "1"),
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
    if limit == Limit::Warning {
        add(
            "anthropic-ratelimit-unified-5h-surpassed-threshold",
            HeaderValue::from_static("0.9"),
        );
    }
}
