//! How many bytes each project has on disk.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

/// Bytes in use, by project. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Space(Arc<Mutex<HashMap<String, u64>>>);

/// Bytes of a project that are in use for as long as this is there, unless they are kept.
#[derive(Debug)]
pub(super) struct Room {
    space: Space,
    project: String,
    bytes: u64,
}

impl Space {
    /// Nothing yet, for a file of `project`.
    pub(super) fn room(&self, project: &str) -> Room {
        Room {
            space: self.clone(),
            project: project.to_owned(),
            bytes: 0,
        }
    }

    /// `bytes` of `project` are free again.
    pub(super) fn give_back(&self, project: &str, bytes: u64) {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = used.get_mut(project) {
            *used = used.saturating_sub(bytes);
        }
    }

    /// Takes `bytes` of `project` if it has then no more than `limit` in use, and says whether.
    fn take(&self, project: &str, bytes: u64, limit: u64) -> bool {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let used = used.entry(project.to_owned()).or_default();
        let after = used.saturating_add(bytes);
        if after > limit {
            return false;
        }
        *used = after;
        true
    }
}

impl Room {
    /// Takes `bytes` more if the project has then no more than `limit` in use, and says whether.
    pub(super) fn take(&mut self, bytes: u64, limit: u64) -> bool {
        let is_taken = self.space.take(&self.project, bytes, limit);
        if is_taken {
            self.bytes += bytes;
        }
        is_taken
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn project(&self) -> &str {
        &self.project
    }

    /// The bytes stay in use until somebody gives them back.
    pub(super) fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.space.give_back(&self.project, self.bytes);
    }
}
