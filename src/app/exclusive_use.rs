//! Waits until no server uses records that several may share.

use std::time::Duration;

use tokio::time::sleep;

use super::records::RecordsError;
use super::records::place_of_records;
use crate::accounts::ledger::Clock;
use crate::accounts::ledger::LiveNodes;
use crate::config::Settings;
use crate::storage::store::Store;

/// Interval at which the leases of servers are read.
const READ_INTERVAL: Duration = Duration::from_secs(1);

/// Error: a server uses records that a command needs alone.
#[derive(Debug, thiserror::Error)]
#[error("a server uses the records in {place}")]
pub struct RecordsInUse {
    place: String,
}

impl RecordsInUse {
    /// Returns advice on what the operator can do next.
    pub fn hint(&self) -> &'static str {
        "stop all servers that share these records, and run the command again"
    }
}

/// Waits until no server has a lease on the records of `store`: one that has stopped has it for half a
/// minute. Calls `wait` with the seconds that are left.
///
/// # Errors
/// [`RecordsInUse`] if a server renews its lease meanwhile; otherwise when the leases cannot be read.
pub(super) async fn wait_for_servers(
    settings: &Settings,
    store: &Store,
    wait: &mut dyn FnMut(u64),
) -> anyhow::Result<()> {
    if !store.is_shared() {
        return Ok(());
    }
    let read = async || {
        let nodes = LiveNodes::read(store, Clock::system()).await;
        nodes.map_err(|error| RecordsError::new(settings, error))
    };
    let first = read().await?;
    let mut nodes = first.clone();
    while !nodes.is_empty() {
        if nodes.has_running(&first) {
            let place = place_of_records(settings);
            return Err(RecordsInUse { place }.into());
        }
        wait(nodes.seconds_left());
        sleep(READ_INTERVAL).await;
        nodes = read().await?;
    }
    Ok(())
}
