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

/// Refuses to write for as long as it is told to, and then until it is opened again.
#[derive(Debug, Default)]
pub(crate) struct Faulty {
    memory: Memory,
    is_full: AtomicBool,
    is_broken: AtomicBool,
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
        if self.is_full.load(Ordering::Relaxed) {
            self.is_broken.store(true, Ordering::Relaxed);
        }
        if self.is_broken.load(Ordering::Relaxed) { Err(Error::Closed) } else { self.memory.write(changes) }
    }

    fn reopen(&self) -> Result<(), Error> {
        self.is_broken.store(false, Ordering::Relaxed);
        Ok(())
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

    fn reopen(&self) -> Result<(), Error> {
        Ok(())
    }
}
