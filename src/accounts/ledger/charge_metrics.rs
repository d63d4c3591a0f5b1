//! Metrics of a charge that is on disk.

use std::time::Duration;

use super::records::ChargeRecord;
use crate::telemetry::metrics::ChargedUsage;
use crate::telemetry::metrics::LedgerMetrics;
use crate::telemetry::metrics::TokenKind;

/// Counts `charged` in `metrics`, which took `time` to be on disk.
pub(super) fn count_charge(metrics: &LedgerMetrics, charged: &ChargeRecord, time: Duration) {
    let usage = &charged.usage;
    let tokens = [
        (TokenKind::Input, usage.input_tokens),
        (TokenKind::CacheWrite, usage.cache_write_tokens),
        (TokenKind::CacheRead, usage.cache_read_tokens),
        (TokenKind::Output, usage.output_tokens),
        (TokenKind::Estimated, charged.estimated_tokens),
    ];
    let usage = ChargedUsage {
        project: &charged.project,
        key: &charged.key,
        model: &charged.model,
        tokens: &tokens,
        dollars: charged.money.dollars(),
    };
    metrics.record_charge(time, &usage);
}
