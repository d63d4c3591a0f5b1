//! Puts a ledger in place. What holds of an open one would be lost, so no server may run.

use std::io;

use tokio_util::task::TaskTracker;

use super::DeskError;
use super::records;
use crate::claude;
use crate::config::Settings;
use crate::ledger;
use crate::ledger::Restored;

/// Puts the ledger of `text` into the data directory of `settings`, in the place of the one that is there if it
/// `may_replace` that.
///
/// # Errors
/// When a server runs, the records cannot be used, or the ledger does not let itself be restored.
pub async fn restore_ledger(settings: &Settings, text: &str, may_replace: bool) -> anyhow::Result<Restored> {
    let path = settings.server.data_dir.clone();
    let _held = claude::take_data_dir(&path).map_err(|source| match source.kind() {
        io::ErrorKind::ResourceBusy => DeskError::Taken { path },
        _ => DeskError::Folder { path, source },
    })?;
    let tracker = TaskTracker::new();
    let store = records::open_store(settings, &tracker)?;
    let restored = ledger::restore(&store, text, may_replace).await;
    drop(store);
    tracker.close();
    tracker.wait().await;
    Ok(restored?)
}
