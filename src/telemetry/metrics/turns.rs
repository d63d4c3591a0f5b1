//! Metrics of turns: duration, tokens, cost and savings.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::exemplar;
use super::exemplar::ExemplarFamily;
use super::exemplar::RequestExemplar;
use super::labels::CounterFamily;
use super::labels::KnownModels;
use super::labels::ModelLabel;
use super::labels::SecondsFamily;
use super::labels::seconds_family;
use super::owners::KnownOwners;
use super::owners::Owner;
use super::owners::OwnerConfig;
use super::turn_kinds::AnswerStart;
use super::turn_kinds::Saving;
use super::turn_kinds::TokenKind;
use super::turn_kinds::TurnEnd;

/// Counter of dollars.
type DollarCounter = Counter<f64, AtomicU64>;

/// Counters and durations of turns, by model.
#[derive(Debug, Clone)]
pub struct TurnMetrics {
    models: KnownModels,
    owners: KnownOwners,
    turns: CounterFamily<TurnLabels>,
    first_token: ExemplarFamily<StartLabels>,
    token_gap: SecondsFamily<ModelLabel>,
    tokens: CounterFamily<TokenLabels>,
    cost: Family<CostLabels, DollarCounter>,
    saved: Family<SavingLabel, DollarCounter>,
    refusals: CounterFamily<RefusalLabels>,
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
    #[prometheus(flatten)]
    owner: Owner,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CostLabels {
    model: String,
    #[prometheus(flatten)]
    owner: Owner,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SavingLabel {
    by: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    by: &'static str,
    scope: &'static str,
}

impl Default for TurnMetrics {
    /// Creates metrics that nothing reads.
    fn default() -> Self {
        Self::register(&mut Registry::default(), KnownOwners::default())
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
    pub(super) fn register(registry: &mut Registry, owners: KnownOwners) -> Self {
        let metrics = Self {
            models: KnownModels::default(),
            owners,
            turns: CounterFamily::default(),
            first_token: exemplar::exemplar_family(),
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
            "Requests and turns refused before they ran, by what refused them and whose it is",
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
        let histogram = self.first_token.get_or_create(&labels);
        exemplar::observe(&histogram, time.as_secs_f64(), request);
    }

    /// Begins to measure the pace of an answer, whose first piece has come now.
    pub fn token_pace(&self, model: &str) -> TokenPace {
        let label = self.model_label(model);
        TokenPace {
            gaps: self.token_gap.get_or_create_owned(&label),
            last: Instant::now(),
        }
    }

    /// Returns the owner by which the tokens and costs of a turn are counted.
    pub fn owner(&self, project: &str, key: &str) -> Owner {
        self.owners.owner(project, key)
    }

    /// Returns the owners that tokens and costs are counted by.
    pub fn owner_config(&self) -> &OwnerConfig {
        self.owners.config()
    }

    /// Counts tokens of one kind.
    pub fn count_tokens(&self, model: &str, owner: &Owner, kind: TokenKind, tokens: u64) {
        // A label set is made only once there is something to count.
        if tokens == 0 {
            return;
        }
        let labels = TokenLabels {
            model: self.models.label(model),
            r#type: kind.label(),
            owner: owner.clone(),
        };
        self.tokens.get_or_create(&labels).inc_by(tokens);
    }

    /// Adds a charge, in dollars.
    pub fn add_cost(&self, model: &str, owner: &Owner, dollars: f64) {
        let labels = CostLabels {
            model: self.models.label(model),
            owner: owner.clone(),
        };
        self.cost.get_or_create(&labels).inc_by(dollars.max(0.0));
    }

    /// Adds dollars that were saved.
    pub fn add_saving(&self, saving: Saving, dollars: f64) {
        let label = SavingLabel { by: saving.label() };
        self.saved.get_or_create(&label).inc_by(dollars.max(0.0));
    }

    /// Counts a request or a turn that `by` of `scope` refused: words of fixed sets, such as the
    /// `budget` of the `key`.
    pub fn count_refusal(&self, by: &'static str, scope: &'static str) {
        let labels = RefusalLabels { by, scope };
        self.refusals.get_or_create(&labels).inc();
    }

    /// Returns the models that have a label of their own.
    pub(super) fn known_models(&self) -> KnownModels {
        self.models.clone()
    }

    fn model_label(&self, model: &str) -> ModelLabel {
        ModelLabel {
            model: self.models.label(model),
        }
    }
}
