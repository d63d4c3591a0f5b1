//! Metrics of holds, charges and their commits: each one that is on disk counts once.

use super::*;
use crate::storage::store::testing::FaultyBackend;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::testing::assert_series;

/// Ledger whose holds and charges count in the returned metrics, and its disk.
async fn measured() -> (Ledger, Metrics, Arc<FaultyBackend>) {
    let disk = Arc::new(FaultyBackend::default());
    let metrics = Metrics::new();
    let store = Store::new(Arc::clone(&disk) as Arc<dyn Backend>, TaskTracker::new()).unwrap();
    let config = Config {
        keep_charges_days: 92,
        node: "server".to_owned(),
    };
    let durations = metrics.ledger.clone();
    let opened = Ledger::open_measured(store, Clock::new(|| NOW), config, durations).await;
    (opened.unwrap().ledger, metrics, disk)
}

/// Waits until what was queued before has run. A guard that is dropped by a transaction queues
/// another one, so that it takes two.
async fn settle_down(ledger: &Ledger) {
    for _ in 0..2 {
        // Fails with the group that it is written in.
        let _ = ledger.0.store.transaction(|_| Ok::<_, Error>(())).await;
    }
}

#[tokio::test]
async fn hold_and_charge_count_although_their_futures_are_dropped() {
    let (ledger, metrics, _disk) = measured().await;
    drop(ledger.hold(&daily(100), amount(10, 0), "1"));
    let hold = async |id| ledger.hold(&daily(100), amount(10, 0), id).await.unwrap();
    drop(hold("2").await.settle(charge(5, 1_500_000_000)));
    // Charged in full, because its run has begun.
    drop(hold("3").await.start());
    settle_down(&ledger).await;
    assert_series(
        &metrics,
        &[
            "switchboard_hold_seconds_count 3",
            "switchboard_charge_seconds_count 2",
            r#"switchboard_tokens_total{model="other",type="output"} 5"#,
            r#"switchboard_tokens_total{model="other",type="estimated"} 10"#,
            r#"switchboard_cost_usd_total{model="other"} 1.5"#,
        ],
    );
}

#[tokio::test]
async fn hold_and_charge_that_are_not_written_count_once_they_are() {
    let (ledger, metrics, disk) = measured().await;
    let hold = async |id| ledger.hold(&daily(100), amount(10, 0), id).await;
    let held = hold("1").await.unwrap();
    disk.fill(true);
    assert!(hold("2").await.is_err());
    assert!(held.settle(charge(5, 0)).await.is_err());
    let counts = |charges: u32| {
        let charges = format!("switchboard_charge_seconds_count {charges}");
        assert_series(&metrics, &["switchboard_hold_seconds_count 1", &charges]);
    };
    counts(0);
    disk.fill(false);
    for _ in 0..2 {
        ledger.retry_pending_closes().await;
        counts(1);
        let tokens = r#"switchboard_tokens_total{model="other",type="output"} 5"#;
        assert_series(&metrics, &[tokens]);
    }
}

#[tokio::test]
async fn repeated_run_of_an_answer_that_is_charged_counts_no_further_hold() {
    let (ledger, metrics, _disk) = measured().await;
    let id = resumable_id("batch/1");
    for _ in 0..2 {
        let held = ledger.hold(&daily(100), amount(10, 0), &id).await.unwrap();
        held.settle(charge(5, 0)).await.unwrap();
    }
    assert_series(
        &metrics,
        &[
            "switchboard_hold_seconds_count 1",
            "switchboard_charge_seconds_count 1",
            r#"switchboard_tokens_total{model="other",type="output"} 5"#,
        ],
    );
}

#[tokio::test]
async fn holds_charges_and_their_commits_are_measured() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = Metrics::new();
    let config = crate::storage::store::Config::default();
    let commits = metrics.store.clone();
    let store = Store::open_measured(folder.path(), config, TaskTracker::new(), commits).unwrap();
    let config = Config {
        keep_charges_days: 92,
        node: "server".to_owned(),
    };
    let durations = metrics.ledger.clone();
    let clock = Clock::new(|| NOW);
    let opened = Ledger::open_measured(store, clock, config, durations)
        .await
        .unwrap();
    let ledger = opened.ledger;
    let hold = async |id| ledger.hold(&daily(100), amount(60, 0), id).await;
    hold("1").await.unwrap().settle(charge(5, 0)).await.unwrap();
    hold("2").await.unwrap().release().await.unwrap();
    let open = hold("3").await.unwrap();
    assert!(hold("4").await.is_err(), "over the budget");
    assert_series(
        &metrics,
        &[
            "switchboard_hold_seconds_count 3",
            "switchboard_charge_seconds_count 1",
            // Opening the ledger, three holds, a charge and a release. The refused hold wrote nothing.
            "switchboard_store_commit_seconds_count 6",
            "switchboard_store_commit_transactions_sum 6.0",
            r#"switchboard_store_failed_commits_total{reason="engine"} 0"#,
        ],
    );
    drop(open);
}
