//! A worker lent to one request.

use std::time::Duration;

use super::Pool;
use super::launcher::{Launcher, Worker};
use super::state::Slot;

/// How long an idle worker may take for a sign of life: a hundred times as long as it usually does.
const SIGN_OF_LIFE_TIMEOUT: Duration = Duration::from_secs(1);

/// Holds a worker until it is dropped; the pool then resets it for the next request.
#[must_use = "dropping a lease gives the worker back"]
pub struct Lease<L: Launcher> {
    /// Empty only once the lease has ended.
    slot: Option<Slot<L::Worker>>,
    pool: Pool<L>,
    is_used: bool,
    is_broken: bool,
}

/// In what state a worker comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Returned {
    /// Nobody touched it: it is as clean as it was.
    Unused,
    /// To be reset.
    Used,
    /// To be ended.
    Broken,
}

impl<L: Launcher> std::fmt::Debug for Lease<L> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Lease")
            .field("is_used", &self.is_used)
            .finish_non_exhaustive()
    }
}

impl<L: Launcher> Lease<L> {
    pub(super) fn new(slot: Slot<L::Worker>, pool: Pool<L>) -> Self {
        Self {
            slot: Some(slot),
            pool,
            is_used: false,
            is_broken: false,
        }
    }

    /// The worker, to be used: from now on it must be reset before another request gets it.
    pub fn worker(&mut self) -> Option<&mut L::Worker> {
        self.is_used = true;
        self.slot.as_mut().map(|slot| &mut slot.worker)
    }

    /// The worker, to be looked at: it stays as clean as it is.
    pub fn inspect(&self) -> Option<&L::Worker> {
        self.slot.as_ref().map(|slot| &slot.worker)
    }

    /// Whether the worker gives a sign of life soon. One that does not ends with the lease.
    pub(super) async fn is_answering(&mut self) -> bool {
        // Whoever leaves in the middle leaves a worker to be reset.
        self.is_used = true;
        let Some(slot) = self.slot.as_mut() else {
            return false;
        };
        let is_answering = gives_sign_of_life(&mut slot.worker).await;
        self.is_used = false;
        self.is_broken = !is_answering;
        is_answering
    }

    /// Says that the worker must not be used again: it ends with the lease.
    pub fn mark_broken(&mut self) {
        self.is_broken = true;
    }

    /// Ends the lease without giving the worker back.
    pub(super) fn into_slot(mut self) -> Option<Slot<L::Worker>> {
        self.slot.take()
    }
}

/// Whether `worker` answers soon.
pub(super) async fn gives_sign_of_life<W: Worker>(worker: &mut W) -> bool {
    tokio::time::timeout(SIGN_OF_LIFE_TIMEOUT, worker.answers())
        .await
        .unwrap_or(false)
}

impl<L: Launcher> Drop for Lease<L> {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        let state = match self {
            Self {
                is_broken: true, ..
            } => Returned::Broken,
            Self { is_used: true, .. } => Returned::Used,
            _ => Returned::Unused,
        };
        self.pool.take_back(slot, state);
    }
}
