//! End users: the people behind a key, whom its client tells apart.

use std::fmt;
use std::sync::Arc;

use super::Budget;
use super::Rates;

/// Id of an end user, as the client of a key names one of its own users.
///
/// Its `Debug` form is `***`: the id may be a name or an address, and is no part of any log.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EndUser(Arc<str>);

/// Terms on which a key's end users are served, the same for each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndUserTerms {
    /// Rate limits of each end user.
    pub rates: Rates,
    /// Budget of each end user.
    pub budget: Budget,
    /// Maximum number of end users of a key that are counted apart in a month; further ones share one
    /// account.
    pub max_per_key: u32,
    /// True if fields of a request's body may name the end user.
    pub reads_fields: bool,
}

impl EndUser {
    /// Maximum length of an id, in bytes.
    pub const MAX_BYTES: usize = 512;

    /// Creates the end user with this id; `None` if the id is blank or too long.
    pub fn new(id: &str) -> Option<Self> {
        (!id.trim().is_empty() && id.len() <= Self::MAX_BYTES).then(|| Self(id.into()))
    }

    /// Returns the id, as the client has written it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EndUser {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl EndUserTerms {
    /// Default of [`max_per_key`](Self::max_per_key).
    pub const DEFAULT_MAX_PER_KEY: u32 = 10_000;
}

impl Default for EndUserTerms {
    fn default() -> Self {
        Self {
            rates: Rates::default(),
            budget: Budget::default(),
            max_per_key: Self::DEFAULT_MAX_PER_KEY,
            reads_fields: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::EndUser;

    #[test]
    fn end_user_keeps_its_id_and_shows_nothing_of_it() {
        let user = EndUser::new(" ann@example.com").unwrap();
        assert_eq!(user.as_str(), " ann@example.com");
        assert_eq!(format!("{user:?}"), "***");
    }

    #[test]
    fn end_user_without_an_id_of_fitting_length_is_none() {
        for id in ["", " \t", &"x".repeat(EndUser::MAX_BYTES + 1)] {
            assert_eq!(EndUser::new(id), None, "{id}");
        }
        assert!(EndUser::new(&"x".repeat(EndUser::MAX_BYTES)).is_some());
    }
}
