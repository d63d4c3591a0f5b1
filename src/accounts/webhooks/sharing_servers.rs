//! Servers that share the store of the events.

use std::collections::HashSet;
use std::fmt;

use crate::storage::store::Error;
use crate::storage::store::Transaction;

/// Interface to the servers that share one store. Each start of a server has a number of its own, by
/// which an event tells who delivers it.
pub trait SharingServers: fmt::Debug + Send + Sync {
    /// Returns the number of this start.
    fn own_number(&self) -> u64;

    /// Returns the numbers of the starts that are running, this one included.
    ///
    /// # Errors
    /// Fails when the store cannot be read.
    fn running_numbers(&self, transaction: &Transaction<'_>) -> Result<HashSet<u64>, Error>;
}
