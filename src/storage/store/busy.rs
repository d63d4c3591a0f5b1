//! Which records are taken by somebody who will change them later.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

/// The records of one kind that are taken, by owner and id, in memory alone. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Busy(Arc<Mutex<HashSet<(String, String)>>>);

/// A record that is taken, until this is dropped.
#[derive(Debug)]
pub struct Taken {
    busy: Busy,
    name: (String, String),
}

impl Busy {
    /// Takes a record, unless somebody has it.
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
