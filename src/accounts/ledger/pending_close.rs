//! Holds that the store failed to close.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use crate::domain::Grant;
use crate::domain::Money;
use crate::telemetry::logs::ErrorChain;

use super::Charge;
use super::Error;
use super::alerts::Alert;
use super::hold::HoldClosing;
use super::journaled_hold::JournaledHold;
use super::records::ChargeRecord;

/// Hold that is still to be closed.
#[derive(Debug, Clone)]
pub(super) struct PendingClose {
    pub(super) id: String,
    pub(super) closing: HoldClosing,
    pub(super) grant: Arc<Grant>,
    /// True if the store has failed to close it before.
    pub(super) is_repeated: bool,
    /// What its charge leaves to tell, if the store may have made that and has not confirmed it.
    pub(super) untold: UntoldCharge,
    /// The hold, if it was written to the journal alone.
    pub(super) journaled: Option<Arc<JournaledHold>>,
}

/// Charge that metrics have not counted, with its alerts.
#[derive(Debug, Clone, Default)]
pub(super) struct UntoldCharge {
    pub(super) charged: Option<ChargeRecord>,
    pub(super) alerts: Vec<Alert>,
}

/// Ids of the holds that the store failed to release, each with true if a later hold has the id by now: work
/// that runs again holds under the same id, and must not lose that hold to the release of an earlier one.
#[derive(Debug, Default)]
pub(super) struct FailedReleases(Mutex<HashMap<String, bool>>);

impl FailedReleases {
    /// Notes that the release of the hold `id` has failed, which no later hold has replaced.
    pub(super) fn add(&self, id: &str) {
        self.lock().insert(id.to_owned(), false);
    }

    /// Notes if a later hold has the id of a failed release. Does nothing for another id.
    pub(super) fn set_replaced(&self, id: &str, is_replaced: bool) {
        if let Some(noted) = self.lock().get_mut(id) {
            *noted = is_replaced;
        }
    }

    /// Returns true if a later hold has the id of a failed release.
    pub(super) fn is_replaced(&self, id: &str) -> bool {
        self.lock().get(id).copied().unwrap_or_default()
    }

    /// Forgets the failed release of the hold `id`.
    pub(super) fn remove(&self, id: &str) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingClose {
    /// True for a release that the store has failed to make before.
    pub(super) fn is_repeated_release(&self) -> bool {
        self.is_repeated && matches!(self.closing, HoldClosing::Released)
    }

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
