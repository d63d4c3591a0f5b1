//! What outlives a request: records on disk, by kind and owner, for a time.
//!
//! Knows nothing of what it keeps. A [`Shelf`] holds one kind of record; whoever owns one finds it there by its id, and
//! nobody else does. Records leave when their time is over, or, the oldest first, when there are too many.

mod shelf;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use tokio_util::task::TaskTracker;

pub use shelf::Shelf;

/// Memory for what was read, in bytes. Records are read seldom: what the database wants is an index, not a cache.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// How long and how much is kept on each shelf.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a record is kept.
    pub time_to_live: Duration,
    /// Records there may be.
    pub max_records: u64,
    /// Bytes they may have together.
    pub max_bytes: u64,
}

/// Why something cannot be kept or found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The files cannot be read or written.
    #[error("the store failed")]
    Database(#[from] sled::Error),
    /// The server ends.
    #[error("the store is closed")]
    Closed,
}

/// The records of a server.
#[derive(Debug, Clone)]
pub struct Store {
    database: sled::Db,
    tracker: TaskTracker,
}

impl Store {
    /// Opens the store in `directory`, which is made where it is missing. Its work is done on `tracker`.
    ///
    /// # Errors
    /// When another process has it open, or its files cannot be used.
    pub fn open(directory: &Path, tracker: TaskTracker) -> Result<Self, Error> {
        let database = sled::Config::default().path(directory).cache_capacity(CACHE_BYTES).open()?;
        Ok(Self { database, tracker })
    }

    /// A store that leaves nothing behind.
    ///
    /// # Errors
    /// When no files can be written.
    #[cfg(test)]
    pub(crate) fn temporary(tracker: TaskTracker) -> Result<Self, Error> {
        let database = sled::Config::default().temporary(true).cache_capacity(CACHE_BYTES).open()?;
        Ok(Self { database, tracker })
    }

    /// The shelf called `name`.
    ///
    /// # Errors
    /// When its files cannot be read.
    pub fn shelf(&self, name: &str, limits: Limits) -> Result<Shelf, Error> {
        Shelf::open(&self.database, name, limits, self.tracker.clone())
    }
}
