//! Ledgers for tests of others.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::Clock;
use super::Config;
use super::Ledger;
use crate::store::Store;

pub(crate) use crate::store::testing::Gated;

/// One that writes nothing for as long as the gate is closed.
pub(crate) async fn gated(now: u64) -> (Ledger, Arc<Gated>) {
    let gate = Arc::new(Gated::default());
    let store = Store::new(Arc::clone(&gate) as _, TaskTracker::new()).unwrap();
    let config = Config { keep_charges_days: 92 };
    let opened = Ledger::open(store, Clock::new(move || now), config).await.unwrap();
    (opened.ledger, gate)
}
