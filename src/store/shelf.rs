//! Records that belong to somebody and leave after a time.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Error;
use super::Store;
use super::Table;
use super::Transaction;
use crate::domain::unix_now;

/// The first byte of every record: how the rest is to be read.
const VERSION: u8 = 1;
/// Bytes before a record's own: the version, and when its time is over in seconds of Unix time.
const HEAD: usize = 9;
/// How often records are looked for whose time is over.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// Records that are taken away in one transaction, so that others get their turn in between.
const SWEEP_GROUP: usize = 256;
/// Between owner and id in a key; neither has it.
const BETWEEN: char = '\0';

/// Owner and id to record.
const RECORD: u8 = b'r';
/// The end of its time, owner and id to the size of a record.
const ORDER: u8 = b'o';
/// How many records there are, and their bytes.
const TOTALS: u8 = b't';

/// How long and how much is kept on a shelf.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a record is kept.
    pub time_to_live: Duration,
    /// Records there may be. Beyond, the oldest leave.
    pub max_records: u64,
    /// Bytes they may have together. Beyond, the oldest leave.
    pub max_bytes: u64,
}

/// Records of one kind: whoever owns one finds it by its id, and nobody else does. Clones share them.
#[derive(Debug, Clone)]
pub struct Shelf {
    store: Store,
    shape: Shape,
}

/// What a shelf is, whatever is on it.
#[derive(Debug, Clone, Copy)]
struct Shape {
    table: Table,
    limits: Limits,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Totals {
    records: u64,
    bytes: u64,
}

impl Shelf {
    /// The shelf of `store` that lies in `table`.
    pub fn new(store: Store, table: Table, limits: Limits) -> Self {
        Self { store, shape: Shape { table, limits } }
    }

    /// Keeps `record` of `owner` as `id`, in the place of an older one, whose time it takes over. Returns once it is on
    /// disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn put(&self, owner: &str, id: &str, record: Vec<u8>) -> Result<(), Error> {
        let (shape, key) = (self.shape, key(owner, id));
        self.store.transaction(move |transaction| shape.put(transaction, &key, &record, unix_now())).await
    }

    /// Keeps `record` of `owner` in the place of the one called `id`, with a time of its own that begins now. Returns once it
    /// is on disk, with whether there was one: where there is none, none is made.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn renew(&self, owner: &str, id: &str, record: Vec<u8>) -> Result<bool, Error> {
        let (shape, key) = (self.shape, key(owner, id));
        self.store.transaction(move |transaction| shape.renew(transaction, &key, &record, unix_now())).await
    }

    /// All records of `owner`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn of(&self, owner: &str) -> Result<Vec<Vec<u8>>, Error> {
        let records = self.store.scan(self.shape.place(RECORD, &key(owner, ""))).await?;
        Ok(records.iter().filter_map(|(_, value)| content(value, unix_now())).collect())
    }

    /// The record of `owner` called `id`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn get(&self, owner: &str, id: &str) -> Result<Option<Vec<u8>>, Error> {
        let value = self.store.get(self.shape.place(RECORD, &key(owner, id))).await?;
        Ok(value.and_then(|value| content(&value, unix_now())))
    }

    /// Takes the record of `owner` called `id` away, and says whether there was one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn remove(&self, owner: &str, id: &str) -> Result<bool, Error> {
        let (shape, key) = (self.shape, key(owner, id));
        self.store.transaction(move |transaction| shape.take(transaction, &key, unix_now())).await
    }

    /// Every owner and id.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn names(&self) -> Result<Vec<(String, String)>, Error> {
        let prefix = self.shape.place(RECORD, &[]);
        let records = self.store.scan(prefix.clone()).await?;
        let name = |key: &[u8]| {
            let name = String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
            name.split_once(BETWEEN).map(|(owner, id)| (owner.to_owned(), id.to_owned()))
        };
        Ok(records.iter().filter_map(|(key, _)| name(key)).collect())
    }

    /// Takes records away whose time is over, from time to time, until `stop`.
    pub fn keep_tidy(&self, stop: CancellationToken) {
        let shelf = self.clone();
        self.store.tracker.spawn(async move {
            while stop.run_until_cancelled(tokio::time::sleep(SWEEP_INTERVAL)).await.is_some() {
                if let Err(error) = shelf.sweep(unix_now()).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the store was not swept");
                }
            }
        });
    }

    pub(super) async fn sweep(&self, now: u64) -> Result<(), Error> {
        let shape = self.shape;
        while self.store.transaction(move |transaction| shape.sweep(transaction, now)).await? {}
        Ok(())
    }

    #[cfg(test)]
    pub(super) async fn put_at(&self, now: u64, owner: &str, id: &str, record: &[u8]) {
        let (shape, key, record) = (self.shape, key(owner, id), record.to_vec());
        self.store.transaction(move |transaction| shape.put(transaction, &key, &record, now)).await.unwrap();
    }

    #[cfg(test)]
    pub(super) async fn renew_at(&self, now: u64, owner: &str, id: &str, record: &[u8]) -> bool {
        let (shape, key, record) = (self.shape, key(owner, id), record.to_vec());
        let renewed = self.store.transaction(move |transaction| shape.renew(transaction, &key, &record, now));
        renewed.await.unwrap()
    }

    #[cfg(test)]
    pub(super) async fn get_at(&self, now: u64, owner: &str, id: &str) -> Option<Vec<u8>> {
        let value = self.store.get(self.shape.place(RECORD, &key(owner, id))).await.unwrap();
        value.and_then(|value| content(&value, now))
    }

    /// How many records there are; they must agree about that.
    #[cfg(test)]
    pub(super) async fn count(&self) -> usize {
        let records = self.store.scan(self.shape.place(RECORD, &[])).await.unwrap();
        let order = self.store.scan(self.shape.place(ORDER, &[])).await.unwrap();
        let shape = self.shape;
        let totals = self.store.transaction(move |transaction| shape.totals(transaction)).await.unwrap();
        let bytes = records.iter().map(|(_, value)| value.len() as u64).sum();
        assert_eq!(totals, Totals { records: records.len() as u64, bytes });
        assert_eq!(order.len(), records.len());
        records.len()
    }
}

impl Shape {
    fn place(&self, part: u8, rest: &[u8]) -> Vec<u8> {
        self.table.key([&[part], rest].concat())
    }

    fn order(&self, ends: u64, key: &[u8]) -> Vec<u8> {
        self.place(ORDER, &[&ends.to_be_bytes(), key].concat())
    }

    fn put(
        &self,
        transaction: &mut Transaction<'_>,
        key: &[u8],
        record: &[u8],
        now: u64,
    ) -> Result<(), Error> {
        let mut totals = self.totals(transaction)?;
        let place = self.place(RECORD, key);
        let ends = match transaction.get(&place)? {
            Some(old) => {
                transaction.remove(self.order(ends_of(&old), key));
                totals.less(old.len() as u64);
                ends_of(&old)
            }
            None => now.saturating_add(self.limits.time_to_live.as_secs()),
        };
        let value = [&[VERSION], ends.to_be_bytes().as_slice(), record].concat();
        let size = value.len() as u64;
        transaction.put(place, value);
        transaction.put(self.order(ends, key), size.to_be_bytes().to_vec());
        totals.records += 1;
        totals.bytes += size;
        while totals.records > self.limits.max_records || totals.bytes > self.limits.max_bytes {
            if !self.drop_first(transaction, &mut totals, u64::MAX)? {
                break;
            }
        }
        self.save(transaction, totals);
        Ok(())
    }

    fn take(&self, transaction: &mut Transaction<'_>, key: &[u8], now: u64) -> Result<bool, Error> {
        let place = self.place(RECORD, key);
        let Some(old) = transaction.get(&place)? else { return Ok(false) };
        let mut totals = self.totals(transaction)?;
        transaction.remove(place);
        transaction.remove(self.order(ends_of(&old), key));
        totals.less(old.len() as u64);
        self.save(transaction, totals);
        Ok(ends_of(&old) > now)
    }

    fn renew(
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

    /// Takes some of the records away whose time is over, and says whether there may be more.
    fn sweep(&self, transaction: &mut Transaction<'_>, now: u64) -> Result<bool, Error> {
        let mut totals = self.totals(transaction)?;
        let before = totals;
        let mut is_more = true;
        for _ in 0..SWEEP_GROUP {
            is_more = self.drop_first(transaction, &mut totals, now)?;
            if !is_more {
                break;
            }
        }
        if totals != before {
            self.save(transaction, totals);
        }
        Ok(is_more)
    }

    /// Takes away the record whose time is over first, if it is over by `now`.
    fn drop_first(
        &self,
        transaction: &mut Transaction<'_>,
        totals: &mut Totals,
        now: u64,
    ) -> Result<bool, Error> {
        let prefix = self.place(ORDER, &[]);
        let Some((place, size)) = transaction.first(&prefix)? else { return Ok(false) };
        let rest = &place[prefix.len()..];
        let (ends, key) = rest.split_at(size_of::<u64>().min(rest.len()));
        if number(ends) > now {
            return Ok(false);
        }
        transaction.remove(self.place(RECORD, key));
        transaction.remove(place.clone());
        totals.less(number(&size));
        Ok(true)
    }

    fn totals(&self, transaction: &Transaction<'_>) -> Result<Totals, Error> {
        let value = transaction.get(&self.place(TOTALS, &[]))?.unwrap_or_default();
        let (records, bytes) = value.split_at(size_of::<u64>().min(value.len()));
        Ok(Totals { records: number(records), bytes: number(bytes) })
    }

    fn save(&self, transaction: &mut Transaction<'_>, totals: Totals) {
        let value = [totals.records.to_be_bytes(), totals.bytes.to_be_bytes()].concat();
        transaction.put(self.place(TOTALS, &[]), value);
    }
}

impl Totals {
    fn less(&mut self, bytes: u64) {
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

fn key(owner: &str, id: &str) -> Vec<u8> {
    format!("{owner}{BETWEEN}{id}").into_bytes()
}

/// The record in `value`, if it can be read and its time is not over.
fn content(value: &[u8], now: u64) -> Option<Vec<u8>> {
    let is_good = value.first() == Some(&VERSION) && ends_of(value) > now;
    is_good.then(|| value[HEAD..].to_vec())
}

/// When the time of a record is over, in seconds of Unix time.
fn ends_of(value: &[u8]) -> u64 {
    number(value.get(1..HEAD).unwrap_or_default())
}

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}
