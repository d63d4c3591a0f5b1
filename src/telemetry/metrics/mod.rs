//! Metrics for Prometheus, in its formats, text and protobuf, or in the text of `OpenMetrics`.
//!
//! All families are registered once, when the server starts. Counters and histograms are updated
//! where events happen; gauges are read at each scrape. Labels have values from finite sets only:
//! what a client may choose freely is counted as `other` or `unmatched`.

mod background;
mod build;
mod exemplar;
mod format;
mod gauges;
mod hooks;
mod http;
mod idempotency;
mod labels;
mod latency_buckets;
mod owners;
mod pool;
mod process;
mod protobuf;
mod records;
mod snapshot;
mod spans;
mod spending;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod totals;
mod turn_kinds;
mod turns;

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::prometheus_protobuf::EncodeError;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::encoding::text as open_metrics;
use prometheus_client::registry::Registry;

use build::BuildInfo;
use gauges::ScrapeGauges;
use labels::CounterFamily;
use labels::KnownModels;
use labels::OTHER;
use owners::KnownOwners;
use process::ProcessGauges;
use totals::TotalCounters;

pub use background::BatchLineEnd;
pub use background::BatchMetrics;
pub use background::DeliveryEnd;
pub use background::QueueMetrics;
pub use background::TaskMetrics;
pub use background::WebhookMetrics;
pub use exemplar::RequestExemplar;
pub use format::MetricsFormat;
pub use hooks::HookMetrics;
pub use hooks::HookVerdictLabel;
pub use http::HttpMetrics;
pub use http::PassOnOutcome;
pub use http::RequestEnd;
pub use idempotency::IdempotencyMetrics;
pub use idempotency::IdempotencyResult;
pub use latency_buckets::LatencyBuckets;
pub use owners::OwnerConfig;
pub use owners::OwnerLabel;
pub use pool::PoolMetrics;
pub use pool::RetireReason;
pub use records::CommitFailure;
pub use records::LedgerMetrics;
pub use records::StoreMetrics;
pub use snapshot::BreakerState;
pub use snapshot::BudgetLevel;
pub use snapshot::CircuitLevel;
pub use snapshot::MetricsSnapshot;
pub use snapshot::PlanWindowLevel;
pub use snapshot::SignInStateLevel;
pub use spans::SpanEnd;
pub use spans::SpanMetrics;
pub use spending::ChargedUsage;
pub use spending::ComparedCost;
pub use spending::SpendingMetrics;
pub use totals::MetricTotals;
pub use totals::TotalCounts;
pub use totals::TotalKind;
pub use turn_kinds::AnswerStart;
pub use turn_kinds::SavingCause;
pub use turn_kinds::TokenKind;
pub use turn_kinds::TurnEnd;
pub use turns::TokenPace;
pub use turns::TurnMetrics;

/// Prefix of the names of the server's own metrics.
const PREFIX: &str = "switchboard";
/// Maximum number of label sets of the counter of learned refusals.
const MAX_LEARNT_REFUSALS: usize = 100;

/// Metrics of the process. Clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<MetricsInner>);

struct MetricsInner {
    registry: Registry,
    /// Native buckets of histograms that have exemplars.
    natives: Registry,
    /// Serialises scrapes, which set the gauges before they are written.
    scrape: Mutex<()>,
    gauges: ScrapeGauges,
    process: ProcessGauges,
    build: BuildInfo,
    alerts: CounterFamily<AlertLabels>,
    learned_refusals: CounterFamily<LearnedRefusalLabels>,
    /// Number of label sets requested for `learned_refusals`, which bounds their cardinality.
    learned_refusal_sets: AtomicUsize,
    families: MetricFamilies,
    totals: TotalCounters,
}

/// Families that the parts of the server update.
#[derive(Debug, Clone)]
pub struct MetricFamilies {
    /// Families of HTTP requests.
    pub http: HttpMetrics,
    /// Families of turns, by model.
    pub turns: TurnMetrics,
    /// Families of charged tokens and dollars, by model and owner, and of savings.
    pub spending: SpendingMetrics,
    /// Families of the worker pool.
    pub pool: PoolMetrics,
    /// Families of the store.
    pub store: StoreMetrics,
    /// Families of the ledger.
    pub ledger: LedgerMetrics,
    /// Families of batches and their lines.
    pub batches: BatchMetrics,
    /// Families of the queue of background responses.
    pub queue: QueueMetrics,
    /// Families of tasks and their permissions.
    pub tasks: TaskMetrics,
    /// Families of webhook deliveries.
    pub webhooks: WebhookMetrics,
    /// Families of the spans of traces.
    pub spans: SpanMetrics,
    /// Families of the calls of hooks.
    pub hooks: HookMetrics,
    /// Family of the requests with an idempotency key.
    pub idempotency: IdempotencyMetrics,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlertLabels {
    scope: String,
    window: String,
    percent: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LearnedRefusalLabels {
    model: String,
    parameter: String,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl std::ops::Deref for Metrics {
    type Target = MetricFamilies;

    fn deref(&self) -> &MetricFamilies {
        &self.0.families
    }
}

impl Metrics {
    /// Registers all families of metrics. Tokens and costs are counted by model alone.
    #[must_use]
    pub fn new() -> Self {
        Self::by_owner(OwnerConfig::default())
    }

    /// Registers all families of metrics. Tokens and costs are also counted by `owners`.
    #[must_use]
    pub fn by_owner(owners: OwnerConfig) -> Self {
        let mut registry = Registry::default();
        let process = ProcessGauges::register(&mut registry);
        let own = registry.sub_registry_with_prefix(PREFIX);
        let build = BuildInfo::register(own);
        let alerts = CounterFamily::default();
        let learned_refusals = CounterFamily::default();
        own.register(
            "budget_alerts",
            "Budgets of which a part was spent, in percent",
            alerts.clone(),
        );
        own.register(
            "refusals_learnt",
            "Parameters that upstream was found to refuse, which are left out from then on",
            learned_refusals.clone(),
        );
        let models = KnownModels::default();
        let totals = TotalCounters::default();
        let owners = KnownOwners::new(owners);
        let spending = SpendingMetrics::register(own, models.clone(), owners, totals.clone());
        let families = MetricFamilies {
            http: HttpMetrics::register(own),
            turns: TurnMetrics::register(own, models.clone(), totals.clone()),
            spending: spending.clone(),
            pool: PoolMetrics::register(own),
            store: StoreMetrics::register(own),
            ledger: LedgerMetrics::register(own, spending),
            batches: BatchMetrics::register(own),
            queue: QueueMetrics::register(own),
            tasks: TaskMetrics::register(own, models.clone()),
            webhooks: WebhookMetrics::register(own),
            spans: SpanMetrics::register(own),
            hooks: HookMetrics::register(own),
            idempotency: IdempotencyMetrics::register(own),
        };
        let gauges = ScrapeGauges::register(own, models);
        let mut natives = Registry::with_prefix(PREFIX);
        families.turns.register_natives(&mut natives);
        families.pool.register_natives(&mut natives);
        Self(Arc::new(MetricsInner {
            registry,
            natives,
            scrape: Mutex::new(()),
            gauges,
            process,
            build,
            alerts,
            learned_refusals,
            learned_refusal_sets: AtomicUsize::new(0),
            families,
            totals,
        }))
    }

    /// Sets the version of the Claude CLI, which is found once.
    pub fn set_cli_version(&self, version: impl fmt::Display) {
        self.0.build.set_cli_version(version.to_string());
    }

    /// Counts that `percent` of a budget is used: of a key or a project (`scope`), per day or month
    /// (`window`).
    pub fn count_budget_alert(
        &self,
        scope: impl fmt::Display,
        window: impl fmt::Display,
        percent: u8,
    ) {
        let labels = AlertLabels {
            scope: scope.to_string(),
            window: window.to_string(),
            percent,
        };
        self.0.alerts.get_or_create(&labels).inc();
    }

    /// Counts that upstream was found to refuse `parameter` for `model`. Clients choose both
    /// values, so label sets beyond [`MAX_LEARNT_REFUSALS`] are counted together to bound the
    /// cardinality.
    pub fn count_learned_refusal(&self, model: &str, parameter: &str) {
        let labels = |model: &str, parameter: &str| LearnedRefusalLabels {
            model: model.to_owned(),
            parameter: parameter.to_owned(),
        };
        let mine = labels(model, parameter);
        let is_known = self.0.learned_refusals.get(&mine).is_some();
        let sets = &self.0.learned_refusal_sets;
        let is_beyond = !is_known && sets.fetch_add(1, Ordering::Relaxed) >= MAX_LEARNT_REFUSALS;
        let labels = if is_beyond {
            labels(OTHER, OTHER)
        } else {
            mine
        };
        self.0.learned_refusals.get_or_create(&labels).inc();
    }

    /// Returns the totals of turns, tokens and money, over all labels. Those of the response cache
    /// are kept elsewhere, and are 0 here.
    pub fn totals(&self) -> MetricTotals {
        self.0.totals.read()
    }

    /// Renders all metrics in `format`.
    ///
    /// # Errors
    /// Fails when a metric cannot be encoded, which does not happen for those of this server.
    pub fn render(
        &self,
        snapshot: &MetricsSnapshot,
        format: MetricsFormat,
    ) -> Result<Vec<u8>, EncodeError> {
        let inner = &*self.0;
        let _scrape = inner.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        inner.gauges.set(snapshot);
        inner.process.refresh();
        inner.build.refresh();
        let mut text = String::new();
        match format {
            MetricsFormat::Protobuf => return protobuf::encode(&inner.registry, &inner.natives),
            MetricsFormat::Prometheus => prometheus_text::encode(&mut text, &inner.registry)?,
            MetricsFormat::OpenMetrics => open_metrics::encode(&mut text, &inner.registry)?,
        }
        Ok(text.into_bytes())
    }
}
