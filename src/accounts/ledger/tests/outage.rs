//! Runs that begin while the store is away.

use super::*;
use crate::storage::store;
use crate::storage::store::RedisConfig;
use crate::telemetry::metrics::StoreMetrics;

/// A Redis, with the journal of one server, which survives it.
struct TestOutage {
    redis: RedisServer,
    journal: Arc<MemoryBackend>,
}

impl TestOutage {
    fn start() -> Self {
        Self {
            redis: RedisServer::start(),
            journal: Arc::default(),
        }
    }

    fn records(&self) -> Store {
        let config = RedisConfig {
            response_timeout: Duration::from_millis(500),
            ..self.redis.config()
        };
        Store::open_shared(&config, TaskTracker::new(), StoreMetrics::default()).unwrap()
    }

    fn journal(&self) -> Store {
        Store::inline(Arc::clone(&self.journal) as _, TaskTracker::new())
    }

    /// Starts the server, with a clock that shows `now`.
    async fn server_at(&self, now: u64) -> OpenedLedger {
        let config = Config {
            keep_charges_days: 92,
            node: "server".to_owned(),
        };
        let clock = Clock::new(move || now);
        let metrics = LedgerMetrics::default();
        let opened = Ledger::open_journaled(self.records(), self.journal(), clock, config, metrics);
        let opened = opened.await.unwrap();
        opened.ledger.serve_outages(|| true);
        opened
    }

    async fn count_entries(&self) -> usize {
        self.journal().scan(Vec::new()).await.unwrap().len()
    }

    /// Returns the charges, and checks that the meters are their sums.
    async fn charges(&self) -> Vec<(u64, ChargeOutcome)> {
        let records = self.records();
        let reader = LedgerReader::new(records.clone(), Clock::system());
        let charges = reader.charges().await.unwrap();
        assert_eq!(verify(&records).await.unwrap().problems, [""; 0]);
        let charges = charges.iter();
        charges
            .map(|charge| (charge.amount.tokens, charge.outcome))
            .collect()
    }
}

/// Caller without a budget, for an end user.
fn uncapped() -> Caller {
    Caller {
        end_user: EndUser::new("ann"),
        ..caller("free", Budget::default(), Budget::default())
    }
}

/// Begins a run of `caller` while Redis is away.
async fn begin(server: &OpenedLedger, caller: &Caller) -> BudgetHold {
    let held = server.ledger.hold_or_journal(caller, amount(20, 5), "1");
    held.await.unwrap().start()
}

/// Retries what the store has not taken, until it has all of it.
async fn wait_until_closed(outage: &TestOutage, server: &OpenedLedger) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while outage.count_entries().await > 0 {
        assert!(Instant::now() < deadline, "an entry is left in the journal");
        server.ledger.retry_pending_closes().await;
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn run_that_begins_while_redis_is_away_is_charged_when_it_is_back() {
    let mut outage = TestOutage::start();
    let server = outage.server_at(NOW).await;
    outage.redis.kill();
    let (free, funded) = (uncapped(), daily(1000));
    let holds = [
        begin(&server, &free).await,
        begin(&server, &free).await,
        begin(&server, &free).await,
    ];
    // More than are closed at once.
    let mut others = Vec::new();
    for _ in 0..300 {
        others.push(begin(&server, &free).await);
    }
    assert_ne!(holds[1].id(), holds[2].id());
    assert!(server.ledger.is_serving_outage());
    let refused = server.ledger.hold_or_journal(&funded, amount(1, 0), "2");
    let refused = refused.await.map(drop);
    assert!(matches!(refused, Err(Error::Store(_))), "{refused:?}");
    let [settled, released, dropped] = holds;
    settled.settle(charge(7, 4)).await.unwrap_err();
    released.release().await.unwrap_err();
    drop(dropped);
    for other in others {
        drop(other.release());
    }
    outage.redis.restart();
    wait_until_closed(&outage, &server).await;
    assert!(!server.ledger.is_serving_outage());
    let mut charged = outage.charges().await;
    charged.sort_by_key(|(tokens, _)| *tokens);
    let expected = [(7, ChargeOutcome::Answered), (20, ChargeOutcome::Unknown)];
    assert_eq!(charged, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn lease_is_renewed_while_many_closes_are_retried() {
    let mut outage = TestOutage::start();
    let server = outage.server_at(NOW).await;
    outage.redis.kill();
    let free = uncapped();
    let mut holds = Vec::new();
    // More than are closed at once, even if some of them fail again.
    for _ in 0..600 {
        holds.push(begin(&server, &free).await);
    }
    for hold in holds {
        drop(hold.release());
    }
    // Transactions run in order, so all of the releases have failed when this one has.
    server.ledger.renew_lease(false).await;
    outage.redis.restart();
    let lease = storage_keys::node("server");
    // As another server does once the lease is over.
    let removed = lease.clone();
    let removed = outage.records().transaction(move |transaction| {
        transaction.remove(removed.clone());
        Ok::<_, store::Error>(())
    });
    removed.await.unwrap();
    wait_until_closed(&outage, &server).await;
    let lease = outage.records().get(lease).await.unwrap();
    assert!(lease.is_some(), "the lease is not renewed");
}

#[tokio::test(flavor = "multi_thread")]
async fn run_that_outlives_the_outage_is_charged_at_its_end() {
    let mut outage = TestOutage::start();
    let server = outage.server_at(NOW).await;
    outage.redis.kill();
    let hold = begin(&server, &uncapped()).await;
    outage.redis.restart();
    let deadline = Instant::now() + Duration::from_secs(60);
    while server.ledger.is_failing() {
        assert!(Instant::now() < deadline, "Redis is back");
        server.ledger.probe_store().await;
        tokio::task::yield_now().await;
    }
    let debited = hold.settle(charge(7, 4)).await;
    assert_eq!(debited.unwrap(), amount(7, 4));
    wait_until_closed(&outage, &server).await;
    assert_eq!(outage.charges().await, [(7, ChargeOutcome::Answered)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_is_killed_during_an_outage_charges_its_runs_once() {
    let mut outage = TestOutage::start();
    let server = outage.server_at(NOW).await;
    outage.redis.kill();
    // The server finds out before the first request, which therefore leaves no failed hold.
    server.ledger.renew_lease(false).await;
    let free = uncapped();
    begin(&server, &free).await.forget();
    let settled = begin(&server, &free).await;
    settled.settle(charge(7, 4)).await.unwrap_err();
    let left = outage.journal().scan(Vec::new()).await.unwrap();
    assert_eq!(left.len(), 3, "two holds, and one end");
    drop(server);
    outage.redis.restart();
    let expected = [(7, ChargeOutcome::Answered), (20, ChargeOutcome::Unknown)];
    for _ in 0..2 {
        // The second start finds what a kill has left after the charges were made.
        let entries = left.clone();
        let restored = outage.journal().transaction(move |transaction| {
            for (key, value) in &entries {
                transaction.put(key.clone(), value.clone());
            }
            Ok::<_, store::Error>(())
        });
        restored.await.unwrap();
        let again = outage.server_at(NOW + DAY).await;
        assert_eq!(again.charged_holds, 0);
        assert_eq!(outage.count_entries().await, 0);
        let mut charged = outage.charges().await;
        charged.sort_by_key(|(tokens, _)| *tokens);
        assert_eq!(charged, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn request_is_refused_while_redis_is_away_unless_it_may_be_served() {
    let mut outage = TestOutage::start();
    let config = Config {
        keep_charges_days: 92,
        node: "server".to_owned(),
    };
    let opened = Ledger::open_journaled(
        outage.records(),
        outage.journal(),
        Clock::new(|| NOW),
        config,
        LedgerMetrics::default(),
    );
    let ledger = opened.await.unwrap().ledger;
    outage.redis.kill();
    let (free, funded) = (uncapped(), daily(5));
    let resumed = Caller {
        idempotency_key: Some("again".into()),
        ..uncapped()
    };
    let refused = ledger.hold_or_journal(&free, amount(1, 0), "1");
    assert!(refused.await.is_err(), "not asked for");
    ledger.serve_outages(|| false);
    assert!(!ledger.is_serving_outage(), "nobody is known");
    let refused = ledger.hold_or_journal(&resumed, amount(1, 0), "2");
    assert!(refused.await.is_err(), "its id is in the store");
    let refused = ledger.hold_or_journal(&funded, amount(1, 0), "3");
    assert!(refused.await.is_err(), "it has a budget");
    assert!(ledger.may_hold_in_journal(&free));
}
