//! Metrics of turns: what they took, cost and saved.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::labels::CounterFamily;
use super::labels::KnownModels;
use super::labels::ModelLabel;
use super::labels::SecondsFamily;
use super::labels::seconds_family;

/// Counter of dollars.
type DollarCounter = Counter<f64, AtomicU64>;

/// Counters and durations of turns, by model.
#[derive(Debug, Clone)]
pub struct TurnMetrics {
    models: KnownModels,
    turns: CounterFamily<TurnLabels>,
    first_token: SecondsFamily<StartLabels>,
    token_gap: SecondsFamily<ModelLabel>,
    tokens: CounterFamily<TokenLabels>,
    cost: Family<ModelLabel, DollarCounter>,
    saved: Family<SavingLabel, DollarCounter>,
    refusals: CounterFamily<RefusalLabel>,
}

/// Pace of one answer. Holds its histogram, so that a piece takes no lookup.
#[derive(Debug)]
pub struct TokenPace {
    gaps: Histogram,
    last: Instant,
}

/// Source of the first token of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerStart {
    /// Idle worker.
    Warm,
    /// Worker that had to be waited for.
    Queued,
    /// Response cache, or the run of an equal turn.
    Cached,
}

/// End of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnEnd {
    /// Complete answer.
    Answered,
    /// Error.
    Failed,
    /// Client or operator cancelled it.
    Cancelled,
}

/// Kind of counted tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Prompt tokens outside of the prompt cache.
    Input,
    /// Tokens of the answer, thinking included.
    Output,
    /// Prompt tokens read from the prompt cache.
    CacheRead,
    /// Prompt tokens written to the prompt cache.
    CacheWrite,
}

/// Reason why an answer cost less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saving {
    /// Response cache of the server.
    ResponseCache,
    /// Prompt cache of Anthropic.
    PromptCache,
    /// Model routing.
    Routing,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TurnLabels {
    model: String,
    end: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StartLabels {
    model: String,
    start: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    model: String,
    r#type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SavingLabel {
    by: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabel {
    by: &'static str,
}

impl AnswerStart {
    fn label(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Queued => "queued",
            Self::Cached => "cached",
        }
    }
}

impl TurnEnd {
    fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl TokenKind {
    fn label(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::CacheRead => "cache_read",
            Self::CacheWrite => "cache_write",
        }
    }
}

impl Saving {
    fn label(self) -> &'static str {
        match self {
            Self::ResponseCache => "response_cache",
            Self::PromptCache => "prompt_cache",
            Self::Routing => "routing",
        }
    }
}

impl Default for TurnMetrics {
    /// Creates metrics that nothing reads.
    fn default() -> Self {
        Self::register(&mut Registry::default())
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
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            models: KnownModels::default(),
            turns: CounterFamily::default(),
            first_token: seconds_family(),
            token_gap: seconds_family(),
            tokens: CounterFamily::default(),
            cost: Family::default(),
            saved: Family::default(),
            refusals: CounterFamily::default(),
        };
        registry.register(
            "turns",
            "Turns that were answered, failed or cancelled, by model",
            metrics.turns.clone(),
        );
        registry.register(
            "first_token_seconds",
            "Time from the admission of a turn to the first token of its answer",
            metrics.first_token.clone(),
        );
        registry.register(
            "token_gap_seconds",
            "Time between two pieces of an answer",
            metrics.token_gap.clone(),
        );
        registry.register("tokens", "Tokens by model and type", metrics.tokens.clone());
        registry.register(
            "cost_usd",
            "Dollars charged, by model",
            metrics.cost.clone(),
        );
        registry.register(
            "saved_usd",
            "Dollars that the response cache, the prompt cache and routing have saved",
            metrics.saved.clone(),
        );
        registry.register(
            "refusals",
            "Requests and turns refused before they ran, by what refused them",
            metrics.refusals.clone(),
        );
        metrics
    }

    /// Gives `model` a label of its own; unknown models share one. Only for ids that upstream has
    /// answered by: clients could name any number of others.
    pub fn know_model(&self, model: &str) {
        self.models.add(model);
    }

    /// Counts a turn that has ended.
    pub fn count_turn(&self, model: &str, end: TurnEnd) {
        let labels = TurnLabels {
            model: self.models.label(model),
            end: end.label(),
        };
        self.turns.get_or_create(&labels).inc();
    }

    /// Records the time to the first token.
    pub fn record_first_token(&self, model: &str, start: AnswerStart, time: Duration) {
        let labels = StartLabels {
            model: self.models.label(model),
            start: start.label(),
        };
        let histogram = self.first_token.get_or_create(&labels);
        histogram.observe(time.as_secs_f64());
    }

    /// Begins to measure the pace of an answer, whose first piece has come now.
    pub fn token_pace(&self, model: &str) -> TokenPace {
        let label = self.model_label(model);
        TokenPace {
            gaps: self.token_gap.get_or_create_owned(&label),
            last: Instant::now(),
        }
    }

    /// Counts tokens of one kind.
    pub fn count_tokens(&self, model: &str, kind: TokenKind, tokens: u64) {
        // A label set is made only once there is something to count.
        if tokens == 0 {
            return;
        }
        let labels = TokenLabels {
            model: self.models.label(model),
            r#type: kind.label(),
        };
        self.tokens.get_or_create(&labels).inc_by(tokens);
    }

    /// Adds a charge, in dollars.
    pub fn add_cost(&self, model: &str, dollars: f64) {
        let label = self.model_label(model);
        self.cost.get_or_create(&label).inc_by(dollars.max(0.0));
    }

    /// Adds dollars that were saved.
    pub fn add_saving(&self, saving: Saving, dollars: f64) {
        let label = SavingLabel { by: saving.label() };
        self.saved.get_or_create(&label).inc_by(dollars.max(0.0));
    }

    /// Counts a request or a turn that `by` refused: a word of a fixed set, such as `rate_limit`.
    pub fn count_refusal(&self, by: &'static str) {
        self.refusals.get_or_create(&RefusalLabel { by }).inc();
    }

    fn model_label(&self, model: &str) -> ModelLabel {
        ModelLabel {
            model: self.models.label(model),
        }
    }
}
