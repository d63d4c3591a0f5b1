//! Loss of commits, in a store in memory.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::super::Store;
use super::super::testing::SharedBackend;
use super::*;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::testing::assert_series;

/// Seconds after which a fact is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(61);

fn store(backend: &Arc<SharedBackend>) -> Store {
    Store::inline(Arc::clone(backend) as _, TaskTracker::new())
}

/// Sets `key`, and remembers that under `name`.
async fn set(store: &Store, key: &'static str, name: &'static str) -> Result<(), Error> {
    let work = move |transaction: &mut Transaction<'_>| {
        transaction.put(key.into(), b"1".to_vec());
        transaction.remember(name.into(), move |transaction| {
            let is_missing = transaction.get(key.as_bytes())?.is_none();
            if is_missing {
                transaction.put(key.into(), b"1".to_vec());
            }
            Ok(is_missing)
        });
        Ok(())
    };
    store.transaction(work).await
}

/// Returns the keys that a transaction sees.
async fn keys(store: &Store) -> Vec<String> {
    let records = store.snapshot(Vec::new()).await.unwrap();
    records
        .into_iter()
        .map(|(key, _)| String::from_utf8(key).unwrap())
        .collect()
}

#[tokio::test]
async fn facts_that_are_lost_are_there_for_the_next_transaction() {
    let backend = Arc::new(SharedBackend::default());
    let store = store(&backend);
    set(&store, "kept", "kept").await.unwrap();
    let saved = backend.records();
    set(&store, "lost", "lost").await.unwrap();
    // Not remembered, as a claim is not.
    let claim = |transaction: &mut Transaction<'_>| {
        transaction.put(b"claim".to_vec(), Vec::new());
        Ok::<_, Error>(())
    };
    store.transaction(claim).await.unwrap();
    backend.lose_all_but(saved);
    assert_eq!(keys(&store).await, ["kept", "lost"]);
    // Told once.
    backend.lose_all_but(Vec::new());
    assert_eq!(backend.take_loss(), Some(1));
    assert_eq!(keys(&store).await, [""; 0]);
}

#[tokio::test]
async fn fact_that_was_replaced_is_not_made_again() {
    let backend = Arc::new(SharedBackend::default());
    let store = store(&backend);
    set(&store, "earlier", "state").await.unwrap();
    set(&store, "later", "state").await.unwrap();
    backend.lose_all_but(Vec::new());
    assert_eq!(keys(&store).await, ["later"]);
}

#[tokio::test]
async fn fact_of_a_transaction_that_failed_is_not_remembered() {
    let backend = Arc::new(SharedBackend::default());
    let store = store(&backend);
    (0..MAX_RUNS).for_each(|_| backend.add_conflict((b"other".to_vec(), Some(Vec::new()))));
    set(&store, "a", "a").await.unwrap_err();
    backend.lose_all_but(Vec::new());
    assert_eq!(keys(&store).await, [""; 0]);
}

/// The caller gets an error, and undoes the fact by its id.
#[tokio::test]
async fn fact_that_no_replica_has_confirmed_is_made_again() {
    let backend = Arc::new(SharedBackend::default());
    let store = store(&backend);
    backend.miss_replicas(true);
    let refused = set(&store, "a", "a").await;
    assert!(
        matches!(refused, Err(Error::NotReplicated { .. })),
        "{refused:?}"
    );
    backend.lose_all_but(Vec::new());
    // The facts are made and not confirmed, so the transaction after them does not run.
    let stopped = set(&store, "b", "b").await;
    assert!(
        matches!(stopped, Err(Error::Suspended(_))),
        "its change is not made: {stopped:?}"
    );
    assert_eq!(backend.records().len(), 1);
    backend.miss_replicas(false);
    assert_eq!(keys(&store).await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn facts_are_forgotten_by_later_commits_alone() {
    let backend = Arc::new(SharedBackend::default());
    let store = store(&backend);
    set(&store, "first", "first").await.unwrap();
    // The store may have been away all the time.
    tokio::time::advance(FORGOTTEN).await;
    backend.lose_all_but(Vec::new());
    assert_eq!(keys(&store).await, ["first"]);
    set(&store, "second", "second").await.unwrap();
    backend.lose_all_but(Vec::new());
    assert_eq!(keys(&store).await, ["second"]);
}

/// Returns a fact that sets `name`, whose value is said to have `bytes` bytes.
fn result(name: &'static str, bytes: u64) -> NamedFact {
    let restorer = move |transaction: &mut Transaction<'_>| {
        transaction.put(name.into(), b"1".to_vec());
        Ok::<_, Error>(true)
    };
    NamedFact {
        name: name.into(),
        restorer: Box::new(restorer),
        result_bytes: Some(bytes),
    }
}

/// Returns the keys of `backend` after it has lost all records, and `facts` were applied again.
fn restored_keys(facts: &mut RecentFacts, metrics: &StoreMetrics) -> Vec<String> {
    let backend = SharedBackend::default();
    backend.lose_all_but(Vec::new());
    facts.restore(&backend, metrics).unwrap();
    let keys = backend.records().into_iter().map(|(key, _)| key);
    keys.map(|key| String::from_utf8(key).unwrap()).collect()
}

#[test]
fn oldest_results_are_forgotten_where_there_is_no_room_and_charges_are_not() {
    let all = Metrics::new();
    let metrics = &all.store;
    let mut facts = RecentFacts::default();
    let third = MAX_RESULT_BYTES / 3;
    let charge = NamedFact {
        result_bytes: None,
        ..result("charge", 0)
    };
    facts.add([charge, result("first", third)], metrics);
    facts.add([result("second", third)], metrics);
    assert_eq!(
        restored_keys(&mut facts, metrics),
        ["charge", "first", "second"]
    );
    // The second one is the later one now.
    facts.add([result("first", third), result("third", third)], metrics);
    assert_eq!(
        restored_keys(&mut facts, metrics),
        ["charge", "first", "third"]
    );
    assert_series(&all, &["switchboard_store_forgotten_facts_total 1"]);
    // An earlier state of it is none that it may come back to.
    facts.add([result("first", MAX_RESULT_BYTES)], metrics);
    assert_eq!(restored_keys(&mut facts, metrics), ["charge", "third"]);
    assert_series(&all, &["switchboard_store_forgotten_facts_total 2"]);
}

#[tokio::test]
async fn facts_that_cannot_be_made_again_stop_what_follows() {
    let backend = Arc::new(SharedBackend::default());
    let store = store(&backend);
    set(&store, "a", "a").await.unwrap();
    backend.lose_all_but(Vec::new());
    (0..MAX_RUNS * MAX_RUNS)
        .for_each(|_| backend.add_conflict((b"other".to_vec(), Some(Vec::new()))));
    set(&store, "b", "b").await.unwrap_err();
    assert!(!backend.records().iter().any(|(key, _)| key == b"b"));
    set(&store, "b", "b").await.unwrap();
    assert_eq!(keys(&store).await, ["a", "b", "other"]);
}
