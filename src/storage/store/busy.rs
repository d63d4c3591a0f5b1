//! Locks on records, held in memory.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

/// Locks on the records of one kind, by owner and id. Held in memory only; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Busy(Arc<Mutex<HashSet<(String, String)>>>);

/// A held lock on a record, released on drop.
#[derive(Debug)]
pub struct Taken {
    busy: Busy,
    name: (String, String),
}

impl Busy {
    /// Locks a record. Returns `None` if it is locked already.
    pub fn take(&self, owner: &str, id: &str) -> Option<Taken> {
        let name = (owner.to_owned(), id.to_owned());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(name.clone()).then(|| Taken {
            busy: self.clone(),
            name,
        })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.busy
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.name);
    }
}
