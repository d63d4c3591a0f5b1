//! Metrics in the `OpenMetrics` text format, which Prometheus reads.
//!
//! Counters are incremented where events happen; gauges are read at each scrape.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Prefix of all metric names.
const PREFIX: &str = "switchboard";
/// Maximum number of label sets of the refusal counter.
const MAX_REFUSAL_LABEL_SETS: usize = 100;

/// Counters of the process. Clones share them.
#[derive(Clone, Default)]
pub struct Metrics {
    alerts: Family<AlertLabels, Counter>,
    refusals: Family<RefusalLabels, Counter>,
    /// Number of label sets requested for `refusals`, which bounds their cardinality.
    refusal_label_sets: Arc<AtomicUsize>,
}

/// Gauges and totals as read at one scrape.
#[derive(Debug, Clone, Copy, Default)]
pub struct MetricsSnapshot {
    /// Turns answered from the cache.
    pub cache_hits: u64,
    /// Cacheable turns that were run.
    pub cache_misses: u64,
    /// Turns that are not cacheable.
    pub cache_bypassed: u64,
    /// Number of cached answers.
    pub cache_entries: u64,
    /// Memory of the cached answers, in bytes.
    pub cache_bytes: u64,
    /// Number of workers by state.
    pub workers: [(&'static str, usize); 4],
    /// Maximum number of workers.
    pub max_workers: usize,
    /// Number of requests that wait for a worker.
    pub waiting: usize,
    /// Number of unfinished tasks by status.
    pub tasks: [(&'static str, usize); 2],
    /// True if requests can be served.
    pub is_ready: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlertLabels {
    scope: String,
    window: String,
    percent: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    model: String,
    parameter: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
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
        self.alerts.get_or_create(&labels).inc();
    }

    /// Counts that upstream was found to refuse `parameter` for `model`. Clients choose both
    /// values, so label sets beyond [`MAX_REFUSAL_LABEL_SETS`] are counted together to bound the
    /// cardinality.
    pub fn count_learnt_refusal(&self, model: &str, parameter: &str) {
        let labels = |model: &str, parameter: &str| RefusalLabels {
            model: model.to_owned(),
            parameter: parameter.to_owned(),
        };
        let mine = labels(model, parameter);
        let known = self.refusals.get(&mine).is_some();
        let is_new = !known
            && self.refusal_label_sets.fetch_add(1, Ordering::Relaxed) >= MAX_REFUSAL_LABEL_SETS;
        let labels = if is_new {
            labels("other", "other")
        } else {
            mine
        };
        self.refusals.get_or_create(&labels).inc();
    }

    /// Renders all metrics as text.
    ///
    /// # Errors
    /// Fails when formatting fails, which does not happen for a string.
    pub fn render(&self, levels: &MetricsSnapshot) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix(PREFIX);
        let alerts = self.alerts.clone();
        registry.register(
            "budget_alerts",
            "Budgets of which a part was spent, in percent",
            alerts,
        );
        let refusals = self.refusals.clone();
        let help = "Parameters that upstream was found to refuse, which are left out from then on";
        registry.register("refusals_learnt", help, refusals);
        let counters = [
            (
                "cache_hits",
                "Turns answered without a run of their own",
                levels.cache_hits,
            ),
            (
                "cache_misses",
                "Turns that were run and may be given again",
                levels.cache_misses,
            ),
            (
                "cache_bypassed",
                "Turns that are none of the cache's business",
                levels.cache_bypassed,
            ),
        ];
        for (name, help, count) in counters {
            registry.register(name, help, ConstCounter::new(count));
        }
        registry.register(
            "workers",
            "Worker processes by what they are doing",
            by_state(&levels.workers),
        );
        registry.register(
            "tasks",
            "Tasks that are not over, by their status",
            by_state(&levels.tasks),
        );
        let gauges = [
            (
                "cache_entries",
                "Answers that are kept",
                levels.cache_entries,
            ),
            (
                "cache_bytes",
                "Bytes of memory that kept answers take",
                levels.cache_bytes,
            ),
            (
                "workers_max",
                "The most worker processes there may be",
                levels.max_workers as u64,
            ),
            (
                "requests_waiting",
                "Requests that wait for a worker",
                levels.waiting as u64,
            ),
            (
                "ready",
                "Whether requests can be served",
                levels.is_ready.into(),
            ),
        ];
        for (name, help, value) in gauges {
            registry.register(name, help, ConstGauge::new(to_gauge_value(value)));
        }
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

fn by_state(counts: &[(&'static str, usize)]) -> Family<StateLabel, Gauge> {
    let family = Family::<StateLabel, Gauge>::default();
    for (state, count) in counts {
        family
            .get_or_create(&StateLabel { state })
            .set(to_gauge_value(*count as u64));
    }
    family
}

fn to_gauge_value(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_rendered() {
        let metrics = Metrics::default();
        metrics.count_budget_alert("key", "daily", 80);
        metrics.clone().count_budget_alert("key", "daily", 80);
        metrics.count_learnt_refusal("claude-m", "temperature");
        for number in 0..200 {
            metrics.count_learnt_refusal("claude-m", &format!("odd{number}"));
        }
        let workers = [("idle", 1), ("busy", 2), ("starting", 0), ("resetting", 0)];
        let tasks = [("queued", 0), ("running", 1)];
        let levels = MetricsSnapshot {
            cache_hits: 3,
            workers,
            tasks,
            is_ready: true,
            ..MetricsSnapshot::default()
        };
        let text = metrics.render(&levels).unwrap();
        for line in [
            "# TYPE switchboard_budget_alerts counter",
            r#"switchboard_budget_alerts_total{scope="key",window="daily",percent="80"} 2"#,
            r#"switchboard_refusals_learnt_total{model="claude-m",parameter="temperature"} 1"#,
            r#"switchboard_refusals_learnt_total{model="other",parameter="other"} 101"#,
            "switchboard_cache_hits_total 3",
            r#"switchboard_workers{state="busy"} 2"#,
            r#"switchboard_tasks{state="running"} 1"#,
            "switchboard_ready 1",
            "# EOF",
        ] {
            assert!(
                text.lines().any(|written| written == line),
                "{line} is missing in\n{text}"
            );
        }
    }
}
