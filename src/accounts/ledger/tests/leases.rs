//! Servers that share one store, on paused time.

use tokio_util::sync::CancellationToken;

use super::*;
use crate::accounts::ledger::node_lease::LEASE_SECONDS;
use crate::accounts::ledger::node_lease::TAKEOVER_PAUSE;
use crate::storage::store::testing::SharedBackend;

/// Store and clock of all servers.
struct SharedStore {
    backend: Arc<SharedBackend>,
    start: Instant,
}

impl SharedStore {
    fn new() -> Self {
        Self {
            backend: Arc::new(SharedBackend::default()),
            start: Instant::now(),
        }
    }

    fn store(&self) -> Store {
        Store::inline(Arc::clone(&self.backend) as _, TaskTracker::new())
    }

    /// Starts the server `node`, whose lease is not renewed.
    async fn server(&self, node: &str) -> OpenedLedger {
        let start = self.start;
        let clock = Clock::new(move || NOW + start.elapsed().as_secs());
        let config = Config {
            keep_charges_days: 92,
            node: node.to_owned(),
        };
        Ledger::open(self.store(), clock, config).await.unwrap()
    }

    /// Starts the server `node`, whose lease is renewed while it runs.
    async fn running_server(&self, node: &str) -> OpenedLedger {
        let opened = self.server(node).await;
        opened
            .ledger
            .spawn_cleanup(&TaskTracker::new(), CancellationToken::new());
        opened
    }

    async fn charges(&self) -> Vec<(String, ChargeOutcome)> {
        let charges = LedgerReader::new(self.store(), Clock::system())
            .charges()
            .await
            .unwrap();
        charges
            .into_iter()
            .map(|charge| (charge.id, charge.outcome))
            .collect()
    }

    async fn assert_sound(&self) {
        assert_eq!(verify(&self.store()).await.unwrap().problems, [""; 0]);
    }
}

async fn begin(server: &OpenedLedger, id: &str) -> BudgetHold {
    let ann = daily_of("ann", 100);
    let hold = server.ledger.hold(&ann, amount(20, 5), id);
    hold.await.unwrap().start()
}

async fn sleep_seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn second_server_leaves_the_holds_of_the_first() {
    let shared = SharedStore::new();
    let first = shared.running_server("a").await;
    let hold = begin(&first, "1").await;
    sleep_seconds(10 * LEASE_SECONDS).await;
    let second = shared.running_server("b").await;
    assert_eq!(second.charged_holds, 0);
    sleep_seconds(10 * LEASE_SECONDS).await;
    assert_eq!(hold.settle(charge(7, 4)).await.unwrap(), amount(7, 4));
    shared.assert_sound().await;
}

#[tokio::test(start_paused = true)]
async fn holds_of_a_lost_server_are_charged_when_its_lease_is_over() {
    let shared = SharedStore::new();
    let lost = shared.server("a").await;
    begin(&lost, "1").await.forget();
    let waiting = waiting_id("2");
    let held = lost.ledger.hold(&daily(100), amount(1, 1), &waiting).await;
    held.unwrap().forget();
    let _other = shared.running_server("b").await;
    sleep_seconds(LEASE_SECONDS - 1).await;
    assert_eq!(shared.charges().await, []);
    sleep_seconds(10).await;
    assert_eq!(
        shared.charges().await,
        [("1".to_owned(), ChargeOutcome::Unknown)]
    );
    assert_eq!(
        shared.store().scan(storage_keys::holds()).await.unwrap(),
        []
    );
    shared.assert_sound().await;
}

#[tokio::test(start_paused = true)]
async fn restarted_server_charges_its_own_holds_at_once() {
    let shared = SharedStore::new();
    let first = shared.server("a").await;
    let second = shared.server("b").await;
    begin(&first, "1").await.forget();
    let running = begin(&second, "2").await;
    assert_eq!(shared.server("a").await.charged_holds, 1);
    assert_eq!(
        shared.charges().await,
        [("1".to_owned(), ChargeOutcome::Unknown)]
    );
    running.settle(charge(7, 4)).await.unwrap();
    shared.assert_sound().await;
}

#[tokio::test(start_paused = true)]
async fn suspended_server_acquires_its_lease_again() {
    let shared = SharedStore::new();
    let suspended = shared.server("a").await;
    let early = begin(&suspended, "1").await;
    sleep_seconds(2 * LEASE_SECONDS).await;
    let other = shared.running_server("b").await;
    assert_eq!((other.charged_holds, other.other_nodes), (0, 1));
    sleep_seconds(TAKEOVER_PAUSE.as_secs() - 1).await;
    assert_eq!(
        shared.charges().await,
        [],
        "it may be about to renew its lease"
    );
    sleep_seconds(10).await;
    assert_eq!(
        shared.charges().await,
        [("1".to_owned(), ChargeOutcome::Unknown)]
    );
    assert_eq!(
        early.settle(charge(7, 4)).await.unwrap(),
        amount(7, 4),
        "what is known replaces the estimate"
    );
    assert_eq!(
        shared.charges().await,
        [("1".to_owned(), ChargeOutcome::Answered)]
    );
    let late = begin(&suspended, "2").await;
    assert_eq!(shared.server("c").await.charged_holds, 0);
    late.settle(charge(7, 4)).await.unwrap();
    shared.assert_sound().await;
}

#[tokio::test(start_paused = true)]
async fn estimate_of_a_run_that_did_not_take_place_is_taken_back() {
    let shared = SharedStore::new();
    let suspended = shared.server("a").await;
    let settled = begin(&suspended, "1").await;
    let released = begin(&suspended, "2").await;
    let dropped = begin(&suspended, "3").await;
    let other = shared.running_server("b").await;
    sleep_seconds(4 * LEASE_SECONDS).await;
    assert_eq!(shared.charges().await.len(), 3);
    settled.settle(charge(7, 4)).await.unwrap();
    assert_eq!(released.release().await.unwrap(), amount(0, 0));
    drop(dropped);
    shared.assert_sound().await;
    let left = [
        ("1".to_owned(), ChargeOutcome::Answered),
        ("3".to_owned(), ChargeOutcome::Unknown),
    ];
    assert_eq!(shared.charges().await, left);
    let used = (amount(7 + 20, 4 + 5), cap(100));
    let standings = budgets(&other.ledger, &daily_of("ann", 100)).await;
    assert_eq!(standings, [used; 2], "of the key and of its end user");
}

#[tokio::test(start_paused = true)]
async fn server_of_the_same_name_supersedes_the_earlier_one() {
    let shared = SharedStore::new();
    let earlier = shared.server("a").await;
    let later = shared.server("a").await;
    let refused = earlier.ledger.hold(&daily(100), amount(1, 1), "1").await;
    assert!(matches!(refused, Err(Error::Superseded { node }) if node == "a"));
    begin(&later, "1").await.release().await.unwrap();
}
