//! Turn of a background response that waits for a worker and may still be left to another server.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use super::queued_request::QueuedRequest;
use crate::domain::ClaimedKey;
use crate::domain::ClaimedWork;
use crate::domain::RequestClaim;

/// Mark of a turn that is set before its run is held in the ledger, after which it may go upstream.
#[derive(Debug, Clone, Default)]
pub(super) struct TurnStart(Arc<StartMark>);

#[derive(Debug, Default)]
struct StartMark(AtomicBool);

/// Turn that has not begun, with what another server needs to run it.
#[derive(Debug)]
pub(super) struct UnstartedTurn {
    pub(super) request: QueuedRequest,
    pub(super) start: TurnStart,
}

impl TurnStart {
    /// Returns the claim of the turn, by which the ledger sets the mark.
    pub(super) fn claim(&self) -> RequestClaim {
        RequestClaim::new(Arc::clone(&self.0) as _)
    }
}

impl UnstartedTurn {
    /// Returns true while the run is not held, so that nothing was sent upstream.
    pub(super) fn is_waiting(&self) -> bool {
        !self.start.0.0.load(Ordering::Acquire)
    }
}

impl ClaimedKey for StartMark {
    fn begin(&self, _: ClaimedWork) {
        self.0.store(true, Ordering::Release);
    }

    fn end(&self, _: bool) {}

    /// The turn creates no object.
    fn object_id(&self) -> &'static str {
        ""
    }

    fn is_resumed(&self) -> bool {
        false
    }
}
