//! Commits that the store has lost.

use super::*;
use crate::accounts::ledger::records::LeaseRecord;
use crate::storage::store::testing::SharedBackend;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::testing::assert_series;

fn store(backend: &Arc<SharedBackend>) -> Store {
    Store::inline(Arc::clone(backend) as _, TaskTracker::new())
}

async fn start(store: Store, node: &str) -> Ledger {
    let config = Config {
        keep_charges_days: 92,
        node: node.to_owned(),
    };
    let opened = Ledger::open(store, Clock::new(|| NOW), config);
    opened.await.unwrap().ledger
}

async fn begin(ledger: &Ledger, id: &str) -> BudgetHold {
    let ann = daily_of("ann", 1000);
    let hold = ledger.hold(&ann, amount(20, 5), id);
    hold.await.unwrap().start()
}

/// Ends the lease of the server that was started first, as `a`.
async fn end_first_lease(backend: &Arc<SharedBackend>) {
    let ended = LeaseRecord {
        epoch: 1,
        ends_at: 0,
    };
    let end_lease = move |transaction: &mut crate::storage::store::Transaction<'_>| {
        transaction.put(storage_keys::node("a"), ended.encode());
        Ok::<_, Error>(())
    };
    store(backend).transaction(end_lease).await.unwrap();
}

async fn assert_charged(store: &Store, expected: &[(&str, Amount)]) {
    let reader = LedgerReader::new(store.clone(), Clock::system());
    let charges = reader.charges().await.unwrap();
    let charged: Vec<_> = charges
        .iter()
        .map(|charge| (charge.id.as_str(), charge.amount))
        .collect();
    assert_eq!(charged, expected);
    assert_eq!(verify(store).await.unwrap().problems, [""; 0]);
}

/// All records are as before, whatever part of them is lost.
#[tokio::test]
async fn holds_and_charges_that_are_lost_are_made_again() {
    let backend = Arc::new(SharedBackend::default());
    let mut moments = vec![backend.records()];
    let ledger = start(store(&backend), "a").await;
    let settled = begin(&ledger, "settled").await;
    moments.push(backend.records());
    let released = begin(&ledger, "released").await;
    let bob = daily_of("bob", 1000);
    let waiting = ledger.hold(&bob, amount(20, 5), &waiting_id("begun"));
    let waiting = waiting.await.unwrap();
    let nobody = ledger.hold(&daily(1000), amount(20, 5), "nobody").await;
    let nobody = nobody.unwrap();
    let mut raised = begin(&ledger, "raised").await;
    let correction = settled.correction();
    moments.push(backend.records());
    settled.settle(charge_of_team(7, 4)).await.unwrap();
    moments.push(backend.records());
    correction.apply(Money::from_nanos(6)).await.unwrap();
    released.release().await.unwrap();
    moments.push(backend.records());
    let begun = waiting.start_as("begun").await.unwrap();
    moments.push(backend.records());
    let grant = Arc::clone(&daily_of("ann", 1000).grant);
    raised.raise(amount(50, 9), grant).await.unwrap();
    drop(begin(&ledger, "dropped").await);
    let whole = backend.records();
    moments.push(whole.clone());
    for (number, saved) in moments.into_iter().enumerate() {
        backend.lose_all_but(saved);
        ledger.renew_lease(false).await;
        assert_eq!(backend.records(), whole, "moment {number}");
    }
    begun.settle(charge(1, 1)).await.unwrap();
    nobody.settle(charge(3, 3)).await.unwrap();
    raised.settle(charge(2, 2)).await.unwrap();
    let charged = [
        ("begun", amount(1, 1)),
        ("dropped", amount(20, 5)),
        ("nobody", amount(3, 3)),
        ("raised", amount(2, 2)),
        ("settled", amount(7, 6)),
    ];
    assert_charged(&store(&backend), &charged).await;
}

/// Both servers remember a charge of the same hold.
#[tokio::test]
async fn estimate_for_a_lost_server_does_not_replace_what_that_one_knows() {
    for is_known_first in [true, false] {
        let backend = Arc::new(SharedBackend::default());
        let suspended = start(store(&backend), "a").await;
        let other = start(store(&backend), "b").await;
        let hold = begin(&suspended, "1").await;
        let saved = backend.records();
        end_first_lease(&backend).await;
        other.renew_lease(true).await;
        assert_charged(&store(&backend), &[("1", amount(20, 5))]).await;
        hold.settle(charge(7, 4)).await.unwrap();
        let order = if is_known_first {
            [&suspended, &other]
        } else {
            [&other, &suspended]
        };
        backend.lose_all_but(saved);
        order[0].renew_lease(false).await;
        // The other one finds the loss later.
        backend.lose_all_but(backend.records());
        order[1].renew_lease(false).await;
        assert_charged(&store(&backend), &[("1", amount(7, 4))]).await;
    }
}

/// The hold is stored, but its caller gets an error.
#[tokio::test]
async fn hold_that_no_replica_has_confirmed_is_released() {
    let backend = Arc::new(SharedBackend::default());
    let ledger = start(store(&backend), "a").await;
    let ann = daily_of("ann", 1000);
    let saved = backend.records();
    backend.miss_replicas(true);
    let refused = ledger.hold(&ann, amount(20, 5), "1").await.map(drop);
    assert!(matches!(refused, Err(Error::Store(_))), "{refused:?}");
    assert!(ledger.is_failing());
    backend.miss_replicas(false);
    ledger.retry_pending_closes().await;
    let free = (amount(0, 0), cap(1000));
    assert_eq!(budgets(&ledger, &ann).await, [free; 2]);
    backend.lose_all_but(saved);
    ledger.renew_lease(false).await;
    assert_eq!(budgets(&ledger, &ann).await, [free; 2], "nor is it again");
    begin(&ledger, "1")
        .await
        .settle(charge(7, 4))
        .await
        .unwrap();
    assert_charged(&store(&backend), &[("1", amount(7, 4))]).await;
}

/// The work runs again before the release of its first hold is repeated.
#[tokio::test]
async fn failed_release_does_not_end_a_later_hold_with_its_id() {
    let backend = Arc::new(SharedBackend::default());
    let ledger = start(store(&backend), "a").await;
    let ann = daily_of("ann", 1000);
    let id = resumable_id("line");
    backend.miss_replicas(true);
    let refused = ledger.hold(&ann, amount(20, 5), &id).await.map(drop);
    assert!(matches!(refused, Err(Error::Store(_))), "{refused:?}");
    backend.miss_replicas(false);
    let hold = begin(&ledger, &id).await;
    ledger.retry_pending_closes().await;
    let held = (amount(20, 5), cap(1000));
    assert_eq!(budgets(&ledger, &ann).await, [held; 2]);
    hold.settle(charge(7, 4)).await.unwrap();
    assert_charged(&store(&backend), &[(id.as_str(), amount(7, 4))]).await;
    assert!(ledger.0.pending_closes.lock().unwrap().is_empty());
}

/// The other one runs its work again.
#[tokio::test]
async fn release_by_a_suspended_server_leaves_the_hold_of_another_one() {
    let backend = Arc::new(SharedBackend::default());
    let suspended = start(store(&backend), "a").await;
    let other = start(store(&backend), "b").await;
    let id = resumable_id("line");
    let first = begin(&suspended, &id).await;
    end_first_lease(&backend).await;
    other.renew_lease(true).await;
    let second = begin(&other, &id).await;
    first.release().await.unwrap();
    second.settle(charge(7, 4)).await.unwrap();
    assert_charged(&store(&backend), &[(id.as_str(), amount(7, 4))]).await;
}

#[tokio::test]
async fn charge_that_no_replica_has_confirmed_is_made_once() {
    let backend = Arc::new(SharedBackend::default());
    let ledger = start(store(&backend), "a").await;
    let hold = begin(&ledger, "1").await;
    let lost = backend.records();
    backend.miss_replicas(true);
    hold.settle(charge(7, 4)).await.unwrap_err();
    ledger.retry_pending_closes().await;
    assert_charged(&store(&backend), &[("1", amount(7, 4))]).await;
    backend.miss_replicas(false);
    ledger.retry_pending_closes().await;
    assert_charged(&store(&backend), &[("1", amount(7, 4))]).await;
    backend.lose_all_but(lost);
    ledger.renew_lease(false).await;
    assert_charged(&store(&backend), &[("1", amount(7, 4))]).await;
}

/// The budget notes with the charge that the alert is sent.
#[tokio::test]
async fn alert_of_a_charge_that_is_confirmed_later_is_sent_once() {
    let backend = Arc::new(SharedBackend::default());
    let config = Config {
        keep_charges_days: 92,
        node: "a".to_owned(),
    };
    let metrics = Metrics::new();
    let opened = Ledger::open_measured(
        store(&backend),
        Clock::new(|| NOW),
        config,
        metrics.ledger.clone(),
    );
    let OpenedLedger {
        ledger, mut alerts, ..
    } = opened.await.unwrap();
    let hold = ledger.hold(&daily(10), amount(10, 0), "1").await.unwrap();
    backend.miss_replicas(true);
    hold.settle(charge(10, 0)).await.unwrap_err();
    ledger.retry_pending_closes().await;
    assert!(alerts.try_recv().is_err(), "it may be lost");
    backend.miss_replicas(false);
    ledger.retry_pending_closes().await;
    let mut sent = 0;
    while alerts.try_recv().is_ok() {
        sent += 1;
    }
    assert_eq!(sent, 3);
    assert_series(&metrics, &["switchboard_charge_seconds_count 1"]);
}

/// Redis comes back with what it had saved, as a replica does that was behind.
#[tokio::test]
async fn charge_that_redis_has_lost_is_made_again() {
    let mut redis = RedisServer::start_with(&[]);
    let ledger = start(redis.store(TaskTracker::new()), "a").await;
    let settled = begin(&ledger, "settled").await;
    redis.run::<()>("SAVE");
    settled.settle(charge(7, 4)).await.unwrap();
    let running = begin(&ledger, "running").await;
    redis.kill();
    redis.restart();
    let deadline = Instant::now() + Duration::from_secs(60);
    ledger.renew_lease(false).await;
    // On a slow machine the lease of the writer is over, and the first change is refused.
    while ledger.is_failing() {
        assert!(Instant::now() < deadline);
        ledger.renew_lease(false).await;
    }
    let other = redis.store(TaskTracker::new());
    assert_charged(&other, &[("settled", amount(7, 4))]).await;
    running.settle(charge(3, 2)).await.unwrap();
    let charged = [("running", amount(3, 2)), ("settled", amount(7, 4))];
    assert_charged(&other, &charged).await;
}
