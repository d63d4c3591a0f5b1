//! Where responses are kept.

use tokio_util::sync::CancellationToken;
#[cfg(test)]
use tokio_util::task::TaskTracker;

use crate::store;
use crate::store::Limits;
use crate::store::Shelf;
use crate::store::Store;

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
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(store: &Store, limits: Limits) -> Result<Self, store::Error> {
        Ok(Self {
            records: store.shelf("responses", limits)?,
            streams: store.shelf("response-events", limits)?,
            unfinished: store.shelf("responses-unfinished", limits)?,
        })
    }

    /// Shelves that leave nothing behind.
    ///
    /// # Errors
    /// When no files can be written.
    #[cfg(test)]
    pub(crate) fn temporary() -> Result<Self, store::Error> {
        let limits =
            Limits { time_to_live: std::time::Duration::from_secs(60), max_records: 100, max_bytes: 1 << 20 };
        Self::open(&Store::temporary(TaskTracker::new())?, limits)
    }

    /// Takes away what is there beyond its time, until `stop`.
    pub fn keep_tidy(&self, stop: &CancellationToken) {
        for shelf in [&self.records, &self.streams, &self.unfinished] {
            shelf.keep_tidy(stop.clone());
        }
    }
}
