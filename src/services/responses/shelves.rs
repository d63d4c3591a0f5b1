//! Where responses are kept.

use tokio_util::sync::CancellationToken;
#[cfg(test)]
use tokio_util::task::TaskTracker;

use crate::storage::store::Limits;
use crate::storage::store::Shelf;
use crate::storage::store::Store;
use crate::storage::store::Table;

/// What is stored of responses.
#[derive(Debug, Clone)]
pub struct Shelves {
    pub(super) records: Shelf,
    /// The events of those that were made in the background as a stream.
    pub(super) streams: Shelf,
    /// The names of those that are being made in the background.
    pub(super) unfinished: Shelf,
}

impl Shelves {
    /// The shelves of `store`.
    pub fn new(store: &Store, limits: Limits) -> Self {
        let shelf = |name| Shelf::new(store.clone(), Table::new(name), limits);
        Self {
            records: shelf("responses"),
            streams: shelf("response-events"),
            unfinished: shelf("responses-unfinished"),
        }
    }

    /// Shelves that leave nothing behind.
    #[cfg(test)]
    pub(crate) fn temporary() -> Self {
        Self::over(&Store::in_memory(TaskTracker::new()))
    }

    /// Shelves whose disk may be full.
    #[cfg(test)]
    pub(crate) fn faulty() -> (Self, std::sync::Arc<crate::storage::store::testing::Faulty>) {
        let disk = std::sync::Arc::new(crate::storage::store::testing::Faulty::default());
        let store = Store::new(std::sync::Arc::clone(&disk) as _, TaskTracker::new()).unwrap();
        (Self::over(&store), disk)
    }

    /// Small shelves of `store`.
    #[cfg(test)]
    fn over(store: &Store) -> Self {
        let limits = Limits {
            time_to_live: std::time::Duration::from_secs(60),
            max_records: 100,
            max_bytes: 1 << 20,
        };
        Self::new(store, limits)
    }

    /// Where they are, for what is kept beside them.
    #[cfg(test)]
    pub(crate) fn store(&self) -> &Store {
        self.records.store()
    }

    /// Takes away what is there beyond its time, until `stop`.
    pub fn keep_tidy(&self, stop: &CancellationToken) {
        for shelf in [&self.records, &self.streams, &self.unfinished] {
            shelf.keep_tidy(stop.clone());
        }
    }
}
