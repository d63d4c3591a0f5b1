//! Fairness among many tenants.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use super::super::{BusyReason, Claim, Class, Config, Error};
use super::{PoolFixture, config};
use crate::runtime::fair_queue::Tenant;

fn live(tenant: &str) -> Claim {
    Claim {
        tenant: Tenant::new(tenant, 1),
        class: Class::Live,
        span: None,
    }
}

/// Spawns `count` requests of `claim` that hold a worker for a second each, and logs which are
/// served or refused.
fn flood(fixture: &PoolFixture, claim: &Claim, count: usize, log: &Arc<Mutex<Vec<String>>>) {
    for _ in 0..count {
        let pool = fixture.pool.clone();
        let claim = claim.clone();
        let log = Arc::clone(log);
        fixture.tracker.spawn(async move {
            let lent = pool.lease(&claim).await;
            let note = |what: String| log.lock().unwrap().push(what);
            match lent {
                Ok(mut lease) => {
                    note(format!("{:?}", claim.class));
                    lease.worker().unwrap();
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(Error::Busy {
                    reason: BusyReason::OwnShare { .. },
                    ..
                }) => note("own share".to_owned()),
                Err(error) => note(error.to_string()),
            }
        });
    }
}

/// Runs spawned requests until they wait: paused time advances only when nothing else can run.
async fn asked() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn flood_of_one_tenant_neither_refuses_nor_delays_another() {
    let fixture = PoolFixture::new(Config {
        queue_length: 20,
        ..config()
    });
    fixture.settle().await;
    let log = Arc::default();
    for _ in 0..12 {
        // New ones come as soon as some are evicted.
        flood(&fixture, &live("flood"), 150, &log);
        asked().await;
        assert!(fixture.pool.stats().waiting >= 20, "the queue is full");
        let before = log
            .lock()
            .unwrap()
            .iter()
            .filter(|what| *what == "Live")
            .count();
        let lease = fixture
            .pool
            .lease(&live("single"))
            .await
            .expect("it is not refused");
        let served = log
            .lock()
            .unwrap()
            .iter()
            .filter(|what| *what == "Live")
            .count();
        assert!(
            served - before <= 1,
            "{} of the flood went first",
            served - before
        );
        drop(lease);
    }
    let log = log.lock().unwrap().clone();
    assert!(
        log.iter().any(|what| what == "own share"),
        "the flood is told that it is its own"
    );
    assert!(
        log.iter().all(|what| what == "own share" || what == "Live"),
        "{log:?}"
    );
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn background_requests_are_served_last_but_not_starved() {
    let fixture = PoolFixture::new(Config {
        max_workers: 1,
        queue_length: 60,
        ..config()
    });
    fixture.settle().await;
    let log = Arc::default();
    let held = fixture.lease().await;
    let background = Claim {
        class: Class::Background,
        ..live("other")
    };
    flood(&fixture, &background, 2, &log);
    asked().await;
    flood(&fixture, &live("flood"), 40, &log);
    asked().await;
    drop(held);
    tokio::time::sleep(Duration::from_secs(50)).await;
    let log = log.lock().unwrap().clone();
    let places: Vec<_> = log
        .iter()
        .enumerate()
        .filter(|(_, what)| *what == "Background")
        .collect();
    assert_eq!(
        places.iter().map(|(place, _)| *place).collect::<Vec<_>>(),
        [15, 31]
    );
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn background_request_waits_without_timeout() {
    let fixture = PoolFixture::new(Config {
        max_workers: 1,
        ..config()
    });
    let held = fixture.lease().await;
    let log = Arc::default();
    flood(
        &fixture,
        &Claim {
            class: Class::Background,
            ..live("a")
        },
        1,
        &log,
    );
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(*log.lock().unwrap(), [""; 0]);
    drop(held);
    fixture.settle().await;
    assert_eq!(*log.lock().unwrap(), ["Background"]);
    fixture.end().await;
}
