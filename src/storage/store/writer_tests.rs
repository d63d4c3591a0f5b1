//! Metrics of transactions that are not written.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::super::Store;
use super::super::testing::FREE_SPACE_BYTES;
use super::super::testing::FaultyBackend;
use super::super::testing::SharedBackend;
use super::*;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::testing::assert_series;

/// Store on `backend` that counts in `metrics`.
fn store(backend: &Arc<impl Backend>, metrics: &Metrics) -> Store {
    let backend = Arc::clone(backend) as Arc<dyn Backend>;
    Store::with_writer(backend, TaskTracker::new(), metrics.store.clone()).unwrap()
}

async fn put(store: &Store, size: u64) -> Result<(), Error> {
    let work = move |transaction: &mut Transaction<'_>| {
        let value = vec![1; usize::try_from(size).unwrap()];
        transaction.put(b"key".to_vec(), value);
        Ok(())
    };
    store.transaction(work).await
}

#[tokio::test]
async fn transaction_refused_before_the_write_counts_as_failed_by_a_full_disk() {
    let backend = Arc::new(FaultyBackend::default());
    let metrics = Metrics::new();
    let store = store(&backend, &metrics);
    put(&store, FREE_SPACE_BYTES + 1).await.unwrap_err();
    assert_eq!(backend.writes(), 0, "it never reached the engine");
    backend.fill(true);
    put(&store, 1).await.unwrap_err();
    // Neither a read nor a transaction that fails by itself has anything to write.
    store.snapshot(Vec::new()).await.unwrap();
    let refused = store.transaction(|transaction| {
        transaction.put(b"key".to_vec(), Vec::new());
        Err::<(), Error>(Error::Closed)
    });
    refused.await.unwrap_err();
    backend.fill(false);
    put(&store, 1).await.unwrap();
    assert_series(
        &metrics,
        &[
            r#"switchboard_store_failed_commits_total{reason="disk_full"} 2"#,
            r#"switchboard_store_failed_commits_total{reason="engine"} 0"#,
            r#"switchboard_store_failed_commits_total{reason="conflict"} 0"#,
            r#"switchboard_store_failed_commits_total{reason="recovering"} 0"#,
        ],
    );
}

#[tokio::test]
async fn transaction_counts_as_conflicting_only_after_its_last_run() {
    let backend = Arc::new(SharedBackend::default());
    let metrics = Metrics::new();
    let store = store(&backend, &metrics);
    let change = || (b"other".to_vec(), Some(Vec::new()));
    backend.add_conflict(change());
    put(&store, 1).await.unwrap();
    let failed = r#"switchboard_store_failed_commits_total{reason="conflict"}"#;
    assert_series(&metrics, &[&format!("{failed} 0")]);
    (0..MAX_RUNS).for_each(|_| backend.add_conflict(change()));
    put(&store, 1).await.unwrap_err();
    assert_series(&metrics, &[&format!("{failed} 1")]);
}

#[tokio::test]
async fn transaction_that_no_replica_has_confirmed_counts_as_not_replicated() {
    let backend = Arc::new(SharedBackend::default());
    let metrics = Metrics::new();
    let store = store(&backend, &metrics);
    backend.miss_replicas(true);
    put(&store, 1).await.unwrap_err();
    assert_eq!(backend.records().len(), 1, "it is made nevertheless");
    let failed = r#"switchboard_store_failed_commits_total{reason="not_replicated"} 1"#;
    assert_series(&metrics, &[failed]);
}
