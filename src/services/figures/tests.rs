//! Hours that outlive a restart, and the samples that they are made of.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::domain::unix_now;
use crate::storage::store::Store;
use crate::storage::store::StoreTable;
use crate::storage::store::TtlLimits;
use crate::storage::store::TtlTable;
use crate::storage::store::testing::FaultyBackend;
use crate::telemetry::activity::Activity;
use crate::telemetry::activity::FigurePoint;
use crate::telemetry::activity::FigureSpan;
use crate::telemetry::activity::LevelKind;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::MetricsSnapshot;
use crate::telemetry::metrics::TotalKind;
use crate::telemetry::metrics::TurnEnd;

/// Server whose figures are kept in a store.
struct SampledServer {
    activity: Activity,
    metrics: Metrics,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl SampledServer {
    async fn start(store: &Store) -> Self {
        let server = Self {
            activity: Activity::new(),
            metrics: Metrics::new(),
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let levels = || MetricsSnapshot {
            cache_hits: 3,
            workers: vec![("idle", 1), ("busy", 2)],
            waiting: 4,
            ..MetricsSnapshot::default()
        };
        let deps = FigureDeps {
            activity: server.activity.clone(),
            metrics: server.metrics.clone(),
            levels: Box::new(levels),
            hours: HourTable::new(store, "server"),
            tracker: server.tracker.clone(),
            stop: server.stop.clone(),
        };
        start_figures(deps).await.unwrap();
        server
    }

    /// Counts an answered turn.
    fn answer(&self) {
        let turns = &self.metrics.turns;
        turns.count_turn("m-1", TurnEnd::Answered, "chat");
    }

    /// Stops the server, and waits until its last hour is stored.
    async fn stop(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Figures of all hours together: number of steps, answers, cache hits.
    fn hours(&self) -> (usize, u64, u64) {
        let points = self.activity.points(FigureSpan::NinetyDays);
        let known: Vec<FigurePoint> = points.into_iter().filter_map(|(_, point)| point).collect();
        let sum = |kind: TotalKind| -> u64 {
            let counts = known.iter().map(|point| point.counts.get(kind));
            counts.sum()
        };
        (
            known.len(),
            sum(TotalKind::Answered),
            sum(TotalKind::CacheHits),
        )
    }
}

fn store() -> Store {
    Store::in_memory(TaskTracker::new())
}

#[tokio::test]
async fn hours_go_on_after_a_restart() {
    let store = store();
    for round in 1..=3 {
        let server = SampledServer::start(&store).await;
        server.answer();
        server.stop().await;
        let restarted = SampledServer::start(&store).await;
        // More than one where the clock passes an hour meanwhile.
        let (steps, answered, cache_hits) = restarted.hours();
        assert!((1..=2).contains(&steps), "{steps}");
        assert_eq!(answered, round);
        // Each start counts the hits of its own cache from 0 on, here two starts in each round but
        // the last.
        assert_eq!(cache_hits, 3 * (2 * round - 1));
        restarted.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn sample_is_taken_each_second_with_the_levels_of_all_parts() {
    let server = SampledServer::start(&store()).await;
    let mut follower = server.activity.follow(None).unwrap();
    for _ in 0..3 {
        follower.next().await;
    }
    let snapshot = server.activity.snapshot();
    assert_eq!(
        (snapshot.levels.waiting, snapshot.levels.cache_hits),
        (4, 3)
    );
    let points = server.activity.points(FigureSpan::NinetyDays);
    let levels = points[0].1.unwrap().levels;
    assert!(levels.samples >= 3);
    for (kind, mean) in [
        (LevelKind::WorkersIdle, 1.0),
        (LevelKind::WorkersBusy, 2.0),
        (LevelKind::WorkersStarting, 0.0),
        (LevelKind::Waiting, 4.0),
    ] {
        assert!((levels.mean(kind) - mean).abs() < 1e-9, "{kind:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn hour_that_cannot_be_read_stays_as_it_is() {
    let store = store();
    let limits = TtlLimits {
        time_to_live: std::time::Duration::from_secs(3600),
        max_records: 100,
        max_bytes: 1 << 20,
    };
    let table = TtlTable::new(store.clone(), StoreTable::new("figure-hours"), limits);
    let later = b"\x07{}".to_vec();
    let hours = [0, 1].map(|after| {
        let hour = unix_now() / 3600 + after;
        format!("{:012}", hour * 3600)
    });
    for id in &hours {
        table.put("server", id, later.clone()).await.unwrap();
    }
    let server = SampledServer::start(&store).await;
    server.answer();
    server.stop().await;
    for id in &hours {
        let stored = table.get("server", id).await.unwrap();
        assert_eq!(stored, Some(later.clone()), "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn hour_is_stored_once_the_disk_has_room_again() {
    let disk = Arc::new(FaultyBackend::default());
    let store = Store::inline(Arc::clone(&disk) as _, TaskTracker::new());
    disk.fill(true);
    let server = SampledServer::start(&store).await;
    server.answer();
    while disk.refusals() < 2 {
        tokio::time::advance(std::time::Duration::from_secs(60)).await;
        tokio::task::yield_now().await;
    }
    disk.fill(false);
    server.stop().await;
    let restarted = SampledServer::start(&store).await;
    assert_eq!(restarted.hours().1, 1);
    restarted.stop().await;
}
