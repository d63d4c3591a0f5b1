//! Leases: a worker lent to one request.

use std::time::Duration;

use tokio::time::Instant;

use super::Pool;
use super::launcher::{Launcher, Worker};
use super::state::Slot;
use crate::telemetry::metrics::RetireReason;
use crate::telemetry::traces::OpenSpan;

/// Timeout of a health check, about a hundred times its usual duration.
const HEALTH_CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// Guard that holds a worker; dropping it returns the worker to the pool, which resets it for the
/// next request.
#[must_use = "dropping a lease gives the worker back"]
pub struct Lease<L: Launcher> {
    /// `None` only after the lease has ended.
    slot: Option<Slot<L::Worker>>,
    pool: Pool<L>,
    is_used: bool,
    /// Reason why the worker cannot be used again.
    broken: Option<RetireReason>,
    /// Set if the request had to wait for the worker.
    has_queued: bool,
    /// Time of the first use.
    used_since: Option<Instant>,
    /// Span of the lease, which ends with it.
    span: Option<OpenSpan>,
}

/// State in which a worker is returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Returned {
    /// Never used: still clean.
    Unused,
    /// Needs a reset.
    Used,
    /// Must be ended.
    Broken(RetireReason),
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
            broken: None,
            has_queued: false,
            used_since: None,
            span: None,
        }
    }

    /// Returns the worker for use; it must be reset before another request gets it.
    pub fn worker(&mut self) -> Option<&mut L::Worker> {
        self.is_used = true;
        self.used_since.get_or_insert_with(Instant::now);
        self.slot.as_mut().map(|slot| &mut slot.worker)
    }

    /// Returns the worker for inspection; it stays clean.
    pub fn inspect(&self) -> Option<&L::Worker> {
        self.slot.as_ref().map(|slot| &slot.worker)
    }

    /// True if the request had to wait for the worker.
    pub fn has_queued(&self) -> bool {
        self.has_queued
    }

    /// Records the lease by `span`, to its end.
    pub(super) fn record_by(&mut self, span: Option<OpenSpan>) {
        self.span = span;
    }

    pub(super) fn mark_queued(&mut self) {
        self.has_queued = true;
    }

    /// Runs a health check; a worker that fails it ends with the lease.
    pub(super) async fn passes_health_check(&mut self) -> bool {
        // Cancellation: a caller that is dropped during the check leaves a worker that needs a
        // reset.
        self.is_used = true;
        let Some(slot) = self.slot.as_mut() else {
            return false;
        };
        let is_answering = health_check(&mut slot.worker).await;
        self.is_used = false;
        self.broken = (!is_answering).then_some(RetireReason::Unresponsive);
        is_answering
    }

    /// Marks the worker as unusable: it ends with the lease.
    pub fn mark_broken(&mut self) {
        self.broken = Some(RetireReason::Broken);
    }

    /// Ends the lease without returning the worker.
    pub(super) fn into_slot(mut self) -> Option<Slot<L::Worker>> {
        self.slot.take()
    }
}

/// Runs the health check of `worker` with a timeout.
pub(super) async fn health_check<W: Worker>(worker: &mut W) -> bool {
    tokio::time::timeout(HEALTH_CHECK_TIMEOUT, worker.is_responsive())
        .await
        .unwrap_or(false)
}

impl<L: Launcher> Drop for Lease<L> {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        let state = match self {
            Self {
                broken: Some(reason),
                ..
            } => Returned::Broken(*reason),
            Self { is_used: true, .. } => Returned::Used,
            _ => Returned::Unused,
        };
        if let Some(since) = self.used_since {
            self.pool.0.metrics.record_lease(since.elapsed());
        }
        self.pool.take_back(slot, state);
    }
}
