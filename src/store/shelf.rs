//! One kind of record.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use sled::Tree;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Error;
use super::Limits;

/// The first byte of every record: how the rest is to be read.
const VERSION: u8 = 1;
/// Bytes before a record's own: the version, and when its time is over in seconds of Unix time.
const HEAD: usize = 9;
/// How often records are looked for whose time is over.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// Between owner and id in a key; neither has it.
const BETWEEN: char = '\0';

/// Records of one kind. Clones share them.
#[derive(Clone)]
pub struct Shelf {
    inner: Arc<Inner>,
    tracker: TaskTracker,
}

struct Inner {
    /// Owner and id to record.
    records: Tree,
    /// The end of its time, owner and id to the size of a record. Always has what `records` has; after a crash it may have
    /// more.
    order: Tree,
    limits: Limits,
    /// Held by whoever writes.
    totals: Mutex<Totals>,
}

#[derive(Default)]
struct Totals {
    records: u64,
    bytes: u64,
}

impl fmt::Debug for Shelf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shelf").field("limits", &self.inner.limits).finish_non_exhaustive()
    }
}

impl Shelf {
    pub(super) fn open(
        database: &sled::Db,
        name: &str,
        limits: Limits,
        tracker: TaskTracker,
    ) -> Result<Self, Error> {
        let records = database.open_tree(name)?;
        let order = database.open_tree(format!("{name}.order"))?;
        let mut totals = Totals::default();
        for size in order.iter().values() {
            totals.records += 1;
            totals.bytes += number(&size?);
        }
        let inner = Inner { records, order, limits, totals: Mutex::new(totals) };
        Ok(Self { inner: Arc::new(inner), tracker })
    }

    /// Keeps `record` of `owner` as `id`, in the place of an older one, whose time it takes over. Returns once it is on
    /// disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn put(&self, owner: &str, id: &str, record: Vec<u8>) -> Result<(), Error> {
        let key = key(owner, id);
        self.on_disk(move |inner| inner.put(&key, &record, now())).await?;
        self.inner.records.flush_async().await?;
        Ok(())
    }

    /// The record of `owner` called `id`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn get(&self, owner: &str, id: &str) -> Result<Option<Vec<u8>>, Error> {
        let key = key(owner, id);
        self.on_disk(move |inner| inner.get(&key, now())).await
    }

    /// Takes the record of `owner` called `id` away, and says whether there was one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn remove(&self, owner: &str, id: &str) -> Result<bool, Error> {
        let key = key(owner, id);
        self.on_disk(move |inner| inner.take(&key, now())).await
    }

    /// Every owner and id.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn names(&self) -> Result<Vec<(String, String)>, Error> {
        self.on_disk(|inner| {
            let name = |key: Result<sled::IVec, sled::Error>| {
                let key = String::from_utf8_lossy(&key?).into_owned();
                Ok(key.split_once(BETWEEN).map(|(owner, id)| (owner.to_owned(), id.to_owned())))
            };
            inner.records.iter().keys().filter_map(|key| name(key).transpose()).collect()
        })
        .await
    }

    /// Takes records away whose time is over, from time to time, until `stop`.
    pub fn keep_tidy(&self, stop: CancellationToken) {
        let shelf = self.clone();
        self.tracker.spawn(async move {
            while stop.run_until_cancelled(tokio::time::sleep(SWEEP_INTERVAL)).await.is_some() {
                if let Err(error) = shelf.on_disk(|inner| inner.sweep(now())).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the store was not swept");
                }
            }
        });
    }

    /// The database may wait for the disk.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = Arc::clone(&self.inner);
        self.tracker.spawn_blocking(move || work(&inner)).await.map_err(|_| Error::Closed)?
    }

    #[cfg(test)]
    pub(super) fn at(&self, now: u64) -> At<'_> {
        At { inner: &self.inner, now }
    }
}

/// A shelf at a time of a test's choosing.
#[cfg(test)]
pub(super) struct At<'a> {
    inner: &'a Inner,
    now: u64,
}

#[cfg(test)]
impl At<'_> {
    pub(super) fn put(&self, owner: &str, id: &str, record: &[u8]) {
        self.inner.put(&key(owner, id), record, self.now).unwrap();
    }

    pub(super) fn get(&self, owner: &str, id: &str) -> Option<Vec<u8>> {
        self.inner.get(&key(owner, id), self.now).unwrap()
    }

    pub(super) fn sweep(&self) -> usize {
        self.inner.sweep(self.now).unwrap();
        assert_eq!(self.inner.totals().records, self.inner.records.len() as u64);
        self.inner.order.len()
    }
}

impl Inner {
    fn put(&self, key: &[u8], record: &[u8], now: u64) -> Result<(), Error> {
        let mut totals = self.totals();
        let ends = match self.records.get(key)? {
            Some(old) => {
                self.forget(key, &old, &mut totals)?;
                ends_of(&old)
            }
            None => now.saturating_add(self.limits.time_to_live.as_secs()),
        };
        let mut value = Vec::with_capacity(HEAD + record.len());
        value.push(VERSION);
        value.extend_from_slice(&ends.to_be_bytes());
        value.extend_from_slice(record);
        let size = value.len() as u64;
        // In this order, so that a crash leaves nothing that would never be swept.
        self.order.insert(place(ends, key), &size.to_be_bytes())?;
        self.records.insert(key, value)?;
        totals.records += 1;
        totals.bytes += size;
        while totals.records > self.limits.max_records || totals.bytes > self.limits.max_bytes {
            if !self.drop_first(&mut totals, u64::MAX)? {
                break;
            }
        }
        Ok(())
    }

    fn get(&self, key: &[u8], now: u64) -> Result<Option<Vec<u8>>, Error> {
        let value = self.records.get(key)?;
        let is_good = |value: &sled::IVec| value.first() == Some(&VERSION) && ends_of(value) > now;
        Ok(value.filter(is_good).map(|value| value[HEAD..].to_vec()))
    }

    fn take(&self, key: &[u8], now: u64) -> Result<bool, Error> {
        let mut totals = self.totals();
        let Some(old) = self.records.remove(key)? else { return Ok(false) };
        self.forget(key, &old, &mut totals)?;
        Ok(ends_of(&old) > now)
    }

    fn sweep(&self, now: u64) -> Result<(), Error> {
        while self.drop_first(&mut self.totals(), now)? {}
        Ok(())
    }

    /// Takes away the record whose time is over first, if it is over by `now`.
    fn drop_first(&self, totals: &mut Totals, now: u64) -> Result<bool, Error> {
        let Some((place, size)) = self.order.first()? else { return Ok(false) };
        let (ends, key) = place.split_at(size_of::<u64>().min(place.len()));
        if number(ends) > now {
            return Ok(false);
        }
        self.records.remove(key)?;
        self.order.remove(&place)?;
        totals.records = totals.records.saturating_sub(1);
        totals.bytes = totals.bytes.saturating_sub(number(&size));
        Ok(true)
    }

    /// Takes the record at `key`, which has or had the value `old`, out of the order.
    fn forget(&self, key: &[u8], old: &[u8], totals: &mut Totals) -> Result<(), Error> {
        self.order.remove(place(ends_of(old), key))?;
        totals.records = totals.records.saturating_sub(1);
        totals.bytes = totals.bytes.saturating_sub(old.len() as u64);
        Ok(())
    }

    fn totals(&self) -> std::sync::MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(owner: &str, id: &str) -> Vec<u8> {
    format!("{owner}{BETWEEN}{id}").into_bytes()
}

fn place(ends: u64, key: &[u8]) -> Vec<u8> {
    [&ends.to_be_bytes(), key].concat()
}

/// When the time of a record is over, in seconds of Unix time.
fn ends_of(value: &[u8]) -> u64 {
    number(value.get(1..HEAD).unwrap_or_default())
}

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
