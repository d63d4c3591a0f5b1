//! Layout of a TTL table on disk.
//!
//! Each record has two expiry indexes, one global and one per owner. Counts and bytes are kept
//! globally and per owner. Appended parts have keys of their own (`parts`); the record and its
//! index entries hold their number. A transaction changes all of them together.

use super::Error;
use super::StoreTable;
use super::Transaction;
use super::record_parts::StoredParts;
use super::record_parts::StoredRecord;
use super::ttl_index::TtlEntry;
use super::ttl_index::TtlTotals;
use super::ttl_index::decode_index_value;
use super::ttl_index::owner_prefix;
use super::ttl_table::TtlLimits;

/// Maximum number of records removed per sweep transaction, so that other transactions get their
/// turn in between.
const MAX_SWEEP_GROUP: usize = 256;
/// Key prefix of records: owner, id -> record.
pub(super) const RECORD: u8 = b'r';
/// Key prefix of the global expiry index: expiry time, owner, id -> size and parts.
pub(super) const EXPIRY_INDEX: u8 = b'o';
/// Key prefix of the owners' expiry index: owner, expiry time, id -> size and parts.
pub(super) const OWNER_EXPIRY_INDEX: u8 = b'p';
/// Key prefix of parts: owner, id, generation, number -> part.
pub(super) const PART: u8 = b'a';
/// Key prefix of marks of deletions, in a shared store: owner, id -> time.
pub(super) const DELETION: u8 = b'd';
/// Key of the global totals: number of records and bytes.
pub(super) const TOTALS: u8 = b't';
/// Key prefix of the owners' totals: owner -> number of records and bytes.
pub(super) const OWNER_TOTALS: u8 = b'n';

/// Table and limits of a TTL table.
#[derive(Debug, Clone, Copy)]
pub(super) struct TtlLayout {
    pub(super) table: StoreTable,
    pub(super) limits: TtlLimits,
}

impl TtlLayout {
    pub(super) fn storage_key(&self, part: u8, rest: &[u8]) -> Vec<u8> {
        self.table.key([&[part], rest].concat())
    }

    /// Stores a record. Replacing a record keeps its expiry time.
    pub(super) fn put(
        &self,
        transaction: &mut Transaction<'_>,
        key: &[u8],
        record: &[u8],
        now: u64,
    ) -> Result<(), Error> {
        let ends = self
            .remove(transaction, key)?
            .unwrap_or_else(|| self.expiry_from(now));
        self.write_record(
            transaction,
            key,
            &StoredRecord {
                expires_at: ends,
                parts: StoredParts::NONE,
                record,
            },
            0,
        )
    }

    /// Replaces a record that has not expired, restarts its TTL and appends `addition` as a part
    /// unless it is empty. Returns false if there is no such record.
    pub(super) fn append(
        &self,
        transaction: &mut Transaction<'_>,
        key: &[u8],
        record: &[u8],
        addition: &[u8],
        now: u64,
    ) -> Result<bool, Error> {
        self.migrate_owner_indexes(transaction)?;
        let Some(old) = transaction.get(&self.storage_key(RECORD, key))? else {
            return Ok(false);
        };
        let entry = self.index_entry(transaction, key, &old)?;
        if entry.expires_at <= now {
            return Ok(false);
        }
        // Only the indexes are dropped: the parts stay on disk and are carried over.
        let mut parts = entry.parts;
        self.remove_from_indexes(transaction, &entry)?;
        if !addition.is_empty() {
            let part = parts.add(key);
            transaction.put(self.storage_key(PART, &part), addition.to_vec());
        }
        let size_of_parts = entry.size.saturating_sub(old.len() as u64) + addition.len() as u64;
        let stored = StoredRecord {
            expires_at: self.expiry_from(now),
            parts,
            record,
        };
        self.write_record(transaction, key, &stored, size_of_parts)?;
        Ok(true)
    }

    fn write_record(
        &self,
        transaction: &mut Transaction<'_>,
        key: &[u8],
        stored: &StoredRecord<'_>,
        size_of_parts: u64,
    ) -> Result<(), Error> {
        let value = stored.to_bytes();
        let size = value.len() as u64 + size_of_parts;
        let entry = TtlEntry {
            key: key.to_vec(),
            expires_at: stored.expires_at,
            size,
            parts: stored.parts,
        };
        transaction.put(self.storage_key(RECORD, key), value);
        self.add_to_indexes(transaction, &entry)?;
        self.evict_over_limits(transaction)
    }

    fn expiry_from(&self, now: u64) -> u64 {
        now.saturating_add(self.limits.time_to_live.as_secs())
    }

    /// Stores a record if its owner has fewer than `max_records`. Returns false otherwise.
    pub(super) fn insert_within_quota(
        &self,
        transaction: &mut Transaction<'_>,
        key: &[u8],
        record: &[u8],
        now: u64,
        max_records: u64,
    ) -> Result<bool, Error> {
        self.migrate_owner_indexes(transaction)?;
        if self.totals(transaction, Some(owner_prefix(key)))?.records >= max_records {
            // Expired records may be waiting for the next sweep.
            while self.sweep(transaction, now)? {}
        }
        let has_room = self.totals(transaction, Some(owner_prefix(key)))?.records < max_records;
        if has_room {
            self.put(transaction, key, record, now)?;
        }
        Ok(has_room)
    }

    /// Removes a record. Returns true if it had not expired.
    pub(super) fn remove_unexpired(
        &self,
        transaction: &mut Transaction<'_>,
        key: &[u8],
        now: u64,
    ) -> Result<bool, Error> {
        Ok(self
            .remove(transaction, key)?
            .is_some_and(|ends| ends > now))
    }

    /// Replaces a record that has not expired and restarts its TTL. Returns false if there is none.
    pub(super) fn replace_and_extend(
        &self,
        transaction: &mut Transaction<'_>,
        key: &[u8],
        record: &[u8],
        now: u64,
    ) -> Result<bool, Error> {
        let is_there = self.remove_unexpired(transaction, key, now)?;
        if is_there {
            self.put(transaction, key, record, now)?;
        }
        Ok(is_there)
    }

    /// Removes up to [`MAX_SWEEP_GROUP`] expired records. Returns true if there may be more.
    pub(super) fn sweep(&self, transaction: &mut Transaction<'_>, now: u64) -> Result<bool, Error> {
        self.migrate_owner_indexes(transaction)?;
        let prefix = self.storage_key(EXPIRY_INDEX, &[]);
        let oldest = transaction.range(&prefix, None, MAX_SWEEP_GROUP)?;
        for (place, size) in &oldest {
            let entry = TtlEntry::from_index(&place[prefix.len()..], size);
            if entry.expires_at > now {
                return Ok(false);
            }
            self.remove_entry(transaction, &entry)?;
        }
        Ok(oldest.len() == MAX_SWEEP_GROUP)
    }

    /// Evicts records until the table is within its limits: the oldest of the largest owner first,
    /// so that an owner cannot fill the table at the expense of others.
    fn evict_over_limits(&self, transaction: &mut Transaction<'_>) -> Result<(), Error> {
        loop {
            let totals = self.totals(transaction, None)?;
            let measure = if totals.records > self.limits.max_records {
                |totals: TtlTotals| totals.records
            } else if totals.bytes > self.limits.max_bytes {
                |totals: TtlTotals| totals.bytes
            } else {
                return Ok(());
            };
            let Some(entry) = self.eviction_candidate(transaction, measure)? else {
                return Ok(());
            };
            self.remove_entry(transaction, &entry)?;
        }
    }

    /// Returns the oldest record of the largest owner; among equally large owners, the oldest of
    /// all.
    fn eviction_candidate(
        &self,
        transaction: &Transaction<'_>,
        measure: fn(TtlTotals) -> u64,
    ) -> Result<Option<TtlEntry>, Error> {
        let prefix = self.storage_key(OWNER_TOTALS, &[]);
        let owners = transaction.scan(&prefix)?;
        let sizes = owners
            .iter()
            .map(|(_, totals)| measure(TtlTotals::read(totals)));
        let most = sizes.clone().max().unwrap_or_default();
        let mut oldest: Option<TtlEntry> = None;
        for ((place, _), _) in owners.iter().zip(sizes).filter(|(_, size)| *size == most) {
            let owner = &place[prefix.len()..];
            let order = self.storage_key(OWNER_EXPIRY_INDEX, owner);
            let Some((place, size)) = transaction.first(&order)? else {
                continue;
            };
            let entry = TtlEntry::from_owner_index(owner, &place[order.len()..], &size);
            if oldest
                .as_ref()
                .is_none_or(|oldest| entry.expires_at < oldest.expires_at)
            {
                oldest = Some(entry);
            }
        }
        Ok(oldest)
    }

    /// Removes a record and returns its expiry time. Returns `None` if there is no such record.
    fn remove(&self, transaction: &mut Transaction<'_>, key: &[u8]) -> Result<Option<u64>, Error> {
        self.migrate_owner_indexes(transaction)?;
        let Some(old) = transaction.get(&self.storage_key(RECORD, key))? else {
            return Ok(None);
        };
        let entry = self.index_entry(transaction, key, &old)?;
        self.remove_entry(transaction, &entry)?;
        Ok(Some(entry.expires_at))
    }

    /// Returns the index entry of the record `stored` under `key`.
    fn index_entry(
        &self,
        transaction: &Transaction<'_>,
        key: &[u8],
        stored: &[u8],
    ) -> Result<TtlEntry, Error> {
        let StoredRecord {
            expires_at: ends,
            parts,
            ..
        } = StoredRecord::read(key, stored)?;
        let mut entry = TtlEntry {
            key: key.to_vec(),
            expires_at: ends,
            size: stored.len() as u64,
            parts,
        };
        if let Some(place) = transaction.get(&self.storage_key(EXPIRY_INDEX, &entry.index_key()))? {
            (entry.size, _) = decode_index_value(&place);
        }
        Ok(entry)
    }

    /// Adds a record to the indexes and totals.
    fn add_to_indexes(
        &self,
        transaction: &mut Transaction<'_>,
        entry: &TtlEntry,
    ) -> Result<(), Error> {
        let place = [&entry.size.to_be_bytes(), entry.parts.to_bytes().as_slice()].concat();
        transaction.put(
            self.storage_key(EXPIRY_INDEX, &entry.index_key()),
            place.clone(),
        );
        transaction.put(
            self.storage_key(OWNER_EXPIRY_INDEX, &entry.owner_index_key()),
            place,
        );
        self.update_totals(transaction, entry, |totals| TtlTotals {
            records: totals.records + 1,
            bytes: totals.bytes + entry.size,
        })
    }

    /// Removes a record with its parts, its index entries and its share of the totals.
    fn remove_entry(
        &self,
        transaction: &mut Transaction<'_>,
        entry: &TtlEntry,
    ) -> Result<(), Error> {
        transaction.remove(self.storage_key(RECORD, &entry.key));
        for part in entry.parts.keys(&entry.key) {
            transaction.remove(self.storage_key(PART, &part));
        }
        self.remove_from_indexes(transaction, entry)
    }

    /// Removes a record from the indexes and totals.
    fn remove_from_indexes(
        &self,
        transaction: &mut Transaction<'_>,
        entry: &TtlEntry,
    ) -> Result<(), Error> {
        transaction.remove(self.storage_key(EXPIRY_INDEX, &entry.index_key()));
        transaction.remove(self.storage_key(OWNER_EXPIRY_INDEX, &entry.owner_index_key()));
        self.update_totals(transaction, entry, |totals| TtlTotals {
            records: totals.records.saturating_sub(1),
            bytes: totals.bytes.saturating_sub(entry.size),
        })
    }

    fn update_totals(
        &self,
        transaction: &mut Transaction<'_>,
        entry: &TtlEntry,
        change: impl Fn(TtlTotals) -> TtlTotals,
    ) -> Result<(), Error> {
        for of in [None, Some(owner_prefix(&entry.key))] {
            let place = self.totals_key(of);
            let totals = change(self.totals(transaction, of)?);
            if totals.records == 0 {
                transaction.remove(place);
            } else {
                transaction.put(place, totals.to_bytes());
            }
        }
        Ok(())
    }

    /// Returns the totals of one owner, or of all.
    pub(super) fn totals(
        &self,
        transaction: &Transaction<'_>,
        owner: Option<&[u8]>,
    ) -> Result<TtlTotals, Error> {
        let value = transaction.get(&self.totals_key(owner))?;
        Ok(TtlTotals::read(&value.unwrap_or_default()))
    }

    fn totals_key(&self, owner: Option<&[u8]>) -> Vec<u8> {
        owner.map_or_else(
            || self.storage_key(TOTALS, &[]),
            |owner| self.storage_key(OWNER_TOTALS, owner),
        )
    }

    /// Migrates a table of an earlier version that has no per-owner indexes and totals.
    fn migrate_owner_indexes(&self, transaction: &mut Transaction<'_>) -> Result<(), Error> {
        if transaction
            .first(&self.storage_key(OWNER_TOTALS, &[]))?
            .is_some()
        {
            return Ok(());
        }
        let prefix = self.storage_key(EXPIRY_INDEX, &[]);
        let entries = transaction.scan(&prefix)?;
        transaction.remove(self.storage_key(TOTALS, &[]));
        for (place, size) in entries {
            self.add_to_indexes(
                transaction,
                &TtlEntry::from_index(&place[prefix.len()..], &size),
            )?;
        }
        Ok(())
    }
}
