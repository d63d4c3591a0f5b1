//! Gauges that are read at each scrape.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Gauges and totals as read at one scrape.
#[derive(Debug, Clone, Default)]
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

/// Registered gauges of a snapshot.
#[derive(Debug, Clone, Default)]
pub(super) struct LevelGauges {
    cache_hits: Counter,
    cache_misses: Counter,
    cache_bypassed: Counter,
    cache_entries: Gauge,
    cache_bytes: Gauge,
    workers: Family<StateLabel, Gauge>,
    max_workers: Gauge,
    waiting: Gauge,
    tasks: Family<StateLabel, Gauge>,
    ready: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

impl LevelGauges {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        let counters = [
            (
                "cache_hits",
                "Turns answered from the response cache",
                &gauges.cache_hits,
            ),
            (
                "cache_misses",
                "Cacheable turns that were run",
                &gauges.cache_misses,
            ),
            (
                "cache_bypassed",
                "Turns that are not cacheable",
                &gauges.cache_bypassed,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        let levels = [
            ("cache_entries", "Cached answers", &gauges.cache_entries),
            (
                "cache_bytes",
                "Memory of the cached answers",
                &gauges.cache_bytes,
            ),
            (
                "workers_max",
                "Maximum number of worker processes",
                &gauges.max_workers,
            ),
            (
                "requests_waiting",
                "Requests that wait for a worker",
                &gauges.waiting,
            ),
            ("ready", "1 if requests can be served", &gauges.ready),
        ];
        for (name, help, gauge) in levels {
            registry.register(name, help, gauge.clone());
        }
        registry.register(
            "workers",
            "Worker processes by state",
            gauges.workers.clone(),
        );
        registry.register("tasks", "Unfinished tasks by status", gauges.tasks.clone());
        gauges
    }

    /// Sets all gauges to the values of `snapshot`.
    pub(super) fn set(&self, snapshot: &MetricsSnapshot) {
        raise(&self.cache_hits, snapshot.cache_hits);
        raise(&self.cache_misses, snapshot.cache_misses);
        raise(&self.cache_bypassed, snapshot.cache_bypassed);
        self.cache_entries.set(gauge_value(snapshot.cache_entries));
        self.cache_bytes.set(gauge_value(snapshot.cache_bytes));
        self.max_workers
            .set(gauge_value(snapshot.max_workers as u64));
        self.waiting.set(gauge_value(snapshot.waiting as u64));
        self.ready.set(snapshot.is_ready.into());
        let states = [
            (&self.workers, snapshot.workers.as_slice()),
            (&self.tasks, snapshot.tasks.as_slice()),
        ];
        for (family, counts) in states {
            for (state, count) in counts {
                let gauge = family.get_or_create(&StateLabel { state });
                gauge.set(gauge_value(*count as u64));
            }
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
