//! Totals over all labels, which the figures of the dashboard are made of.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::latency_buckets::LatencyBuckets;
use super::latency_buckets::LatencyCounters;
use super::turn_kinds::SavingCause;
use super::turn_kinds::TokenKind;
use super::turn_kinds::TurnEnd;

const NANOS_PER_DOLLAR: f64 = 1e9;

/// Kind of a total that only grows while the server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TotalKind {
    /// Turns with a complete answer.
    Answered,
    /// Requests and turns refused before they ran.
    Refused,
    /// Turns that failed.
    Failed,
    /// Turns that their client or the operator cancelled.
    Cancelled,
    /// Charged prompt tokens outside of the prompt cache.
    InputTokens,
    /// Charged prompt tokens that were read from the prompt cache.
    CacheReadTokens,
    /// Charged prompt tokens that were written to the prompt cache.
    CacheWriteTokens,
    /// Charged tokens of answers.
    OutputTokens,
    /// Charged tokens about which upstream reported nothing.
    EstimatedTokens,
    /// Charged cost in nano-dollars.
    CostNanos,
    /// Nano-dollars that the choice of the model has saved against the baseline.
    SavedModelChoiceNanos,
    /// Nano-dollars that the response cache has saved.
    SavedResponseCacheNanos,
    /// Nano-dollars that the prompt cache has saved.
    SavedPromptCacheNanos,
    /// Nano-dollars that causes of savings have cost where they made requests more expensive.
    OverspentNanos,
    /// Turns answered from the response cache.
    CacheHits,
    /// Cacheable turns that were run.
    CacheMisses,
}

/// Number for each kind of total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TotalCounts([u64; TotalKind::COUNT]);

/// Totals of all kinds at one moment, and the latencies until the first token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MetricTotals {
    /// Number for each kind of total.
    pub counts: TotalCounts,
    /// Times from the admission of a turn to the first token of its answer.
    pub first_tokens: LatencyBuckets,
}

/// Totals that the families of metrics count in. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct TotalCounters(Arc<TotalCountersInner>);

#[derive(Debug, Default)]
struct TotalCountersInner {
    counts: [AtomicU64; TotalKind::COUNT],
    first_tokens: LatencyCounters,
}

impl TotalKind {
    /// Number of all kinds of totals.
    pub const COUNT: usize = 16;

    /// List of all kinds, in the order of the enum.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Answered,
        Self::Refused,
        Self::Failed,
        Self::Cancelled,
        Self::InputTokens,
        Self::CacheReadTokens,
        Self::CacheWriteTokens,
        Self::OutputTokens,
        Self::EstimatedTokens,
        Self::CostNanos,
        Self::SavedModelChoiceNanos,
        Self::SavedResponseCacheNanos,
        Self::SavedPromptCacheNanos,
        Self::OverspentNanos,
        Self::CacheHits,
        Self::CacheMisses,
    ];

    /// Returns the name of the kind, in records and in the dashboard's API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::InputTokens => "input_tokens",
            Self::CacheReadTokens => "cache_read_tokens",
            Self::CacheWriteTokens => "cache_write_tokens",
            Self::OutputTokens => "output_tokens",
            Self::EstimatedTokens => "estimated_tokens",
            Self::CostNanos => "cost_nanos",
            Self::SavedModelChoiceNanos => "saved_model_choice_nanos",
            Self::SavedResponseCacheNanos => "saved_response_cache_nanos",
            Self::SavedPromptCacheNanos => "saved_prompt_cache_nanos",
            Self::OverspentNanos => "overspent_nanos",
            Self::CacheHits => "cache_hits",
            Self::CacheMisses => "cache_misses",
        }
    }

    /// Returns the kind called `name`; `None` if there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    fn of_end(end: TurnEnd) -> Self {
        match end {
            TurnEnd::Answered => Self::Answered,
            TurnEnd::Failed => Self::Failed,
            TurnEnd::Cancelled => Self::Cancelled,
        }
    }

    fn of_tokens(kind: TokenKind) -> Self {
        match kind {
            TokenKind::Input => Self::InputTokens,
            TokenKind::Output => Self::OutputTokens,
            TokenKind::CacheRead => Self::CacheReadTokens,
            TokenKind::CacheWrite => Self::CacheWriteTokens,
            TokenKind::Estimated => Self::EstimatedTokens,
        }
    }

    fn of_saving(cause: SavingCause) -> Self {
        match cause {
            SavingCause::ModelChoice => Self::SavedModelChoiceNanos,
            SavingCause::ResponseCache => Self::SavedResponseCacheNanos,
            SavingCause::PromptCache => Self::SavedPromptCacheNanos,
        }
    }
}

impl TotalCounts {
    /// Returns the number of one kind.
    pub fn get(&self, kind: TotalKind) -> u64 {
        self.0[kind as usize]
    }

    /// Sets the number of one kind, which another part counts.
    pub fn set(&mut self, kind: TotalKind, total: u64) {
        self.0[kind as usize] = total;
    }
}

impl MetricTotals {
    /// Adds the totals of `other`, saturating.
    pub fn merge(&mut self, other: &Self) {
        for (own, other) in self.counts.0.iter_mut().zip(other.counts.0) {
            *own = own.saturating_add(other);
        }
        self.first_tokens.merge(&other.first_tokens);
    }

    /// Returns the growth since the `earlier` totals.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let growth = |index: usize| self.counts.0[index].saturating_sub(earlier.counts.0[index]);
        Self {
            counts: TotalCounts(std::array::from_fn(growth)),
            first_tokens: self.first_tokens - earlier.first_tokens,
        }
    }
}

impl TotalCounters {
    pub(super) fn count_end(&self, end: TurnEnd) {
        self.add(TotalKind::of_end(end), 1);
    }

    pub(super) fn count_refusal(&self) {
        self.add(TotalKind::Refused, 1);
    }

    pub(super) fn record_first_token(&self, time: Duration) {
        self.0.first_tokens.count(time);
    }

    pub(super) fn add_tokens(&self, kind: TokenKind, tokens: u64) {
        self.add(TotalKind::of_tokens(kind), tokens);
    }

    pub(super) fn add_cost(&self, dollars: f64) {
        self.add(TotalKind::CostNanos, nanos(dollars));
    }

    pub(super) fn add_saving(&self, cause: SavingCause, dollars: f64) {
        self.add(TotalKind::of_saving(cause), nanos(dollars));
        self.add(TotalKind::OverspentNanos, nanos(-dollars));
    }

    /// Returns the totals so far. Those of the response cache are kept elsewhere, and are 0 here.
    pub(super) fn read(&self) -> MetricTotals {
        let count = |index: usize| self.0.counts[index].load(Relaxed);
        MetricTotals {
            counts: TotalCounts(std::array::from_fn(count)),
            first_tokens: self.0.first_tokens.read(),
        }
    }

    fn add(&self, kind: TotalKind, number: u64) {
        self.0.counts[kind as usize].fetch_add(number, Relaxed);
    }
}

/// Converts dollars to the nearest nano-dollar, which is exact for a charge.
fn nanos(dollars: f64) -> u64 {
    // The cast saturates.
    (dollars.max(0.0) * NANOS_PER_DOLLAR).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_of_total_kinds_is_whole_and_names_are_unique() {
        for (index, kind) in TotalKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
            assert_eq!(TotalKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(TotalKind::from_name("odd"), None);
    }

    #[test]
    fn totals_grow_by_what_is_counted() {
        let counters = TotalCounters::default();
        counters.count_end(TurnEnd::Answered);
        let earlier = counters.read();
        counters.count_end(TurnEnd::Cancelled);
        counters.count_refusal();
        counters.add_tokens(TokenKind::CacheRead, 7);
        counters.add_cost(0.000_000_003);
        counters.add_saving(SavingCause::ModelChoice, -1.0);
        counters.record_first_token(Duration::from_millis(80));
        let growth = counters.read().since(&earlier);
        for (kind, number) in [
            (TotalKind::Answered, 0),
            (TotalKind::Cancelled, 1),
            (TotalKind::Refused, 1),
            (TotalKind::CacheReadTokens, 7),
            (TotalKind::CostNanos, 3),
            (TotalKind::SavedModelChoiceNanos, 0),
            (TotalKind::OverspentNanos, 1_000_000_000),
        ] {
            assert_eq!(growth.counts.get(kind), number, "{kind:?}");
        }
        assert_eq!(growth.first_tokens.count(), 1);
        let mut sum = earlier;
        sum.merge(&growth);
        assert_eq!(sum, counters.read());
    }
}
