//! Health checks of workers that were idle for long.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::Claim;
use super::{PoolFixture, config};

#[tokio::test(start_paused = true)]
async fn long_idle_worker_is_lent_after_health_check() {
    let fixture = PoolFixture::new(config());
    fixture.settle().await;
    drop(fixture.lease().await);
    tokio::time::sleep(Duration::from_secs(10)).await;
    drop(fixture.lease().await);
    assert_eq!(
        fixture.script.checks.load(Ordering::Relaxed),
        0,
        "it was idle for a moment only"
    );
    tokio::time::sleep(Duration::from_secs(31)).await;
    let resets = fixture.script.resets.load(Ordering::Relaxed);
    drop(fixture.pool.lease(&Claim::own()).await.unwrap());
    assert_eq!(fixture.script.checks.load(Ordering::Relaxed), 1);
    assert_eq!(
        fixture.script.resets.load(Ordering::Relaxed),
        resets,
        "it is as clean as it was"
    );
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn unresponsive_idle_worker_is_replaced() {
    let fixture = PoolFixture::new(config());
    drop((fixture.lease().await, fixture.lease().await));
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(fixture.pool.stats().idle, 2);
    fixture.script.silent_before.store(2, Ordering::Relaxed);
    let before = tokio::time::Instant::now();
    let mut lease = fixture.lease().await;
    assert_eq!(lease.worker().unwrap().number, 2, "both are silent");
    assert!(
        before.elapsed() < Duration::from_secs(3),
        "{:?}",
        before.elapsed()
    );
    drop(lease);
    fixture.settle().await;
    assert_eq!(
        fixture.script.resets.load(Ordering::Relaxed),
        3,
        "what is silent is not reset"
    );
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn cancelled_health_check_leaves_worker_to_be_reset() {
    let fixture = PoolFixture::new(config());
    fixture.settle().await;
    tokio::time::sleep(Duration::from_secs(31)).await;
    fixture.script.silent_before.store(1, Ordering::Relaxed);
    let ended =
        tokio::time::timeout(Duration::from_millis(10), fixture.pool.lease(&Claim::own())).await;
    assert!(ended.is_err());
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(fixture.script.resets.load(Ordering::Relaxed), 1);
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn unresponsive_idle_workers_are_checked_concurrently() {
    let fixture = PoolFixture::new(super::Config {
        max_workers: 8,
        max_starting: 8,
        ..config()
    });
    let mut leases = Vec::new();
    for _ in 0..8 {
        leases.push(fixture.lease().await);
    }
    drop(leases);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(fixture.pool.stats().idle, 8);
    fixture.script.silent_before.store(8, Ordering::Relaxed);
    let before = tokio::time::Instant::now();
    let lease = fixture.lease().await;
    assert!(
        before.elapsed() < Duration::from_secs(3),
        "{:?}",
        before.elapsed()
    );
    drop(lease);
    fixture.end().await;
}
