//! Which sessions are being answered.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

/// The sessions that are being answered, by owner and id. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Busy(Arc<Mutex<HashSet<(String, String)>>>);

/// A session that is taken, until this is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    busy: Busy,
    name: (String, String),
}

impl Busy {
    /// Takes a session, unless somebody has it.
    pub(super) fn take(&self, owner: &str, id: &str) -> Option<Taken> {
        let name = (owner.to_owned(), id.to_owned());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(name.clone()).then(|| Taken { busy: self.clone(), name })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.busy.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}
