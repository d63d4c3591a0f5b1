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
pub struct Permit {
    place: PermitPlace,
    /// Permit of the limits of the request's end user.
    end_user: Option<PermitPlace>,
}

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
    /// Fails when the token limit of the key, of its project or of the end user does not suffice. All
    /// debits of the request are refunded then; the permit still counts as concurrent until it is
    /// dropped. Fails as well when the store of shared limits does.
    pub async fn take_tokens(&mut self, tokens: u64) -> Result<(), AdmitError> {
        if let Err(error) = self.place.take_tokens(tokens).await {
            if let Some(end_user) = &mut self.end_user {
                end_user.settle(0);
            }
            return Err(error);
        }
        if let Some(end_user) = &mut self.end_user
            && let Err(error) = end_user.take_tokens(tokens).await
        {
            self.place.settle(0);
            return Err(error);
        }
        Ok(())
    }

    /// True if the limits of the request's end user are taken.
    pub(super) fn has_end_user(&self) -> bool {
        self.end_user.is_some()
    }

    /// Adds the permit `taken` of the limits of the request's end user.
    pub(super) fn add_end_user(&mut self, taken: Self) {
        self.end_user = Some(taken.place);
    }

    /// Corrects the token debit to the `tokens` that the request really used, more or fewer than
    /// estimated. Above the limit the bucket goes into debt, and later requests wait. Only the
    /// first call after tokens were taken has an effect.
    pub fn settle(&mut self, tokens: u64) {
        self.place.settle(tokens);
        if let Some(end_user) = &mut self.end_user {
            end_user.settle(tokens);
        }
    }

    /// Remaining limits, for the response headers: now, or as the store told last.
    pub fn state(&self) -> RateLimitState {
        let places = std::iter::once(&self.place).chain(&self.end_user);
        RateLimitState::tightest(places.map(PermitPlace::state))
    }
}

impl PermitPlace {
    async fn take_tokens(&mut self, tokens: u64) -> Result<(), AdmitError> {
        match self {
            Self::Here(permit) => Ok(permit.take_tokens(tokens)?),
            Self::Shared(permit) => permit.take_tokens(tokens).await,
        }
    }

    fn settle(&mut self, tokens: u64) {
        match self {
            Self::Here(permit) => permit.settle(tokens),
            Self::Shared(permit) => permit.settle(tokens),
        }
    }

    fn state(&self) -> RateLimitState {
        match self {
            Self::Here(permit) => permit.state(),
            Self::Shared(permit) => permit.state(),
        }
    }
}

impl From<PermitPlace> for Permit {
    fn from(place: PermitPlace) -> Self {
        Self {
            place,
            end_user: None,
        }
    }
}

impl From<LocalPermit> for Permit {
    fn from(permit: LocalPermit) -> Self {
        PermitPlace::Here(permit).into()
    }
}

impl From<SharedPermit> for Permit {
    fn from(permit: SharedPermit) -> Self {
        PermitPlace::Shared(permit).into()
    }
}
