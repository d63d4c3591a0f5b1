//! Where records lie.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::ops::Bound;
use std::path::Path;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::time::Duration;

use super::Error;

/// The value a key gets, or none where the key goes.
pub type Change = (Vec<u8>, Option<Vec<u8>>);
/// A key with its value.
pub type Record = (Vec<u8>, Vec<u8>);

/// Memory for what was read, in bytes. Records are read seldom: what the database wants is an index, not a cache.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// How often a lock that is taken is tried again, and after how long each time.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(25);

/// An ordered map from keys to values. Many may read; one at a time writes.
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// The value of `key`.
    ///
    /// # Errors
    /// When it cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// The first record with a key after `after` that starts with `prefix`.
    ///
    /// # Errors
    /// When it cannot be read.
    fn next(&self, prefix: &[u8], after: Bound<&[u8]>) -> Result<Option<Record>, Error>;

    /// Makes all of `changes` or none of them. What is written has left this process when this returns: it survives a
    /// kill, and the loss of power as far as the disk keeps what it has confirmed.
    ///
    /// # Errors
    /// When they are not made.
    fn write(&self, changes: &[Change]) -> Result<(), Error>;

    /// Starts over after an error: a database that once failed to write stays so.
    ///
    /// # Errors
    /// When that does not help.
    fn reopen(&self) -> Result<(), Error>;
}

/// Records in memory, for tests and for servers that are to leave nothing behind.
#[derive(Debug, Default)]
pub struct Memory(RwLock<BTreeMap<Vec<u8>, Vec<u8>>>);

impl Backend for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    fn next(&self, prefix: &[u8], after: Bound<&[u8]>) -> Result<Option<Record>, Error> {
        let records = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = records.range::<[u8], _>((after, Bound::Unbounded)).next();
        Ok(found.filter(|(key, _)| key.starts_with(prefix)).map(|(key, value)| (key.clone(), value.clone())))
    }

    fn write(&self, changes: &[Change]) -> Result<(), Error> {
        let mut records = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in changes {
            match value {
                Some(value) => records.insert(key.clone(), value.clone()),
                None => records.remove(key),
            };
        }
        Ok(())
    }

    fn reopen(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// Records in a sled database.
#[derive(Debug)]
pub struct Sled {
    folder: PathBuf,
    open: RwLock<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    database: sled::Db,
    /// The database's own file: `flush` hands it to the system, and only this has the disk confirm it.
    file: File,
}

impl Sled {
    /// Opens the database in `folder`, which is made where it is missing.
    ///
    /// # Errors
    /// When another process has it open, or its files cannot be used.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let open = RwLock::new(Some(Open::at(folder)?));
        Ok(Self { folder: folder.to_owned(), open })
    }

    fn with<T>(&self, work: impl FnOnce(&Open) -> Result<T, Error>) -> Result<T, Error> {
        work(self.open.read().unwrap_or_else(PoisonError::into_inner).as_ref().ok_or(Error::Closed)?)
    }
}

impl Open {
    fn at(folder: &Path) -> Result<Self, Error> {
        // A flush of its own would only come between ours.
        let config = sled::Config::default().path(folder).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        let database = open(&config)?;
        let file = File::open(folder.join("db"))?;
        File::open(folder)?.sync_all()?;
        Ok(Self { database, file })
    }
}

/// Opens a database, and tries for a moment: one that was just closed is let go of by its threads one after the other, and by
/// a process that was about to be started once it runs.
fn open(config: &sled::Config) -> Result<sled::Db, sled::Error> {
    for _ in 0..LOCK_TRIES {
        match config.open() {
            // It wraps the system's error in one of its own, of which only the words are left.
            Err(sled::Error::Io(error)) if error.to_string().contains("could not acquire lock") => {
                std::thread::sleep(LOCK_PAUSE);
            }
            opened => return opened,
        }
    }
    config.open()
}

impl Backend for Sled {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.with(|open| Ok(open.database.get(key)?.map(|value| value.to_vec())))
    }

    fn next(&self, prefix: &[u8], after: Bound<&[u8]>) -> Result<Option<Record>, Error> {
        self.with(|open| {
            let found = open.database.range::<&[u8], _>((after, Bound::Unbounded)).next().transpose()?;
            Ok(found
                .filter(|(key, _)| key.starts_with(prefix))
                .map(|(key, value)| (key.to_vec(), value.to_vec())))
        })
    }

    fn write(&self, changes: &[Change]) -> Result<(), Error> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key.as_slice(), value.as_slice()),
                None => batch.remove(key.as_slice()),
            }
        }
        self.with(|open| {
            open.database.apply_batch(batch)?;
            open.database.flush()?;
            Ok(open.file.sync_data()?)
        })
    }

    fn reopen(&self) -> Result<(), Error> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        // The old one must let go of its lock first.
        *open = None;
        *open = Some(Open::at(&self.folder)?);
        Ok(())
    }
}
