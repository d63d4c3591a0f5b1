//! Metrics of charges that are on disk, and of savings.

use std::time::Duration;

use super::records::ChargeRecord;
use super::render::fraction;
use super::render_savings::signed_fraction;
use super::savings::SavingSplit;
use super::savings::SavingSums;
use crate::telemetry::metrics::ChargedUsage;
use crate::telemetry::metrics::ComparedCost;
use crate::telemetry::metrics::LedgerMetrics;
use crate::telemetry::metrics::SavingCause;
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
    count_saving(metrics, &SavingSums::of_charge(charged));
}

/// Counts what a request has saved, split as in reports.
pub(super) fn count_saving(metrics: &LedgerMetrics, sums: &SavingSums) {
    let SavingSplit {
        model_choice,
        prompt_cache,
        response_cache,
        ..
    } = sums.split();
    metrics.record_saving(&ComparedCost {
        baseline_dollars: fraction(sums.baseline),
        saved_dollars: [
            (SavingCause::ModelChoice, signed_fraction(model_choice)),
            (SavingCause::PromptCache, signed_fraction(prompt_cache)),
            (SavingCause::ResponseCache, signed_fraction(response_cache)),
        ],
    });
}
