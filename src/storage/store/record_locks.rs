//! Locks on records, held in memory.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

/// Locks on the records of one kind, by owner and id. Held in memory only; clones share them.
#[derive(Debug, Clone, Default)]
pub struct RecordLocks(Arc<Mutex<HashSet<(String, String)>>>);

/// A held lock on a record, released on drop.
#[derive(Debug)]
pub struct RecordLock {
    locks: RecordLocks,
    name: (String, String),
}

impl RecordLocks {
    /// Locks a record. Returns `None` if it is locked already.
    pub fn try_lock(&self, owner: &str, id: &str) -> Option<RecordLock> {
        let name = (owner.to_owned(), id.to_owned());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(name.clone()).then(|| RecordLock {
            locks: self.clone(),
            name,
        })
    }
}

impl Drop for RecordLock {
    fn drop(&mut self) {
        self.locks
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.name);
    }
}
