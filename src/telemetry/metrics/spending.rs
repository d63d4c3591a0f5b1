//! Metrics of what is charged, by model and owner, and of what is saved, by cause.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::labels::CounterFamily;
use super::labels::DollarCounter;
use super::labels::KnownModels;
use super::owners::KnownOwners;
use super::owners::Owner;
use super::owners::OwnerConfig;
use super::totals::TotalCounters;
use super::turn_kinds::SavingCause;
use super::turn_kinds::TokenKind;

/// Counters of charged tokens and dollars, and of savings. Clones share them.
#[derive(Debug, Clone)]
pub struct SpendingMetrics {
    models: KnownModels,
    owners: KnownOwners,
    tokens: CounterFamily<TokenLabels>,
    cost: Family<CostLabels, DollarCounter>,
    baseline: DollarCounter,
    saved: Family<CauseLabel, DollarCounter>,
    overspent: Family<CauseLabel, DollarCounter>,
    totals: TotalCounters,
}

/// Saving of one request against the baseline, as its metrics see it.
#[derive(Debug, Clone, Copy)]
pub struct ComparedCost {
    /// Cost on the baseline, in dollars.
    pub baseline_dollars: f64,
    /// Saved dollars by cause; negative where a cause made the request more expensive.
    pub saved_dollars: [(SavingCause, f64); 3],
}

/// Charge of a turn or a task, as its metrics see it.
#[derive(Debug, Clone, Copy)]
pub struct ChargedUsage<'a> {
    /// Id of the project that is charged.
    pub project: &'a str,
    /// Id of the key that is charged.
    pub key: &'a str,
    /// Id of the model that answered; empty if none did.
    pub model: &'a str,
    /// Charged tokens by their kind.
    pub tokens: &'a [(TokenKind, u64)],
    /// Charged money, in dollars.
    pub dollars: f64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    model: String,
    r#type: &'static str,
    #[prometheus(flatten)]
    owner: Owner,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabel {
    by: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CostLabels {
    model: String,
    #[prometheus(flatten)]
    owner: Owner,
}

impl Default for SpendingMetrics {
    /// Creates metrics that nothing reads.
    fn default() -> Self {
        let models = KnownModels::default();
        let owners = KnownOwners::default();
        let totals = TotalCounters::default();
        Self::register(&mut Registry::default(), models, owners, totals)
    }
}

impl SpendingMetrics {
    pub(super) fn register(
        registry: &mut Registry,
        models: KnownModels,
        owners: KnownOwners,
        totals: TotalCounters,
    ) -> Self {
        let metrics = Self {
            models,
            owners,
            tokens: CounterFamily::default(),
            cost: Family::default(),
            baseline: DollarCounter::default(),
            saved: Family::default(),
            overspent: Family::default(),
            totals,
        };
        // The difference of two families needs the same label sets in both.
        for cause in SavingCause::ALL {
            let label = CauseLabel { by: cause.label() };
            drop(metrics.saved.get_or_create(&label));
            drop(metrics.overspent.get_or_create(&label));
        }
        registry.register(
            "tokens",
            "Tokens charged to turns and tasks, by model and type",
            metrics.tokens.clone(),
        );
        registry.register(
            "cost_usd",
            "Dollars charged to turns and tasks, by model",
            metrics.cost.clone(),
        );
        metrics.register_savings(registry);
        metrics
    }

    fn register_savings(&self, registry: &mut Registry) {
        registry.register(
            "baseline_usd",
            "Dollars that requests would have cost on the baseline, answers of the response cache too",
            self.baseline.clone(),
        );
        registry.register(
            "saved_usd",
            "Dollars by which requests cost less than on the baseline, by cause",
            self.saved.clone(),
        );
        registry.register(
            "overspent_usd",
            "Dollars by which requests cost more than on the baseline, by cause",
            self.overspent.clone(),
        );
    }

    /// Counts what a request has saved against the baseline. Counters only grow, so what it cost more
    /// is counted apart.
    pub fn count_saving(&self, compared: &ComparedCost) {
        self.baseline.inc_by(compared.baseline_dollars.max(0.0));
        for (cause, dollars) in compared.saved_dollars {
            let family = if dollars < 0.0 {
                &self.overspent
            } else {
                &self.saved
            };
            let label = CauseLabel { by: cause.label() };
            family.get_or_create(&label).inc_by(dollars.abs());
            self.totals.add_saving(cause, dollars);
        }
    }

    /// Returns the owners that tokens and dollars are counted by.
    pub fn owner_config(&self) -> &OwnerConfig {
        self.owners.config()
    }

    /// Counts the tokens and dollars of a charge.
    pub fn count_charge(&self, charge: &ChargedUsage<'_>) {
        let model = self.models.label(charge.model);
        let owner = self.owners.owner(charge.project, charge.key);
        // A label set is made only once there is something to count.
        for (kind, tokens) in charge.tokens.iter().filter(|(_, tokens)| *tokens > 0) {
            let labels = TokenLabels {
                model: model.clone(),
                r#type: kind.label(),
                owner: owner.clone(),
            };
            self.tokens.get_or_create(&labels).inc_by(*tokens);
            self.totals.add_tokens(*kind, *tokens);
        }
        let labels = CostLabels { model, owner };
        let dollars = charge.dollars.max(0.0);
        self.cost.get_or_create(&labels).inc_by(dollars);
        self.totals.add_cost(dollars);
    }
}
