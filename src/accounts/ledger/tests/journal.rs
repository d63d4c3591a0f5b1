//! Journal of what the store could not take.

use super::*;
use crate::accounts::ledger::close_journal::CloseJournal;
use crate::accounts::ledger::hold::HoldClosing;
use crate::storage::store;
use crate::storage::store::FrozenLinks;
use crate::storage::store::RedisConfig;
use crate::storage::store::RedisPair;
use crate::storage::store::testing::FaultyBackend;
use crate::telemetry::metrics::StoreMetrics;

/// Records and journal, which survive the server.
#[derive(Default)]
struct Disks {
    records: Arc<FaultyBackend>,
    journal: Arc<MemoryBackend>,
}

impl Disks {
    fn records(&self) -> Store {
        Store::inline(Arc::clone(&self.records) as _, TaskTracker::new())
    }

    fn journal(&self) -> Store {
        Store::inline(Arc::clone(&self.journal) as _, TaskTracker::new())
    }

    async fn start(&self) -> OpenedLedger {
        start(self.records(), self.journal()).await
    }

    async fn count_entries(&self) -> usize {
        self.journal().scan(Vec::new()).await.unwrap().len()
    }

    async fn assert_charged(&self, expected: &[(&str, ChargeOutcome)]) {
        let reader = LedgerReader::new(self.records(), Clock::system());
        let charges = reader.charges().await.unwrap();
        let charged: Vec<_> = charges
            .iter()
            .map(|charge| (charge.id.as_str(), charge.outcome))
            .collect();
        assert_eq!(charged, expected);
        assert_eq!(verify(&self.records()).await.unwrap().problems, [""; 0]);
    }
}

async fn start(records: Store, journal: Store) -> OpenedLedger {
    let config = Config {
        keep_charges_days: 92,
        node: "server".to_owned(),
    };
    let clock = Clock::new(|| NOW);
    let opened = Ledger::open_journaled(records, journal, clock, config, LedgerMetrics::default());
    opened.await.unwrap()
}

async fn begin(server: &OpenedLedger, id: &str) -> BudgetHold {
    let ann = daily_of("ann", 1000);
    let hold = server.ledger.hold(&ann, amount(20, 5), id);
    hold.await.unwrap().start()
}

#[tokio::test]
async fn charge_that_the_store_did_not_take_is_made_at_the_next_start() {
    let disks = Disks::default();
    let server = disks.start().await;
    let settled = begin(&server, "1").await;
    let released = begin(&server, "2").await;
    let lost = begin(&server, "3").await;
    disks.records.fill(true);
    settled.settle(charge_of_team(7, 4)).await.unwrap_err();
    released.release().await.unwrap_err();
    lost.forget();
    assert_eq!(disks.count_entries().await, 2);
    drop(server);
    disks.records.fill(false);
    let again = disks.start().await;
    assert_eq!(again.charged_holds, 1);
    let charged = [
        ("1", ChargeOutcome::Answered),
        ("3", ChargeOutcome::Unknown),
    ];
    disks.assert_charged(&charged).await;
    assert_eq!(disks.count_entries().await, 0);
    let used = (amount(7 + 20, 4 + 5), cap(1000));
    let standings = budgets(&again.ledger, &daily_of("ann", 1000)).await;
    assert_eq!(standings, [used; 2], "of the key and of its end user");
    let charges = again.ledger.reader().charges().await.unwrap();
    assert_eq!(charges[0].sign_in.as_deref(), Some("team"));
}

#[tokio::test]
async fn charge_that_is_made_later_leaves_the_journal() {
    let disks = Disks::default();
    let server = disks.start().await;
    let hold = begin(&server, "1").await;
    let other = begin(&server, "2").await;
    disks.records.fill(true);
    hold.settle(charge(7, 4)).await.unwrap_err();
    server.ledger.retry_pending_closes().await;
    assert_eq!(disks.count_entries().await, 1);
    disks.records.fill(false);
    server.ledger.retry_pending_closes().await;
    other.settle(charge(1, 1)).await.unwrap();
    assert_eq!(disks.count_entries().await, 0);
    let charged = [
        ("1", ChargeOutcome::Answered),
        ("2", ChargeOutcome::Answered),
    ];
    disks.assert_charged(&charged).await;
}

/// The server was killed after the charge was made, and before its entry was removed.
#[tokio::test]
async fn entry_that_is_applied_twice_charges_once() {
    let disks = Disks::default();
    let server = disks.start().await;
    begin(&server, "1").await.forget();
    let noted = HoldClosing::Settled(charge(7, 4));
    for _ in 0..2 {
        CloseJournal::new(disks.journal()).note("1", &noted);
        CloseJournal::new(disks.journal()).note("unknown", &noted);
        assert_eq!(disks.start().await.charged_holds, 0);
        assert_eq!(disks.count_entries().await, 0);
        disks
            .assert_charged(&[("1", ChargeOutcome::Answered)])
            .await;
    }
}

#[tokio::test]
async fn server_that_ends_while_redis_is_away_charges_what_it_knows() {
    let mut redis = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    let open_redis = |redis: &RedisServer| {
        let config = RedisConfig {
            response_timeout: Duration::from_millis(500),
            ..redis.config()
        };
        Store::open_shared(&config, TaskTracker::new(), StoreMetrics::default()).unwrap()
    };
    let tracker = TaskTracker::new();
    let server = start(open_redis(&redis), open_sled(folder.path(), &tracker)).await;
    let hold = begin(&server, "1").await;
    redis.kill();
    hold.settle(charge(7, 4)).await.unwrap_err();
    drop(server);
    tracker.close();
    tracker.wait().await;
    redis.restart();
    let again = start(
        open_redis(&redis),
        open_sled(folder.path(), &TaskTracker::new()),
    )
    .await;
    assert_eq!(again.charged_holds, 0);
    let charges = again.ledger.reader().charges().await.unwrap();
    assert_eq!(charges.len(), 1);
    assert_eq!(charges[0].amount, amount(7, 4));
    assert_eq!(charges[0].outcome, ChargeOutcome::Answered);
}

/// Redis has the charge, and may lose it until its replica has it, too.
#[tokio::test(flavor = "multi_thread")]
async fn charge_is_in_the_journal_until_a_replica_confirms_it() {
    let redis = RedisPair::start();
    let config = RedisConfig {
        wait_timeout: Duration::from_secs(1),
        ..redis.config()
    };
    let records = Store::open_shared(&config, TaskTracker::new(), StoreMetrics::default()).unwrap();
    let disks = Disks::default();
    let server = start(records.clone(), disks.journal()).await;
    let hold = begin(&server, "1").await;
    redis.links.freeze(FrozenLinks::Replicas);
    hold.settle(charge(7, 4)).await.unwrap_err();
    let ann = daily_of("ann", 1000);
    let refused = server.ledger.hold(&ann, amount(20, 5), "2").await.map(drop);
    let is_told = matches!(
        refused,
        Err(Error::Store(store::Error::NotReplicated { .. }))
    );
    assert!(is_told, "{refused:?}");
    server.ledger.retry_pending_closes().await;
    assert!(disks.count_entries().await > 0);
    redis.links.freeze(FrozenLinks::None);
    let deadline = Instant::now() + Duration::from_secs(60);
    let charged = (amount(7, 4), cap(1000));
    while disks.count_entries().await > 0 || budgets(&server.ledger, &ann).await != [charged; 2] {
        assert!(Instant::now() < deadline, "a hold or an entry is left");
        server.ledger.retry_pending_closes().await;
    }
    let charges = server.ledger.reader().charges().await.unwrap();
    let ids: Vec<_> = charges.iter().map(|charge| charge.id.as_str()).collect();
    assert_eq!(ids, ["1"]);
    assert_eq!(verify(&records).await.unwrap().problems, [""; 0]);
}
