//! Places of records in TTL tables, without the store: what is remembered of a record has one.
//!
//! A record that was deleted must not come back with a result that is made again. So its deletion leaves
//! a mark in a shared store, and is remembered like a result. If the store loses the deletion, it loses
//! the mark, too.

use super::Error;
use super::Transaction;
use super::record_parts::live_content;
use super::ttl_index::decode_u64;
use super::ttl_index::record_key;
use super::ttl_layout::DELETION;
use super::ttl_layout::RECORD;
use super::ttl_layout::TtlLayout;
use super::ttl_table::TtlTable;

/// Time for which the mark of a deletion is kept, in seconds. Longer than results are remembered, and than
/// the store is away meanwhile.
const DELETION_MEMORY_SECONDS: u64 = 3600;
/// Maximum number of marks removed in a transaction.
const MAX_SWEEP_GROUP: usize = 256;

/// Place of a record in a TTL table.
///
/// Holds no handle of the store. The writer keeps places among its remembered facts, and it stops when
/// the last handle is dropped.
#[derive(Debug, Clone)]
pub struct RecordPlace {
    layout: TtlLayout,
    key: Vec<u8>,
}

impl RecordPlace {
    /// Returns the record, unless there is none or it has expired.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub fn get(&self, transaction: &Transaction<'_>) -> Result<Option<Vec<u8>>, Error> {
        let value = transaction.get(&self.storage_key(RECORD))?;
        Ok(value
            .map(|value| live_content(&self.key, &value, transaction.now()))
            .transpose()?
            .flatten())
    }

    /// Stores `record`, like [`TtlTable::put`].
    ///
    /// # Errors
    /// Fails when the existing record cannot be read.
    pub fn put(&self, transaction: &mut Transaction<'_>, record: &[u8]) -> Result<(), Error> {
        let now = transaction.now();
        self.layout.put(transaction, &self.key, record, now)
    }

    /// Stores `record` as a new one, whose time to live begins now, with `part` unless it is empty.
    ///
    /// # Errors
    /// Fails when the existing record cannot be read.
    pub fn put_new(
        &self,
        transaction: &mut Transaction<'_>,
        record: &[u8],
        part: &[u8],
    ) -> Result<(), Error> {
        let now = transaction.now();
        // A replaced record would keep its expiry time, which may be over.
        self.layout.remove_unexpired(transaction, &self.key, now)?;
        self.layout.put(transaction, &self.key, record, now)?;
        if !part.is_empty() {
            self.layout
                .append(transaction, &self.key, record, part, now)?;
        }
        Ok(())
    }

    /// Stores `record` again, unless it was deleted, or what is there is not older as `is_older` tells.
    /// Returns true if it was stored.
    ///
    /// # Errors
    /// Fails when the existing record cannot be read.
    pub fn restore(
        &self,
        transaction: &mut Transaction<'_>,
        record: &[u8],
        is_older: impl FnOnce(&[u8]) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let is_lost = match self.get(transaction)? {
            Some(found) => is_older(&found)?,
            None => transaction.get(&self.storage_key(DELETION))?.is_none(),
        };
        if is_lost {
            self.put(transaction, record)?;
        }
        Ok(is_lost)
    }

    /// Returns the name under which a result in this place is remembered.
    pub fn name(&self) -> Vec<u8> {
        self.storage_key(RECORD)
    }

    /// Removes the record. Returns true if there was one that had not expired.
    ///
    /// # Errors
    /// Fails when the existing record cannot be read.
    pub fn remove(&self, transaction: &mut Transaction<'_>) -> Result<bool, Error> {
        let now = transaction.now();
        self.layout.remove_unexpired(transaction, &self.key, now)
    }

    /// Returns true if the record was deleted within the last hour, in a shared store, and is not there.
    ///
    /// # Errors
    /// Fails when the existing record cannot be read.
    pub fn is_deleted(&self, transaction: &Transaction<'_>) -> Result<bool, Error> {
        Ok(transaction.is_shared()
            && self.get(transaction)?.is_none()
            && transaction.get(&self.storage_key(DELETION))?.is_some())
    }

    /// Marks the record as deleted.
    fn mark_deleted(&self, transaction: &mut Transaction<'_>) {
        let now = transaction.now();
        transaction.put(self.storage_key(DELETION), now.to_be_bytes().to_vec());
    }

    /// Deletes the record again after a loss. Returns false if it is deleted.
    fn delete_again(&self, transaction: &mut Transaction<'_>) -> Result<bool, Error> {
        let is_there = self.remove(transaction)?;
        // Also without a record: the server that has its result may not have found the loss yet.
        let is_marked = transaction.get(&self.storage_key(DELETION))?.is_some();
        if !is_marked {
            self.mark_deleted(transaction);
        }
        Ok(is_there || !is_marked)
    }

    fn storage_key(&self, part: u8) -> Vec<u8> {
        self.layout.storage_key(part, &self.key)
    }
}

impl TtlTable {
    /// Returns the place of the record `id` of `owner`.
    pub fn place(&self, owner: &str, id: &str) -> RecordPlace {
        RecordPlace {
            layout: self.layout,
            key: record_key(owner, id),
        }
    }

    /// Removes the record `id` of `owner`, so that it does not come back with a result that a shared store
    /// has lost. Returns true if there was one that had not expired.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub async fn delete(&self, owner: &str, id: &str) -> Result<bool, Error> {
        let place = self.place(owner, id);
        let delete = move |transaction: &mut Transaction<'_>| {
            let is_there = place.remove(transaction)?;
            if is_there && transaction.is_shared() {
                place.mark_deleted(transaction);
                let again = place.clone();
                transaction.remember_result(place.name(), 0, move |transaction| {
                    again.delete_again(transaction)
                });
            }
            Ok::<_, Error>(is_there)
        };
        self.store.transaction(delete).await
    }

    /// Removes the marks of deletions that are old at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// Fails when they cannot be removed.
    pub(super) async fn sweep_deletions(&self, now: u64) -> Result<(), Error> {
        let prefix = self.layout.storage_key(DELETION, &[]);
        let sweep = move |transaction: &mut Transaction<'_>| {
            let now = transaction.shared_seconds().unwrap_or(now);
            let mut after: Option<Vec<u8>> = None;
            loop {
                let marks = transaction.range(&prefix, after.as_deref(), MAX_SWEEP_GROUP)?;
                let is_last = marks.len() < MAX_SWEEP_GROUP;
                after = marks.last().map(|(key, _)| key.clone());
                for (key, deleted_at) in marks {
                    if decode_u64(&deleted_at).saturating_add(DELETION_MEMORY_SECONDS) <= now {
                        transaction.remove(key);
                    }
                }
                if is_last {
                    return Ok::<_, Error>(());
                }
            }
        };
        self.store.transaction(sweep).await
    }
}

#[cfg(test)]
#[path = "record_place_tests.rs"]
mod tests;
