//! Records that belong to somebody and leave after a time.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Backend;
use super::Error;
use super::Store;
use super::Table;
use super::Transaction;
use super::order::BETWEEN;
use super::order::key;
use super::parts::WholeRecord;
use super::parts::content;
use super::parts::read_whole;
use super::shape::PART;
use super::shape::RECORD;
use super::shape::Shape;
use crate::domain::unix_now;

/// How often records are looked for whose time is over.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// How long and how much is kept on a shelf.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a record is kept.
    pub time_to_live: Duration,
    /// Records there may be. Beyond, the oldest of the owner leave who has most.
    pub max_records: u64,
    /// Bytes they may have together. Beyond, the oldest of the owner leave who has most.
    pub max_bytes: u64,
}

/// Records of one kind: whoever owns one finds it by its id, and nobody else does. Clones share them.
#[derive(Debug, Clone)]
pub struct Shelf {
    store: Store,
    shape: Shape,
}

impl Shelf {
    /// The shelf of `store` that lies in `table`.
    pub fn new(store: Store, table: Table, limits: Limits) -> Self {
        Self {
            store,
            shape: Shape { table, limits },
        }
    }

    /// Keeps `record` of `owner` as `id`, in the place of an older one, whose time it takes over. Returns once it is on
    /// disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn put(&self, owner: &str, id: &str, record: Vec<u8>) -> Result<(), Error> {
        let (shape, key) = (self.shape, key(owner, id));
        self.store
            .transaction(move |transaction| shape.put(transaction, &key, &record, unix_now()))
            .await
    }

    /// Keeps `record` of `owner` in the place of the one called `id`, with a time of its own that begins now. Returns once it
    /// is on disk, with whether there was one: where there is none, none is made.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn renew(&self, owner: &str, id: &str, record: Vec<u8>) -> Result<bool, Error> {
        let (shape, key) = (self.shape, key(owner, id));
        self.store
            .transaction(move |transaction| shape.renew(transaction, &key, &record, unix_now()))
            .await
    }

    /// Keeps `record` of `owner` as `id`, which is a new one, if the owner has less than `most`, and says so. However many ask
    /// at once, there are never more. Returns once it is on disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn add(
        &self,
        owner: &str,
        id: &str,
        record: Vec<u8>,
        most: usize,
    ) -> Result<bool, Error> {
        let (shape, key, most) = (self.shape, key(owner, id), most as u64);
        let add = move |transaction: &mut Transaction<'_>| {
            shape.add(transaction, &key, &record, unix_now(), most)
        };
        self.store.transaction(add).await
    }

    /// Runs `work` as [`Store::transaction`] does, for what changes several records or looks before it writes.
    ///
    /// # Errors
    /// `work`'s own, or the store's.
    pub fn transaction<T, E, W>(
        &self,
        work: W,
    ) -> impl Future<Output = Result<T, E>> + Send + use<T, E, W>
    where
        W: FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.store.transaction(work)
    }

    /// As [`get`](Self::get), within `transaction`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn get_in(
        &self,
        transaction: &Transaction<'_>,
        owner: &str,
        id: &str,
    ) -> Result<Option<Vec<u8>>, Error> {
        let value = transaction.get(&self.shape.place(RECORD, &key(owner, id)))?;
        Ok(value.and_then(|value| content(&value, unix_now())))
    }

    /// As [`put`](Self::put), within `transaction`.
    ///
    /// # Errors
    /// When what is there cannot be read.
    pub fn put_in(
        &self,
        transaction: &mut Transaction<'_>,
        owner: &str,
        id: &str,
        record: &[u8],
    ) -> Result<(), Error> {
        self.shape
            .put(transaction, &key(owner, id), record, unix_now())
    }

    /// As [`renew`](Self::renew), within `transaction`.
    ///
    /// # Errors
    /// When what is there cannot be read.
    pub fn renew_in(
        &self,
        transaction: &mut Transaction<'_>,
        owner: &str,
        id: &str,
        record: &[u8],
    ) -> Result<bool, Error> {
        self.shape
            .renew(transaction, &key(owner, id), record, unix_now())
    }

    /// Puts `record` in the place of the one called `id`, whose time begins anew, and appends `addition` to it as a part, within
    /// `transaction`. What was appended before stays and is not written again. An empty addition is none. Says whether there was
    /// such a record: where there is none, none is made.
    ///
    /// # Errors
    /// When what is there cannot be read.
    pub fn append_in(
        &self,
        transaction: &mut Transaction<'_>,
        owner: &str,
        id: &str,
        record: &[u8],
        addition: &[u8],
    ) -> Result<bool, Error> {
        self.shape
            .append(transaction, &key(owner, id), record, addition, unix_now())
    }

    /// As [`append_in`](Self::append_in), in a transaction of its own. Returns once it is on disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn append(
        &self,
        owner: &str,
        id: &str,
        record: Vec<u8>,
        addition: Vec<u8>,
    ) -> Result<bool, Error> {
        let (shape, key) = (self.shape, key(owner, id));
        let append = move |transaction: &mut Transaction<'_>| {
            shape.append(transaction, &key, &record, &addition, unix_now())
        };
        self.store.transaction(append).await
    }

    /// As [`whole`](Self::whole), within `transaction`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn whole_in(
        &self,
        transaction: &Transaction<'_>,
        owner: &str,
        id: &str,
    ) -> Result<Option<WholeRecord>, Error> {
        let key = key(owner, id);
        let record = || transaction.get(&self.shape.place(RECORD, &key));
        read_whole(&key, unix_now(), record, |part| {
            transaction.get(&self.shape.place(PART, part))
        })
    }

    /// The record of `owner` called `id`, with all that was appended to it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn whole(&self, owner: &str, id: &str) -> Result<Option<WholeRecord>, Error> {
        let (shape, key) = (self.shape, key(owner, id));
        let read = move |backend: &dyn Backend| {
            let record = || backend.get(&shape.place(RECORD, &key));
            read_whole(&key, unix_now(), record, |part| {
                backend.get(&shape.place(PART, part))
            })
        };
        self.store.read(read).await
    }

    /// All records of `owner`, without what was appended to them.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn of(&self, owner: &str) -> Result<Vec<Vec<u8>>, Error> {
        let records = self
            .store
            .scan(self.shape.place(RECORD, &key(owner, "")))
            .await?;
        Ok(records
            .iter()
            .filter_map(|(_, value)| content(value, unix_now()))
            .collect())
    }

    /// The record of `owner` called `id`, without what was appended to it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn get(&self, owner: &str, id: &str) -> Result<Option<Vec<u8>>, Error> {
        let value = self
            .store
            .get(self.shape.place(RECORD, &key(owner, id)))
            .await?;
        Ok(value.and_then(|value| content(&value, unix_now())))
    }

    /// Takes the record of `owner` called `id` away, and says whether there was one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn remove(&self, owner: &str, id: &str) -> Result<bool, Error> {
        let (shape, key) = (self.shape, key(owner, id));
        self.store
            .transaction(move |transaction| shape.take(transaction, &key, unix_now()))
            .await
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
            name.split_once(BETWEEN)
                .map(|(owner, id)| (owner.to_owned(), id.to_owned()))
        };
        Ok(records.iter().filter_map(|(key, _)| name(key)).collect())
    }

    /// Takes records away whose time is over, from time to time, until `stop`.
    pub fn keep_tidy(&self, stop: CancellationToken) {
        let shelf = self.clone();
        self.store.tracker.spawn(async move {
            while stop
                .run_until_cancelled(tokio::time::sleep(SWEEP_INTERVAL))
                .await
                .is_some()
            {
                if let Err(error) = shelf.sweep(unix_now()).await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the store was not swept"
                    );
                }
            }
        });
    }

    pub(super) async fn sweep(&self, now: u64) -> Result<(), Error> {
        let shape = self.shape;
        while self
            .store
            .transaction(move |transaction| shape.sweep(transaction, now))
            .await?
        {}
        Ok(())
    }

    /// Where it lies.
    #[cfg(test)]
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    #[cfg(test)]
    pub(super) async fn put_at(&self, now: u64, owner: &str, id: &str, record: &[u8]) {
        let (shape, key, record) = (self.shape, key(owner, id), record.to_vec());
        self.store
            .transaction(move |transaction| shape.put(transaction, &key, &record, now))
            .await
            .unwrap();
    }

    #[cfg(test)]
    pub(super) async fn renew_at(&self, now: u64, owner: &str, id: &str, record: &[u8]) -> bool {
        let (shape, key, record) = (self.shape, key(owner, id), record.to_vec());
        let renewed = self
            .store
            .transaction(move |transaction| shape.renew(transaction, &key, &record, now));
        renewed.await.unwrap()
    }

    #[cfg(test)]
    pub(super) async fn append_at(
        &self,
        now: u64,
        owner: &str,
        id: &str,
        texts: [&[u8]; 2],
    ) -> bool {
        let (shape, key, [record, addition]) =
            (self.shape, key(owner, id), texts.map(<[u8]>::to_vec));
        let append = move |transaction: &mut Transaction<'_>| {
            shape.append(transaction, &key, &record, &addition, now)
        };
        self.store.transaction(append).await.unwrap()
    }

    #[cfg(test)]
    pub(super) async fn get_at(&self, now: u64, owner: &str, id: &str) -> Option<Vec<u8>> {
        let value = self
            .store
            .get(self.shape.place(RECORD, &key(owner, id)))
            .await
            .unwrap();
        value.and_then(|value| content(&value, now))
    }

    #[cfg(test)]
    pub(super) async fn add_at(&self, now: u64, owner: &str, id: &str, most: u64) -> bool {
        let (shape, key) = (self.shape, key(owner, id));
        let add = self
            .store
            .transaction(move |transaction| shape.add(transaction, &key, b"x", now, most));
        add.await.unwrap()
    }

    /// How many records there are; all that is told of them must agree.
    #[cfg(test)]
    pub(super) async fn count(&self) -> usize {
        use super::order::Totals;
        use super::shape::ORDER;
        use super::shape::OWN_ORDER;
        use super::shape::OWN_TOTALS;

        let part = async |part| self.store.scan(self.shape.place(part, &[])).await.unwrap();
        let (records, parts) = (part(RECORD).await, part(PART).await);
        let mut sums = std::collections::BTreeMap::<Vec<u8>, Totals>::new();
        for (place, value) in &records {
            let end = place.iter().rposition(|byte| *byte == 0).unwrap();
            for owner in [&[][..], &place[self.shape.place(RECORD, &[]).len()..=end]] {
                let sum = sums.entry(owner.to_vec()).or_default();
                (sum.records, sum.bytes) = (sum.records + 1, sum.bytes + value.len() as u64);
                let of_record = &place[self.shape.place(RECORD, &[]).len()..];
                for (place, part) in &parts {
                    let of_part = &place[self.shape.place(PART, &[]).len()..];
                    if of_part.starts_with(of_record) && of_part.get(of_record.len()) == Some(&0) {
                        sum.bytes += part.len() as u64;
                    }
                }
            }
        }
        let of_owners = part(OWN_TOTALS).await.len();
        assert_eq!(of_owners, sums.len().saturating_sub(1));
        for (owner, sum) in sums {
            let (shape, of) = (self.shape, (!owner.is_empty()).then_some(owner));
            let totals = self
                .store
                .transaction(move |transaction| shape.totals(transaction, of.as_deref()));
            assert_eq!(totals.await.unwrap(), sum);
        }
        assert_eq!(
            (part(ORDER).await.len(), part(OWN_ORDER).await.len()),
            (records.len(), records.len())
        );
        records.len()
    }
}
