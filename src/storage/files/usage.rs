//! Disk usage per project.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// Bytes in use, by project. Clones share the state.
#[derive(Debug, Clone, Default)]
pub(super) struct ProjectUsage(Arc<Mutex<HashMap<String, u64>>>);

/// Bytes reserved for a file of a project. Released on drop unless they are kept.
#[derive(Debug)]
pub(super) struct SpaceReservation {
    space: ProjectUsage,
    project: String,
    bytes: u64,
    is_kept: AtomicBool,
}

impl ProjectUsage {
    /// Starts an empty reservation for a file of `project`.
    pub(super) fn begin_reservation(&self, project: &str) -> SpaceReservation {
        SpaceReservation {
            space: self.clone(),
            project: project.to_owned(),
            bytes: 0,
            is_kept: AtomicBool::new(false),
        }
    }

    /// Releases `bytes` of `project`.
    pub(super) fn release(&self, project: &str, bytes: u64) {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = used.get_mut(project) {
            *used = used.saturating_sub(bytes);
        }
    }

    /// Reserves `bytes` for `project`. Returns false if the project would exceed `limit`.
    fn reserve(&self, project: &str, bytes: u64, limit: u64) -> bool {
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

impl SpaceReservation {
    /// Reserves `bytes` more. Returns false if the project would exceed `limit`.
    pub(super) fn reserve_more(&mut self, bytes: u64, limit: u64) -> bool {
        let is_taken = self.space.reserve(&self.project, bytes, limit);
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

    /// Keeps the bytes in use after the drop, until they are released.
    pub(super) fn keep(&self) {
        self.is_kept.store(true, Ordering::Relaxed);
    }
}

impl Drop for SpaceReservation {
    fn drop(&mut self) {
        if !*self.is_kept.get_mut() {
            self.space.release(&self.project, self.bytes);
        }
    }
}
