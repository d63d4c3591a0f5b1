//! Tables of the response service.

use tokio_util::sync::CancellationToken;
#[cfg(test)]
use tokio_util::task::TaskTracker;

use crate::accounts::ledger::WorkOwners;
use crate::storage::store::Store;
use crate::storage::store::StoreTable;
use crate::storage::store::TtlLimits;
use crate::storage::store::TtlTable;

/// The tables that hold responses.
#[derive(Debug, Clone)]
pub struct ResponseTables {
    pub(super) records: TtlTable,
    /// Events of background responses created with `stream`.
    pub(super) streams: TtlTable,
    /// Markers of unfinished background responses, for recovery after a restart.
    pub(super) unfinished: TtlTable,
    /// Requests of the background responses that wait in the queue of several servers.
    pub(super) requests: TtlTable,
    /// Servers that run the background responses, and those that wait.
    pub(super) owners: WorkOwners,
    /// True if each server that shares the store reaches the contents of uploaded files.
    pub(super) has_shared_files: bool,
}

impl ResponseTables {
    /// Opens the tables in `store`.
    pub fn new(store: &Store, limits: TtlLimits) -> Self {
        let table = |name| TtlTable::new(store.clone(), StoreTable::new(name), limits);
        Self {
            records: table("responses"),
            streams: table("response-events"),
            unfinished: table("responses-unfinished"),
            requests: table("response-requests"),
            owners: WorkOwners::default(),
            has_shared_files: false,
        }
    }

    /// Notes in `owners` which server runs a background response.
    #[must_use]
    pub fn with_owners(self, owners: WorkOwners) -> Self {
        Self { owners, ..self }
    }

    /// Sets whether each server that shares the store reaches the contents of uploaded files, so that any of
    /// them runs a background response that names one.
    #[must_use]
    pub fn with_shared_files(self, has_shared_files: bool) -> Self {
        Self {
            has_shared_files,
            ..self
        }
    }

    /// Opens the tables in memory.
    #[cfg(test)]
    pub(crate) fn temporary() -> Self {
        Self::over(&Store::in_memory(TaskTracker::new()))
    }

    /// Opens the tables on a disk that can be made full.
    #[cfg(test)]
    pub(crate) fn faulty() -> (
        Self,
        std::sync::Arc<crate::storage::store::testing::FaultyBackend>,
    ) {
        let disk = std::sync::Arc::new(crate::storage::store::testing::FaultyBackend::default());
        let store = Store::new(std::sync::Arc::clone(&disk) as _, TaskTracker::new()).unwrap();
        (Self::over(&store), disk)
    }

    /// Opens small tables in `store`.
    #[cfg(test)]
    pub(crate) fn over(store: &Store) -> Self {
        let limits = TtlLimits {
            time_to_live: std::time::Duration::from_secs(60),
            max_records: 100,
            max_bytes: 1 << 20,
        };
        Self::new(store, limits)
    }

    /// Returns the store, for other tables in tests.
    #[cfg(test)]
    pub(crate) fn store(&self) -> &Store {
        self.records.store()
    }

    /// Starts tasks that remove expired records, until `stop` is cancelled.
    pub fn spawn_cleanup(&self, stop: &CancellationToken) {
        let Self {
            records,
            streams,
            unfinished,
            requests,
            ..
        } = self;
        for table in [records, streams, unfinished, requests] {
            table.spawn_cleanup(stop.clone());
        }
    }
}
