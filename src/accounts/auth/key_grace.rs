//! Keys while the store that servers share is away.
//!
//! A key of the configuration is as valid as before. A stored one may have been revoked by another
//! server meanwhile, so it is trusted for a bounded time after the store was last reached, and no longer.

use std::time::Duration;

use super::Error;
use super::digest::KeyDigest;
use super::keys::Credentials;
use super::keys::Keys;
use crate::storage::store;

impl Keys {
    /// Lets keys work while the store cannot be reached: those of the configuration, and stored ones as
    /// they were known when it was last reached, for `key_grace` since then.
    #[must_use]
    pub fn trusted_in_outages(mut self, key_grace: Duration) -> Self {
        self.key_grace = Some(key_grace);
        self
    }

    /// Brings the stored keys up to date, as [`refresh`](Self::refresh) does, before `credentials` are
    /// checked. Does nothing if the store is away and they may be checked nevertheless.
    ///
    /// # Errors
    /// Fails when the store cannot be read, and the keys may not be trusted.
    pub async fn refresh_for(&self, credentials: &Credentials<'_>) -> Result<(), Error> {
        match self.refresh().await {
            Err(Error::Store(store::Error::Unreachable(_))) if self.trusts(credentials) => Ok(()),
            refreshed => refreshed,
        }
    }

    /// Returns true if some key is trusted while the store is away.
    pub fn are_any_trusted(&self) -> bool {
        self.key_grace.is_some() && (self.configured().len() > 0 || self.is_within_grace())
    }

    /// Returns true if `credentials` may be checked while the store is away. Not if one of them is a stored
    /// key that may have been revoked, even beside a configured one.
    fn trusts(&self, credentials: &Credentials<'_>) -> bool {
        if self.key_grace.is_none() {
            return false;
        }
        if self.is_within_grace() {
            return true;
        }
        let configured = self.configured();
        let mut texts = credentials.key_texts().peekable();
        texts.peek().is_some() && texts.all(|text| configured.name(&KeyDigest::of(text)).is_some())
    }

    /// Returns true if the store was reached so recently that stored keys are trusted.
    fn is_within_grace(&self) -> bool {
        let follower = self.follower.as_ref().zip(self.key_grace);
        follower.is_some_and(|(follower, grace)| follower.since_reached() < grace)
    }
}
