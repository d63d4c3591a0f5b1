//! Backends with faults.

use std::ops::Bound;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use super::Backend;
use super::Change;
use super::Error;
use super::Memory;
use super::Record;

/// Refuses to write for as long as it is told to.
#[derive(Debug, Default)]
pub(crate) struct Faulty {
    memory: Memory,
    is_full: AtomicBool,
}

impl Faulty {
    /// Whether there is no room on the disk from now on.
    pub(crate) fn fill(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::Relaxed);
    }
}

impl Backend for Faulty {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.memory.get(key)
    }

    fn next(&self, prefix: &[u8], after: Bound<&[u8]>) -> Result<Option<Record>, Error> {
        self.memory.next(prefix, after)
    }

    fn write(&self, changes: &[Change]) -> Result<(), Error> {
        self.check_writable()?;
        self.memory.write(changes)
    }

    fn check_writable(&self) -> Result<(), Error> {
        let is_full = self.is_full.load(Ordering::Relaxed);
        if is_full { Err(Error::DiskFull { free_mib: 0, needed_mib: 1 }) } else { Ok(()) }
    }
}

/// Writes nothing for as long as its gate is closed.
#[derive(Debug, Default)]
pub(crate) struct Gated {
    memory: Memory,
    is_closed: Mutex<bool>,
    opened: Condvar,
}

impl Gated {
    /// Nothing is written from now on.
    pub(crate) fn close(&self) {
        *self.is_closed.lock().unwrap() = true;
    }

    /// What waits is written.
    pub(crate) fn open(&self) {
        *self.is_closed.lock().unwrap() = false;
        self.opened.notify_all();
    }
}

impl Backend for Gated {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.memory.get(key)
    }

    fn next(&self, prefix: &[u8], after: Bound<&[u8]>) -> Result<Option<Record>, Error> {
        self.memory.next(prefix, after)
    }

    fn write(&self, changes: &[Change]) -> Result<(), Error> {
        let is_closed = self.is_closed.lock().unwrap();
        drop(self.opened.wait_while(is_closed, |is_closed| *is_closed).unwrap());
        self.memory.write(changes)
    }

    fn check_writable(&self) -> Result<(), Error> {
        Ok(())
    }
}
