//! Gauges that are set at each scrape.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::labels::KnownModels;
use super::labels::ModelLabel;
use super::snapshot::BudgetLevel;
use super::snapshot::CircuitLevel;
use super::snapshot::MetricsSnapshot;
use super::snapshot::PlanWindowLevel;
use super::snapshot::SignInStateLevel;

/// Label value of the circuit that all models share.
const ALL_MODELS: &str = "all";

/// Registered gauges of a snapshot.
#[derive(Debug, Clone)]
pub(super) struct ScrapeGauges {
    models: KnownModels,
    breaker: Family<ModelLabel, Gauge>,
    cache_hits: Counter,
    cache_joined: Counter,
    cache_shared_hits: Counter,
    cache_shared_waits: Counter,
    cache_shared_errors: Counter,
    cache_evicted: Counter,
    cache_misses: Counter,
    cache_bypassed: Counter,
    cache_entries: Gauge,
    cache_bytes: Gauge,
    workers: Family<StateLabel, Gauge>,
    max_workers: Gauge,
    waiting: Gauge,
    tasks: Family<StateLabel, Gauge>,
    batches: Family<StateLabel, Gauge>,
    budgets: Family<BudgetLabels, DollarGauge>,
    plan_use: Family<PlanWindowLabels, RatioGauge>,
    plan_resets: Family<PlanWindowLabels, Gauge>,
    sign_in_ready: Family<SignInLabel, Gauge>,
    ready: Gauge,
}

/// Gauge of dollars.
type DollarGauge = Gauge<f64, AtomicU64>;
/// Gauge of a share of a whole.
type RatioGauge = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BudgetLabels {
    scope: &'static str,
    id: String,
    window: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PlanWindowLabels {
    sign_in: String,
    window: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SignInLabel {
    sign_in: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

impl ScrapeGauges {
    /// Registers the gauges. Circuits of other models than `models` share a label.
    pub(super) fn register(registry: &mut Registry, models: KnownModels) -> Self {
        let gauges = Self {
            models,
            breaker: Family::default(),
            cache_hits: Counter::default(),
            cache_joined: Counter::default(),
            cache_shared_hits: Counter::default(),
            cache_shared_waits: Counter::default(),
            cache_shared_errors: Counter::default(),
            cache_evicted: Counter::default(),
            cache_misses: Counter::default(),
            cache_bypassed: Counter::default(),
            cache_entries: Gauge::default(),
            cache_bytes: Gauge::default(),
            workers: Family::default(),
            max_workers: Gauge::default(),
            waiting: Gauge::default(),
            tasks: Family::default(),
            batches: Family::default(),
            budgets: Family::default(),
            plan_use: Family::default(),
            plan_resets: Family::default(),
            sign_in_ready: Family::default(),
            ready: Gauge::default(),
        };
        gauges.register_counters(registry);
        gauges.register_gauges(registry);
        gauges
    }

    fn register_counters(&self, registry: &mut Registry) {
        let counters = [
            (
                "cache_hits",
                "Turns answered from the response cache",
                &self.cache_hits,
            ),
            (
                "cache_joined",
                "Turns among the hits that joined the run of an equal turn",
                &self.cache_joined,
            ),
            (
                "cache_shared_hits",
                "Turns among the hits whose answer another server has made",
                &self.cache_shared_hits,
            ),
            (
                "cache_shared_waits",
                "Waits for answers that another server was making",
                &self.cache_shared_waits,
            ),
            (
                "cache_shared_errors",
                "Failures to reach the answers that servers share",
                &self.cache_shared_errors,
            ),
            (
                "cache_misses",
                "Cacheable turns that were run",
                &self.cache_misses,
            ),
            (
                "cache_bypassed",
                "Turns that are not cacheable",
                &self.cache_bypassed,
            ),
            (
                "cache_evicted",
                "Cached answers that were removed for their age or to make room",
                &self.cache_evicted,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
    }

    fn register_gauges(&self, registry: &mut Registry) {
        let levels = [
            ("cache_entries", "Cached answers", &self.cache_entries),
            (
                "cache_bytes",
                "Memory of the cached answers",
                &self.cache_bytes,
            ),
            (
                "workers_max",
                "Maximum number of worker processes",
                &self.max_workers,
            ),
            (
                "requests_waiting",
                "Requests that wait for a worker",
                &self.waiting,
            ),
            ("ready", "1 if requests can be served", &self.ready),
        ];
        for (name, help, gauge) in levels {
            registry.register(name, help, gauge.clone());
        }
        let families = [
            ("workers", "Worker processes by state", &self.workers),
            ("tasks", "Unfinished tasks by state", &self.tasks),
            ("batches", "Unfinished batches by state", &self.batches),
        ];
        for (name, help, family) in families {
            registry.register(name, help, family.clone());
        }
        registry.register(
            "breaker_state",
            "Circuit breaker by model, and of all models: 0 closed, 1 half open, 2 open",
            self.breaker.clone(),
        );
        registry.register(
            "budget_remaining_usd",
            "Dollars that are left of a budget; the same on each server of a shared store",
            self.budgets.clone(),
        );
        registry.register(
            "plan_window_used_ratio",
            "Used share of a window of a sign-in's plan; above 1 beyond its limit",
            self.plan_use.clone(),
        );
        registry.register(
            "plan_window_reset_timestamp",
            "End of a window of a sign-in's plan, in seconds of Unix time",
            self.plan_resets.clone(),
        );
        registry.register(
            "sign_in_ready",
            "Whether turns can use a sign-in: 1 if so, 0 if not",
            self.sign_in_ready.clone(),
        );
    }

    /// Sets all gauges to the values of `snapshot`.
    pub(super) fn set(&self, snapshot: &MetricsSnapshot) {
        raise(&self.cache_hits, snapshot.cache_hits);
        raise(&self.cache_joined, snapshot.cache_joined);
        raise(&self.cache_shared_hits, snapshot.cache_shared_hits);
        raise(&self.cache_shared_waits, snapshot.cache_shared_waits);
        raise(&self.cache_shared_errors, snapshot.cache_shared_errors);
        raise(&self.cache_misses, snapshot.cache_misses);
        raise(&self.cache_bypassed, snapshot.cache_bypassed);
        raise(&self.cache_evicted, snapshot.cache_evicted);
        self.cache_entries.set(gauge_value(snapshot.cache_entries));
        self.cache_bytes.set(gauge_value(snapshot.cache_bytes));
        self.max_workers
            .set(gauge_value(snapshot.max_workers as u64));
        self.waiting.set(gauge_value(snapshot.waiting as u64));
        self.ready.set(snapshot.is_ready.into());
        let states = [
            (&self.workers, snapshot.workers.as_slice()),
            (&self.tasks, snapshot.tasks.as_slice()),
            (&self.batches, snapshot.batches.as_slice()),
        ];
        for (family, counts) in states {
            for (state, count) in counts {
                let gauge = family.get_or_create(&StateLabel { state });
                gauge.set(gauge_value(*count as u64));
            }
        }
        self.set_circuits(&snapshot.circuits);
        self.set_budgets(&snapshot.budgets);
        self.set_plan_windows(&snapshot.plan_windows);
        self.set_sign_ins(&snapshot.sign_ins);
    }

    fn set_sign_ins(&self, sign_ins: &[SignInStateLevel]) {
        for SignInStateLevel { sign_in, is_ready } in sign_ins {
            let sign_in = sign_in.clone();
            let gauge = self.sign_in_ready.get_or_create(&SignInLabel { sign_in });
            gauge.set(i64::from(*is_ready));
        }
    }

    /// Sets the use of `windows`; one that has ended is no longer shown.
    fn set_plan_windows(&self, windows: &[PlanWindowLevel]) {
        self.plan_use.clear();
        self.plan_resets.clear();
        for level in windows {
            let labels = PlanWindowLabels {
                sign_in: level.sign_in.clone(),
                window: level.window,
            };
            self.plan_use.get_or_create(&labels).set(level.used_ratio);
            let resets = self.plan_resets.get_or_create(&labels);
            resets.set(gauge_value(level.resets_at));
        }
    }

    fn set_budgets(&self, budgets: &[BudgetLevel]) {
        self.budgets.clear();
        for level in budgets {
            let labels = BudgetLabels {
                scope: level.scope,
                id: level.id.clone(),
                window: level.window,
            };
            self.budgets.get_or_create(&labels).set(level.remaining);
        }
    }

    /// Sets the states of `circuits`; models without one are closed. Of several that share a label,
    /// the one that admits least counts.
    fn set_circuits(&self, circuits: &[CircuitLevel]) {
        self.breaker.clear();
        for model in self.models.all() {
            drop(self.breaker.get_or_create(&ModelLabel { model }));
        }
        for CircuitLevel { model, state } in circuits {
            let model = match model {
                Some(model) => self.models.label(model),
                None => ALL_MODELS.to_owned(),
            };
            let gauge = self.breaker.get_or_create(&ModelLabel { model });
            gauge.set(gauge.get().max(state.value()));
        }
    }
}

/// Raises `counter` to `total`, which another part counts.
fn raise(counter: &Counter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

fn gauge_value(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
