//! Metrics of turns: durations, ends and refusals.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::exemplar::ExemplarFamily;
use super::exemplar::RequestExemplar;
use super::labels::CounterFamily;
use super::labels::KnownModels;
use super::labels::ModelLabel;
use super::labels::SecondsFamily;
use super::labels::seconds_family;
use super::totals::TotalCounters;
use super::turn_kinds::AnswerStart;
use super::turn_kinds::TurnEnd;

/// Name of the family of times to the first token.
const FIRST_TOKEN: &str = "first_token_seconds";

/// Counters and durations of turns, by model.
#[derive(Debug, Clone)]
pub struct TurnMetrics {
    models: KnownModels,
    turns: CounterFamily<TurnLabels>,
    first_token: ExemplarFamily<StartLabels>,
    token_gap: SecondsFamily<ModelLabel>,
    refusals: CounterFamily<RefusalLabels>,
    fallbacks: CounterFamily<FallbackLabels>,
    totals: TotalCounters,
}

/// Pace of one answer. Holds its histogram, so that a piece takes no lookup.
#[derive(Debug)]
pub struct TokenPace {
    gaps: Histogram,
    last: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TurnLabels {
    model: String,
    end: &'static str,
    surface: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StartLabels {
    model: String,
    start: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    by: &'static str,
    scope: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FallbackLabels {
    cause: &'static str,
    place: &'static str,
}

impl Default for TurnMetrics {
    /// Creates metrics that nothing reads.
    fn default() -> Self {
        let totals = TotalCounters::default();
        Self::register(&mut Registry::default(), KnownModels::default(), totals)
    }
}

impl TokenPace {
    /// Records the time since the piece before.
    pub fn record_piece(&mut self) {
        let now = Instant::now();
        let gap = now.duration_since(std::mem::replace(&mut self.last, now));
        self.gaps.observe(gap.as_secs_f64());
    }
}

impl TurnMetrics {
    pub(super) fn register(
        registry: &mut Registry,
        models: KnownModels,
        totals: TotalCounters,
    ) -> Self {
        let metrics = Self {
            models,
            turns: CounterFamily::default(),
            first_token: ExemplarFamily::new(),
            token_gap: seconds_family(),
            refusals: CounterFamily::default(),
            fallbacks: CounterFamily::default(),
            totals,
        };
        registry.register(
            "turns",
            "Turns that were answered, failed or cancelled, by model and by the API they came by",
            metrics.turns.clone(),
        );
        registry.register(
            FIRST_TOKEN,
            "Time from the admission of a turn to the first token of its answer",
            metrics.first_token.classic(),
        );
        registry.register(
            "token_gap_seconds",
            "Time between two pieces of an answer",
            metrics.token_gap.clone(),
        );
        registry.register(
            "refusals",
            "Requests and turns refused before they ran, by what refused them and whose it is",
            metrics.refusals.clone(),
        );
        registry.register(
            "fallbacks",
            "Turns that another model, sign-in or server has answered, by the cause and by what answered",
            metrics.fallbacks.clone(),
        );
        metrics
    }

    /// Registers the native buckets of histograms with exemplars.
    pub(super) fn register_natives(&self, natives: &mut Registry) {
        natives.register(FIRST_TOKEN, "", self.first_token.native());
    }

    /// Gives `model` a label of its own; unknown models share one. Only for ids that upstream has
    /// answered by: clients could name any number of others.
    pub fn know_model(&self, model: &str) {
        self.models.add(model);
    }

    /// Counts a turn that has ended. `surface` is the API that it came by, a word of a fixed set.
    pub fn count_turn(&self, model: &str, end: TurnEnd, surface: &'static str) {
        let labels = TurnLabels {
            model: self.models.label(model),
            end: end.label(),
            surface,
        };
        self.turns.get_or_create(&labels).inc();
        self.totals.count_end(end);
    }

    /// Records the time to the first token of an answer to `request`.
    pub fn record_first_token(
        &self,
        model: &str,
        start: AnswerStart,
        time: Duration,
        request: Option<RequestExemplar>,
    ) {
        let labels = StartLabels {
            model: self.models.label(model),
            start: start.label(),
        };
        self.first_token
            .observe(&labels, time.as_secs_f64(), request);
        self.totals.record_first_token(time);
    }

    /// Begins to measure the pace of an answer, whose first piece has come now.
    pub fn token_pace(&self, model: &str) -> TokenPace {
        let label = self.model_label(model);
        TokenPace {
            gaps: self.token_gap.get_or_create_owned(&label),
            last: Instant::now(),
        }
    }

    /// Counts a request or a turn that `by` of `scope` refused: words of fixed sets, such as the
    /// `budget` of the `key`.
    pub fn count_refusal(&self, by: &'static str, scope: &'static str) {
        let labels = RefusalLabels { by, scope };
        self.refusals.get_or_create(&labels).inc();
        self.totals.count_refusal();
    }

    /// Counts a turn that was answered in place of its model, for `cause`, at `place`: words of fixed sets,
    /// such as `overload` and `upstream`.
    pub fn count_fallback(&self, cause: &'static str, place: &'static str) {
        let labels = FallbackLabels { cause, place };
        self.fallbacks.get_or_create(&labels).inc();
    }

    fn model_label(&self, model: &str) -> ModelLabel {
        ModelLabel {
            model: self.models.label(model),
        }
    }
}
