//! Ledgers for tests of other modules.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::Charge;
use super::ChargeOutcome;
use super::Clock;
use super::Config;
use super::Error;
use super::Ledger;
use super::SharedLocks;
use super::storage_keys;
use super::transactions;
use crate::domain::Amount;
use crate::domain::Caller;
use crate::domain::Cap;
use crate::domain::Money;
use crate::domain::Usage;
use crate::storage::store::Store;
use crate::telemetry::metrics::LedgerMetrics;

pub(crate) use crate::storage::store::testing::BlockingBackend;
pub(crate) use crate::storage::store::testing::FaultyBackend;

/// Opens a ledger in memory at the fixed time `now`.
pub(crate) async fn temporary(now: u64) -> Ledger {
    over(Store::in_memory(TaskTracker::new()), now).await
}

/// Opens a ledger in memory at the fixed time `now`, which counts in `metrics`.
pub(crate) async fn measured(now: u64, metrics: LedgerMetrics) -> Ledger {
    let store = Store::in_memory(TaskTracker::new());
    let opened = Ledger::open_measured(store, Clock::new(move || now), config(), metrics);
    opened.await.unwrap().ledger
}

/// Opens the ledger of the server `node` over a store that servers share, at the fixed time `now`.
pub(crate) async fn shared(store: Store, node: &str, now: u64) -> Ledger {
    let config = Config {
        node: node.to_owned(),
        ..config()
    };
    let opened = Ledger::open(store, Clock::new(move || now), config);
    opened.await.unwrap().ledger
}

/// Opens a ledger that writes nothing while the returned gate is closed.
pub(crate) async fn gated(now: u64) -> (Ledger, Arc<BlockingBackend>) {
    let gate = Arc::new(BlockingBackend::default());
    let store = Store::new(Arc::clone(&gate) as _, TaskTracker::new()).unwrap();
    (over(store, now).await, gate)
}

/// Opens a ledger on a disk that can be made to fail.
pub(crate) async fn faulty(now: u64) -> (Ledger, Arc<FaultyBackend>) {
    let disk = Arc::new(FaultyBackend::default());
    let store = Store::new(Arc::clone(&disk) as _, TaskTracker::new()).unwrap();
    (over(store, now).await, disk)
}

/// Opens the ledger of the server `node` in `store`, which other servers use, too. Its clock stands
/// still.
pub(crate) async fn shared_ledger(store: Store, node: &str) -> Ledger {
    let config = Config {
        node: node.to_owned(),
        ..config()
    };
    let opened = Ledger::open(store, Clock::new(|| 1_784_000_000), config);
    opened.await.unwrap().ledger
}

/// Removes the lease of the server `node`, as the others do after its end.
pub(crate) async fn remove_lease(store: &Store, node: &str) {
    let place = storage_keys::node(node);
    let removed = store.transaction(move |transaction| {
        transaction.remove(place.clone());
        Ok::<_, Error>(())
    });
    removed.await.unwrap();
}

/// Spent and held amount, and cap, of each budget of `caller`.
pub(crate) async fn budgets(ledger: &Ledger, caller: &Caller) -> Vec<(Amount, Cap)> {
    let budgets = ledger.reader().budgets(caller).await.unwrap();
    budgets
        .into_iter()
        .map(|standing| (standing.used, standing.cap))
        .collect()
}

async fn over(store: Store, now: u64) -> Ledger {
    let opened = Ledger::open(store, Clock::new(move || now), config());
    opened.await.unwrap().ledger
}

fn config() -> Config {
    Config {
        keep_charges_days: 92,
        node: "server".to_owned(),
    }
}

/// Opens a ledger in `store` for the server `node`, and returns its locks.
pub(crate) async fn locks_of(store: Store, node: &str) -> SharedLocks {
    let config = Config {
        node: node.to_owned(),
        ..config()
    };
    let opened = Ledger::open(store, Clock::system(), config);
    SharedLocks::of(&opened.await.unwrap().ledger)
}

/// Number of open holds that a crash would charge now.
pub(crate) async fn begun_holds(ledger: &Ledger) -> usize {
    let holds = ledger.0.store.scan(storage_keys::holds()).await.unwrap();
    let ids = holds
        .iter()
        .filter_map(|(place, _)| storage_keys::parse_id("hold", place).ok());
    ids.filter(|id| transactions::is_charged_after_crash(id))
        .count()
}

/// Charges `money` to `caller`.
pub(crate) async fn spend(ledger: &Ledger, caller: &Caller, money: Money) -> Amount {
    let amount = Amount { tokens: 0, money };
    let hold = ledger
        .hold(caller, amount, &uuid::Uuid::new_v4().to_string())
        .await
        .unwrap();
    let charge = Charge {
        model: String::new(),
        usage: Usage::default(),
        money: Some(money),
        estimated_tokens: 0,
        outcome: ChargeOutcome::Answered,
        baseline: None,
        sign_in: None,
        fallback: None,
    };
    hold.settle(charge).await.unwrap()
}
