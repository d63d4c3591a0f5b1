//! Metrics of holds, charges and their commits.

use super::*;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::testing::assert_series;

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
