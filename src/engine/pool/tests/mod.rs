//! The pool with in-memory workers, on paused time.

mod fairness;
mod health_checks;
mod traced;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio_util::task::TaskTracker;

use crate::telemetry::metrics::PoolMetrics;

use super::{
    BusyReason, Claim, Config, Error, LaunchError, Launcher, Lease, Pool, PoolStats, Worker,
};

/// Behaviour of the scripted workers, shared with the test.
#[derive(Default)]
struct Script {
    launches: AtomicUsize,
    alive: AtomicUsize,
    most_alive: AtomicUsize,
    resets: AtomicUsize,
    launch_fails: AtomicBool,
    reset_fails: AtomicBool,
    workers_are_dead: AtomicBool,
    /// Workers with a lower number fail their health check.
    silent_before: AtomicUsize,
    checks: AtomicUsize,
}

#[derive(Clone)]
struct ScriptedLauncher(Arc<Script>);

struct ScriptedWorker {
    number: usize,
    script: Arc<Script>,
}

impl Launcher for ScriptedLauncher {
    type Worker = ScriptedWorker;

    async fn launch(&self) -> Result<ScriptedWorker, LaunchError> {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if self.0.launch_fails.load(Ordering::Relaxed) {
            return Err(LaunchError {
                message: "no such program".to_owned(),
                source: None,
                is_permanent: false,
            });
        }
        let number = self.0.launches.fetch_add(1, Ordering::Relaxed);
        let alive = self.0.alive.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.most_alive.fetch_max(alive, Ordering::Relaxed);
        Ok(ScriptedWorker {
            number,
            script: Arc::clone(&self.0),
        })
    }
}

impl Worker for ScriptedWorker {
    type ResetError = std::io::Error;

    async fn reset(&mut self) -> std::io::Result<()> {
        tokio::time::sleep(Duration::from_millis(3)).await;
        self.script.resets.fetch_add(1, Ordering::Relaxed);
        if self.script.reset_fails.load(Ordering::Relaxed) {
            Err(std::io::ErrorKind::ConnectionRefused.into())
        } else {
            Ok(())
        }
    }

    fn is_alive(&mut self) -> bool {
        !self.script.workers_are_dead.load(Ordering::Relaxed)
    }

    async fn is_responsive(&mut self) -> bool {
        self.script.checks.fetch_add(1, Ordering::Relaxed);
        if self.number < self.script.silent_before.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        true
    }
}

impl Drop for ScriptedWorker {
    fn drop(&mut self) {
        self.script.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

fn config() -> Config {
    Config {
        max_workers: 2,
        prewarm: 1,
        max_starting: 2,
        queue_length: 2,
        queue_timeout: Duration::from_secs(60),
        max_turns: 200,
        max_age: Duration::from_secs(3600),
        idle_timeout: Duration::from_secs(600),
        check_after: Duration::from_secs(30),
    }
}

struct PoolFixture {
    pool: Pool<ScriptedLauncher>,
    script: Arc<Script>,
    tracker: TaskTracker,
}

impl PoolFixture {
    fn new(config: Config) -> Self {
        let script = Arc::new(Script::default());
        let tracker = TaskTracker::new();
        let pool = Pool::start(
            ScriptedLauncher(Arc::clone(&script)),
            config,
            PoolMetrics::default(),
            tracker.clone(),
        );
        Self {
            pool,
            script,
            tracker,
        }
    }

    /// Takes a lease and uses it, so that its worker is reset when it ends.
    async fn lease(&self) -> Lease<ScriptedLauncher> {
        let mut lease = self.pool.lease(&Claim::own()).await.unwrap();
        lease.worker().unwrap();
        lease
    }

    async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(600)).await;
    }

    /// Closes the pool and asserts that no worker is left.
    async fn end(self) {
        self.pool.close();
        self.tracker.close();
        self.tracker.wait().await;
        assert_eq!(
            self.script.alive.load(Ordering::Relaxed),
            0,
            "no worker is left"
        );
        let stats = self.pool.stats();
        let PoolStats {
            busy,
            idle,
            starting,
            resetting,
            ..
        } = stats;
        assert_eq!((busy, idle, starting, resetting), (0, 0, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_starts_are_limited() {
    let fixture = PoolFixture::new(Config {
        max_workers: 5,
        prewarm: 5,
        ..config()
    });
    for (starting, idle) in [(2, 0), (2, 2), (1, 4), (0, 5)] {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let stats = fixture.pool.stats();
        assert_eq!((stats.starting, stats.idle), (starting, idle));
        tokio::time::sleep(Duration::from_millis(499)).await;
    }
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn last_reset_worker_is_lent_first() {
    let fixture = PoolFixture::new(config());
    fixture.settle().await;
    for _ in 0..10 {
        let mut lease = fixture.lease().await;
        assert_eq!(lease.worker().unwrap().number, 0);
        drop(lease);
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    assert_eq!(fixture.script.resets.load(Ordering::Relaxed), 10);
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn spare_worker_is_started_while_one_is_in_use() {
    let fixture = PoolFixture::new(config());
    fixture.settle().await;
    let lease = fixture.lease().await;
    assert_eq!(
        fixture.pool.stats().starting,
        0,
        "not while the request may need the core"
    );
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(fixture.pool.stats().idle, 1);
    drop(lease);
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn number_of_workers_never_exceeds_the_maximum() {
    let fixture = PoolFixture::new(Config {
        queue_length: 100,
        ..config()
    });
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let pool = fixture.pool.clone();
        requests.spawn(async move {
            let mut lease = pool.lease(&Claim::own()).await.unwrap();
            lease.worker().unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        });
    }
    while let Some(result) = requests.join_next().await {
        result.unwrap();
    }
    assert_eq!(fixture.script.most_alive.load(Ordering::Relaxed), 2);
    assert_eq!(fixture.script.launches.load(Ordering::Relaxed), 2);
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn queue_length_is_bounded() {
    let fixture = PoolFixture::new(config());
    let first = fixture.lease().await;
    let second = fixture.lease().await;
    let check_room = || fixture.pool.check_room(&Claim::own());
    assert_eq!(check_room(), Ok(()));
    let waiting: Vec<_> = (0..2)
        .map(|_| fixture.pool.clone())
        .map(|pool| {
            fixture
                .tracker
                .spawn(async move { pool.lease(&Claim::own()).await })
        })
        .collect();
    tokio::task::yield_now().await;
    let busy = Error::Busy {
        workers: 2,
        reason: BusyReason::OwnShare { own: 2, waiting: 2 },
    };
    assert_eq!(check_room(), Err(busy.clone()));
    assert_eq!(fixture.pool.lease(&Claim::own()).await.unwrap_err(), busy);
    drop((first, second));
    for waiter in waiting {
        drop(waiter.await.unwrap().unwrap());
    }
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn queue_wait_times_out() {
    let fixture = PoolFixture::new(config());
    let leases = (fixture.lease().await, fixture.lease().await);
    let before = tokio::time::Instant::now();
    assert_eq!(
        fixture.pool.lease(&Claim::own()).await.unwrap_err(),
        Error::Busy {
            workers: 2,
            reason: BusyReason::WaitedTooLong(Duration::from_secs(60))
        }
    );
    assert_eq!(before.elapsed(), Duration::from_secs(60));
    drop(leases);
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn cancelled_waiter_gets_no_worker() {
    let fixture = PoolFixture::new(config());
    let leases = (fixture.lease().await, fixture.lease().await);
    let ended =
        tokio::time::timeout(Duration::from_millis(10), fixture.pool.lease(&Claim::own())).await;
    assert!(ended.is_err());
    drop(leases);
    fixture.settle().await;
    assert_eq!(fixture.pool.stats().busy, 0);
    assert_eq!(
        fixture.script.resets.load(Ordering::Relaxed),
        2,
        "only the used workers were reset"
    );
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn worker_is_replaced_when_its_reset_fails() {
    let fixture = PoolFixture::new(config());
    let lease = fixture.lease().await;
    fixture.script.reset_fails.store(true, Ordering::Relaxed);
    drop(lease);
    fixture.settle().await;
    fixture.settle().await;
    assert_eq!(fixture.script.launches.load(Ordering::Relaxed), 2);
    assert_eq!(fixture.script.alive.load(Ordering::Relaxed), 1);
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn broken_worker_is_ended_without_reset() {
    let fixture = PoolFixture::new(config());
    let mut lease = fixture.lease().await;
    lease.mark_broken();
    drop(lease);
    fixture.settle().await;
    assert_eq!(fixture.script.resets.load(Ordering::Relaxed), 0);
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn worker_is_replaced_after_max_turns_and_max_age() {
    let fixture = PoolFixture::new(Config {
        max_turns: 2,
        max_workers: 1,
        ..config()
    });
    for _ in 0..4 {
        drop(fixture.lease().await);
    }
    fixture.settle().await;
    assert_eq!(fixture.script.launches.load(Ordering::Relaxed), 3);
    tokio::time::sleep(Duration::from_secs(3602)).await;
    fixture.settle().await;
    assert_eq!(fixture.script.launches.load(Ordering::Relaxed), 4);
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn surplus_idle_workers_are_retired_after_idle_timeout() {
    let fixture = PoolFixture::new(config());
    drop((fixture.lease().await, fixture.lease().await));
    fixture.settle().await;
    assert_eq!(fixture.pool.stats().idle, 2);
    tokio::time::sleep(Duration::from_secs(602)).await;
    assert_eq!(fixture.pool.stats().idle, 1);
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn dead_idle_worker_is_not_lent() {
    let fixture = PoolFixture::new(config());
    fixture.settle().await;
    fixture
        .script
        .workers_are_dead
        .store(true, Ordering::Relaxed);
    let waiting = {
        let pool = fixture.pool.clone();
        fixture.tracker.spawn(async move {
            pool.lease(&Claim::own())
                .await
                .map(|mut lease| lease.worker().unwrap().number)
        })
    };
    tokio::task::yield_now().await;
    fixture
        .script
        .workers_are_dead
        .store(false, Ordering::Relaxed);
    assert_eq!(waiting.await.unwrap().unwrap(), 1);
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn failing_starts_back_off_fail_waiters_and_recover() {
    let fixture = PoolFixture::new(config());
    fixture.script.launch_fails.store(true, Ordering::Relaxed);
    let error = fixture.pool.lease(&Claim::own()).await.unwrap_err();
    assert!(
        matches!(&error, Error::Unavailable { reason, .. } if reason == "no such program"),
        "{error:?}"
    );
    assert_eq!(
        fixture.pool.stats().last_failure.as_deref(),
        Some("no such program")
    );
    let error = fixture.pool.lease(&Claim::own()).await.unwrap_err();
    assert!(
        matches!(error, Error::Unavailable { .. }),
        "told at once while backing off: {error:?}"
    );
    assert_eq!(fixture.pool.check_room(&Claim::own()), Err(error));
    fixture.script.launch_fails.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(31)).await;
    drop(fixture.lease().await);
    assert_eq!(fixture.pool.stats().last_failure, None);
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn close_fails_waiters_and_ends_every_worker() {
    let fixture = PoolFixture::new(config());
    let leases = (fixture.lease().await, fixture.lease().await);
    let waiting = {
        let pool = fixture.pool.clone();
        fixture
            .tracker
            .spawn(async move { pool.lease(&Claim::own()).await.map(drop) })
    };
    tokio::task::yield_now().await;
    fixture.pool.close();
    assert_eq!(waiting.await.unwrap(), Err(Error::Closed));
    assert_eq!(
        fixture.pool.lease(&Claim::own()).await.map(drop),
        Err(Error::Closed)
    );
    assert_eq!(fixture.pool.check_room(&Claim::own()), Err(Error::Closed));
    drop(leases);
    fixture.end().await;
}
