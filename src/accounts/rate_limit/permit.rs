//! Permit of an admitted request.

use super::local_permit::LocalPermit;
use super::rate_limited::AdmitError;
use super::shared::SharedPermit;
use super::state::RateLimitState;

/// Permit of an admitted request. Counts against the concurrency limit until it is dropped, so hold
/// it until the last byte of the response.
///
/// If dropped without being settled, the tokens that were [taken](Self::take_tokens) stay taken.
#[must_use = "dropping a permit ends its request"]
#[derive(Debug)]
pub struct Permit(PermitPlace);

/// Permit by the place where its limits are counted.
#[derive(Debug)]
enum PermitPlace {
    Here(LocalPermit),
    Shared(SharedPermit),
}

impl Permit {
    /// Takes about `tokens` for the prompt and the response of the request, in place of its
    /// estimate so far; in addition to what it was settled at, if it was.
    ///
    /// # Errors
    /// Fails when the token limit of the key or of its project does not suffice. All debits of the
    /// request are refunded then; the permit still counts as concurrent until it is dropped. Fails as
    /// well when the store of shared limits does.
    pub async fn take_tokens(&mut self, tokens: u64) -> Result<(), AdmitError> {
        match &mut self.0 {
            PermitPlace::Here(permit) => Ok(permit.take_tokens(tokens)?),
            PermitPlace::Shared(permit) => permit.take_tokens(tokens).await,
        }
    }

    /// Corrects the token debit to the `tokens` that the request really used, more or fewer than
    /// estimated. Above the limit the bucket goes into debt, and later requests wait. Only the
    /// first call after tokens were taken has an effect.
    pub fn settle(&mut self, tokens: u64) {
        match &mut self.0 {
            PermitPlace::Here(permit) => permit.settle(tokens),
            PermitPlace::Shared(permit) => permit.settle(tokens),
        }
    }

    /// Remaining limits, for the response headers: now, or as the store told last.
    pub fn state(&self) -> RateLimitState {
        match &self.0 {
            PermitPlace::Here(permit) => permit.state(),
            PermitPlace::Shared(permit) => permit.state(),
        }
    }
}

impl From<LocalPermit> for Permit {
    fn from(permit: LocalPermit) -> Self {
        Self(PermitPlace::Here(permit))
    }
}

impl From<SharedPermit> for Permit {
    fn from(permit: SharedPermit) -> Self {
        Self(PermitPlace::Shared(permit))
    }
}
