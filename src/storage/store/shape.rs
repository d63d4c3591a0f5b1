//! Layout of a TTL table on disk.
//!
//! Each record has two expiry indexes, one global and one per owner. Counts and bytes are kept
//! globally and per owner. Appended parts have keys of their own (`parts`); the record and its
//! index entries hold their number. A transaction changes all of them together.

use super::Error;
use super::Table;
use super::Transaction;
use super::order::Entry;
use super::order::Totals;
use super::order::owner;
use super::order::read_place;
use super::parts::Parts;
use super::parts::StoredRecord;
use super::shelf::Limits;

/// Maximum number of records removed per sweep transaction, so that other transactions get their
/// turn in between.
const SWEEP_GROUP: usize = 256;
/// Key prefix of records: owner, id -> record.
pub(super) const RECORD: u8 = b'r';
/// Key prefix of the global expiry index: expiry time, owner, id -> size and parts.
pub(super) const ORDER: u8 = b'o';
/// Key prefix of the owners' expiry index: owner, expiry time, id -> size and parts.
pub(super) const OWN_ORDER: u8 = b'p';
/// Key prefix of parts: owner, id, generation, number -> part.
pub(super) const PART: u8 = b'a';
/// Key of the global totals: number of records and bytes.
pub(super) const TOTALS: u8 = b't';
/// Key prefix of the owners' totals: owner -> number of records and bytes.
pub(super) const OWN_TOTALS: u8 = b'n';

/// Table and limits of a TTL table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) table: Table,
    pub(super) limits: Limits,
}

impl Shape {
    pub(super) fn place(&self, part: u8, rest: &[u8]) -> Vec<u8> {
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
            .unwrap_or_else(|| self.end_of_time(now));
        self.store(
            transaction,
            key,
            &StoredRecord {
                ends,
                parts: Parts::NONE,
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
        self.know_owners(transaction)?;
        let Some(old) = transaction.get(&self.place(RECORD, key))? else {
            return Ok(false);
        };
        let entry = self.entry(transaction, key, &old)?;
        if entry.ends <= now {
            return Ok(false);
        }
        // Only the indexes are dropped: the parts stay on disk and are carried over.
        let mut parts = entry.parts;
        self.leave_orders(transaction, &entry)?;
        if !addition.is_empty() {
            let part = parts.add(key);
            transaction.put(self.place(PART, &part), addition.to_vec());
        }
        let size_of_parts = entry.size.saturating_sub(old.len() as u64) + addition.len() as u64;
        let stored = StoredRecord {
            ends: self.end_of_time(now),
            parts,
            record,
        };
        self.store(transaction, key, &stored, size_of_parts)?;
        Ok(true)
    }

    fn store(
        &self,
        transaction: &mut Transaction<'_>,
        key: &[u8],
        stored: &StoredRecord<'_>,
        size_of_parts: u64,
    ) -> Result<(), Error> {
        let value = stored.to_bytes();
        let size = value.len() as u64 + size_of_parts;
        let entry = Entry {
            key: key.to_vec(),
            ends: stored.ends,
            size,
            parts: stored.parts,
        };
        transaction.put(self.place(RECORD, key), value);
        self.enter(transaction, &entry)?;
        self.make_room(transaction)
    }

    fn end_of_time(&self, now: u64) -> u64 {
        now.saturating_add(self.limits.time_to_live.as_secs())
    }

    /// Stores a record if its owner has fewer than `most`. Returns false otherwise.
    pub(super) fn add(
        &self,
        transaction: &mut Transaction<'_>,
        key: &[u8],
        record: &[u8],
        now: u64,
        most: u64,
    ) -> Result<bool, Error> {
        self.know_owners(transaction)?;
        if self.totals(transaction, Some(owner(key)))?.records >= most {
            // Expired records may be waiting for the next sweep.
            while self.sweep(transaction, now)? {}
        }
        let has_room = self.totals(transaction, Some(owner(key)))?.records < most;
        if has_room {
            self.put(transaction, key, record, now)?;
        }
        Ok(has_room)
    }

    /// Removes a record. Returns true if it had not expired.
    pub(super) fn take(
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
    pub(super) fn renew(
        &self,
        transaction: &mut Transaction<'_>,
        key: &[u8],
        record: &[u8],
        now: u64,
    ) -> Result<bool, Error> {
        let is_there = self.take(transaction, key, now)?;
        if is_there {
            self.put(transaction, key, record, now)?;
        }
        Ok(is_there)
    }

    /// Removes up to [`SWEEP_GROUP`] expired records. Returns true if there may be more.
    pub(super) fn sweep(&self, transaction: &mut Transaction<'_>, now: u64) -> Result<bool, Error> {
        self.know_owners(transaction)?;
        let prefix = self.place(ORDER, &[]);
        for _ in 0..SWEEP_GROUP {
            let Some((place, size)) = transaction.first(&prefix)? else {
                return Ok(false);
            };
            let entry = Entry::in_order(&place[prefix.len()..], &size);
            if entry.ends > now {
                return Ok(false);
            }
            self.leave(transaction, &entry)?;
        }
        Ok(true)
    }

    /// Evicts records until the table is within its limits: the oldest of the largest owner first,
    /// so that an owner cannot fill the table at the expense of others.
    fn make_room(&self, transaction: &mut Transaction<'_>) -> Result<(), Error> {
        loop {
            let totals = self.totals(transaction, None)?;
            let measure = if totals.records > self.limits.max_records {
                |totals: Totals| totals.records
            } else if totals.bytes > self.limits.max_bytes {
                |totals: Totals| totals.bytes
            } else {
                return Ok(());
            };
            let Some(entry) = self.first_of_largest(transaction, measure)? else {
                return Ok(());
            };
            self.leave(transaction, &entry)?;
        }
    }

    /// Returns the oldest record of the largest owner; among equally large owners, the oldest of
    /// all.
    fn first_of_largest(
        &self,
        transaction: &Transaction<'_>,
        measure: fn(Totals) -> u64,
    ) -> Result<Option<Entry>, Error> {
        let prefix = self.place(OWN_TOTALS, &[]);
        let owners = transaction.scan(&prefix)?;
        let sizes = owners
            .iter()
            .map(|(_, totals)| measure(Totals::read(totals)));
        let most = sizes.clone().max().unwrap_or_default();
        let mut oldest: Option<Entry> = None;
        for ((place, _), _) in owners.iter().zip(sizes).filter(|(_, size)| *size == most) {
            let owner = &place[prefix.len()..];
            let order = self.place(OWN_ORDER, owner);
            let Some((place, size)) = transaction.first(&order)? else {
                continue;
            };
            let entry = Entry::in_own_order(owner, &place[order.len()..], &size);
            if oldest
                .as_ref()
                .is_none_or(|oldest| entry.ends < oldest.ends)
            {
                oldest = Some(entry);
            }
        }
        Ok(oldest)
    }

    /// Removes a record and returns its expiry time. Returns `None` if there is no such record.
    fn remove(&self, transaction: &mut Transaction<'_>, key: &[u8]) -> Result<Option<u64>, Error> {
        self.know_owners(transaction)?;
        let Some(old) = transaction.get(&self.place(RECORD, key))? else {
            return Ok(None);
        };
        let entry = self.entry(transaction, key, &old)?;
        self.leave(transaction, &entry)?;
        Ok(Some(entry.ends))
    }

    /// Returns the index entry of the record `stored` under `key`.
    fn entry(
        &self,
        transaction: &Transaction<'_>,
        key: &[u8],
        stored: &[u8],
    ) -> Result<Entry, Error> {
        let StoredRecord { ends, parts, .. } = StoredRecord::read(stored);
        let mut entry = Entry {
            key: key.to_vec(),
            ends,
            size: stored.len() as u64,
            parts,
        };
        if let Some(place) = transaction.get(&self.place(ORDER, &entry.order()))? {
            (entry.size, _) = read_place(&place);
        }
        Ok(entry)
    }

    /// Adds a record to the indexes and totals.
    fn enter(&self, transaction: &mut Transaction<'_>, entry: &Entry) -> Result<(), Error> {
        let place = [&entry.size.to_be_bytes(), entry.parts.to_bytes().as_slice()].concat();
        transaction.put(self.place(ORDER, &entry.order()), place.clone());
        transaction.put(self.place(OWN_ORDER, &entry.own_order()), place);
        self.count(transaction, entry, |totals| Totals {
            records: totals.records + 1,
            bytes: totals.bytes + entry.size,
        })
    }

    /// Removes a record with its parts, its index entries and its share of the totals.
    fn leave(&self, transaction: &mut Transaction<'_>, entry: &Entry) -> Result<(), Error> {
        transaction.remove(self.place(RECORD, &entry.key));
        for part in entry.parts.keys(&entry.key) {
            transaction.remove(self.place(PART, &part));
        }
        self.leave_orders(transaction, entry)
    }

    /// Removes a record from the indexes and totals.
    fn leave_orders(&self, transaction: &mut Transaction<'_>, entry: &Entry) -> Result<(), Error> {
        transaction.remove(self.place(ORDER, &entry.order()));
        transaction.remove(self.place(OWN_ORDER, &entry.own_order()));
        self.count(transaction, entry, |totals| Totals {
            records: totals.records.saturating_sub(1),
            bytes: totals.bytes.saturating_sub(entry.size),
        })
    }

    fn count(
        &self,
        transaction: &mut Transaction<'_>,
        entry: &Entry,
        change: impl Fn(Totals) -> Totals,
    ) -> Result<(), Error> {
        for of in [None, Some(owner(&entry.key))] {
            let (place, totals) = (self.totals_place(of), change(self.totals(transaction, of)?));
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
    ) -> Result<Totals, Error> {
        let value = transaction.get(&self.totals_place(owner))?;
        Ok(Totals::read(&value.unwrap_or_default()))
    }

    fn totals_place(&self, owner: Option<&[u8]>) -> Vec<u8> {
        owner.map_or_else(
            || self.place(TOTALS, &[]),
            |owner| self.place(OWN_TOTALS, owner),
        )
    }

    /// Migrates a table of an earlier version that has no per-owner indexes and totals.
    fn know_owners(&self, transaction: &mut Transaction<'_>) -> Result<(), Error> {
        if transaction.first(&self.place(OWN_TOTALS, &[]))?.is_some() {
            return Ok(());
        }
        let prefix = self.place(ORDER, &[]);
        let entries = transaction.scan(&prefix)?;
        transaction.remove(self.place(TOTALS, &[]));
        for (place, size) in entries {
            self.enter(transaction, &Entry::in_order(&place[prefix.len()..], &size))?;
        }
        Ok(())
    }
}
