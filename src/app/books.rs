//! What is spent and what is given again.

use tokio_util::task::TaskTracker;

use super::BadRecords;
use super::alerts;
use crate::config::Settings;
use crate::ledger;
use crate::ledger::Clock;
use crate::ledger::Ledger;
use crate::ledger::Opened;
use crate::server::Shutdown;
use crate::store::Store;
use crate::webhooks::Webhooks;

/// Opens the ledger in `store`, keeps it tidy, and tells of budgets as they are used up.
///
/// # Errors
/// When it cannot be read, with what to do about it.
pub(super) async fn open_ledger(
    settings: &Settings,
    store: &Store,
    webhooks: Webhooks,
    shutdown: &Shutdown,
    tracker: &TaskTracker,
) -> Result<Ledger, BadRecords> {
    let config = ledger::Config { keep_charges_days: settings.ledger.keep_charges_days };
    let opened = Ledger::open(store.clone(), Clock::system(), config).await;
    let Opened { ledger, unknown, alerts } = opened.map_err(|error| BadRecords::new(settings, error))?;
    if unknown > 0 {
        tracing::warn!(unknown, "requests that an earlier server was running were charged as estimated");
    }
    ledger.keep_tidy(tracker, shutdown.begun());
    tracker.spawn(alerts::tell(alerts, webhooks, shutdown.last_words()));
    Ok(ledger)
}
