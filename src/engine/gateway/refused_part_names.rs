//! Names of request parts that upstream refused during the run.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

/// Names of parts that upstream refused, so that the turn runs without them. Clones share the list.
#[derive(Debug, Clone, Default)]
pub struct RefusedPartNames(Arc<Mutex<Vec<String>>>);

impl RefusedPartNames {
    pub(super) fn add(&self, names: Vec<String>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(names);
    }

    /// Returns the names so far. All are known with the first event of the answer.
    pub fn names(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl PartialEq for RefusedPartNames {
    fn eq(&self, other: &Self) -> bool {
        self.names() == other.names()
    }
}

impl Eq for RefusedPartNames {}
