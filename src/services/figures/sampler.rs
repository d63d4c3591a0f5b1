//! Sampler: reads all totals and levels once a second, and stores the hours.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::hours::HourTable;
use crate::domain::unix_now;
use crate::storage::store::Error;
use crate::telemetry::activity::Activity;
use crate::telemetry::activity::FigureSample;
use crate::telemetry::activity::LevelSample;
use crate::telemetry::activity::StepFigures;
use crate::telemetry::logs::ErrorChain;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::MetricsSnapshot;
use crate::telemetry::metrics::TotalKind;

/// Time between two samples.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// Time between two writes of the hour that goes on, which a crash loses at most.
const STORE_INTERVAL: Duration = Duration::from_secs(60);
/// Maximum number of hours that wait for a disk which does not take them.
const MAX_UNSTORED_HOURS: usize = 48;

/// Reads the levels and totals that the server's parts keep.
pub type LevelReader = Box<dyn Fn() -> MetricsSnapshot + Send + Sync>;

/// Services that the figures depend on.
pub struct FigureDeps {
    /// Activity that the samples are recorded in.
    pub activity: Activity,
    /// Metrics whose totals are sampled.
    pub metrics: Metrics,
    /// Reader of the levels of the server's parts.
    pub levels: LevelReader,
    /// Hours of earlier runs of the server, and of this one.
    pub hours: HourTable,
    /// Tracks the tasks, so that shutdown can wait for the last write.
    pub tracker: TaskTracker,
    /// Token that is cancelled when the last requests have ended.
    pub stop: CancellationToken,
}

impl fmt::Debug for FigureDeps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FigureDeps")
            .field("hours", &self.hours)
            .finish_non_exhaustive()
    }
}

/// Sources of a sample, and where it goes.
struct FigureSource {
    activity: Activity,
    metrics: Metrics,
    levels: LevelReader,
}

/// Hours that are to be stored, by their starts.
struct UnstoredHours {
    table: HourTable,
    waiting: BTreeMap<u64, StepFigures>,
    /// Hour as it was stored last.
    stored: Option<StepFigures>,
}

/// Fills in the stored hours, and starts the tasks that sample the figures and store the hours.
///
/// # Errors
/// Fails when the stored hours cannot be read.
pub async fn start_figures(deps: FigureDeps) -> Result<(), Error> {
    let FigureDeps {
        activity,
        metrics,
        levels,
        mut hours,
        tracker,
        stop,
    } = deps;
    activity.restore_hours(hours.load().await?);
    hours.spawn_cleanup(stop.clone());
    let source = Arc::new(FigureSource {
        activity,
        metrics,
        levels,
    });
    tracker.spawn(sample_each_second(Arc::clone(&source), stop.clone()));
    tracker.spawn(store_hours(source, hours, stop));
    Ok(())
}

async fn sample_each_second(source: Arc<FigureSource>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(SAMPLE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        source.sample();
    }
}

/// Stores the hours each minute, and a last time when the server stops.
async fn store_hours(source: Arc<FigureSource>, table: HourTable, stop: CancellationToken) {
    let mut unstored = UnstoredHours {
        table,
        waiting: BTreeMap::new(),
        stored: None,
    };
    while stop
        .run_until_cancelled(tokio::time::sleep(STORE_INTERVAL))
        .await
        .is_some()
    {
        unstored.add(source.activity.take_hours());
        unstored.store().await;
    }
    source.sample();
    unstored.add(source.activity.take_hours());
    unstored.store().await;
}

impl FigureSource {
    fn sample(&self) {
        let levels = (self.levels)();
        let mut totals = self.metrics.totals();
        totals.counts.set(TotalKind::CacheHits, levels.cache_hits);
        totals
            .counts
            .set(TotalKind::CacheMisses, levels.cache_misses);
        let (running, _) = self.activity.count_running();
        let sample = FigureSample {
            totals,
            levels: level_sample(&levels, running),
        };
        self.activity.record_second(unix_now(), &sample, levels);
    }
}

/// Returns the levels that are kept over time, with the number of `running` turns.
fn level_sample(levels: &MetricsSnapshot, running: usize) -> LevelSample {
    let workers = |state: &str| {
        let mut counts = levels.workers.iter();
        let found = counts.find(|(name, _)| *name == state);
        found.map_or(0, |(_, count)| *count)
    };
    let samples = [
        workers("starting"),
        workers("idle"),
        workers("busy"),
        workers("resetting"),
        levels.waiting,
        running,
    ];
    LevelSample(samples.map(|level| level as u64))
}

impl UnstoredHours {
    /// Adds hours, except one in which nothing has happened since it was stored.
    fn add(&mut self, hours: Vec<StepFigures>) {
        let newest = hours.last().map(|hour| hour.start);
        for hour in hours {
            let is_over = Some(hour.start) != newest;
            let is_stored = self.stored.is_some_and(|stored| {
                stored.start == hour.start && stored.growth == hour.growth && !is_over
            });
            if !is_stored {
                self.waiting.insert(hour.start, hour);
            }
        }
        while self.waiting.len() > MAX_UNSTORED_HOURS {
            self.waiting.pop_first();
        }
    }

    /// Stores the hours; those that cannot be stored wait for the next time.
    async fn store(&mut self) {
        while let Some((_, hour)) = self.waiting.first_key_value() {
            if let Err(error) = self.table.save(hour).await {
                tracing::warn!(error = %ErrorChain(&error), "figures of hour not stored");
                return;
            }
            self.stored = Some(*hour);
            self.waiting.pop_first();
        }
    }
}
