//! Holds that the store failed to close.

use std::sync::Arc;

use crate::domain::Grant;
use crate::domain::Money;
use crate::telemetry::logs::ErrorChain;

use super::Charge;
use super::Error;
use super::hold::HoldClosing;

/// Hold that is still to be closed.
#[derive(Debug, Clone)]
pub(super) struct PendingClose {
    pub(super) id: String,
    pub(super) closing: HoldClosing,
    pub(super) grant: Arc<Grant>,
}

impl PendingClose {
    /// Logs that the hold is not closed, and what was to be charged.
    pub(super) fn log_failure(&self, error: &Error) {
        let charge = self.closing.charge();
        tracing::error!(
            hold.id = self.id.as_str(),
            charge.tokens = charge.map(Charge::tokens),
            charge.nano_usd = charge.and_then(|charge| charge.money).map(Money::nanos),
            error = %ErrorChain(error),
            "hold not closed"
        );
    }
}
