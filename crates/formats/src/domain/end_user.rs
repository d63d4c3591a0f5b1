//! End users: the people behind a key, whom its client tells apart.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::Budget;
use super::Rates;

/// Id of an end user, as the client of a key names one of its own users.
///
/// Its `Debug` form is `***`: the id may be a name or an address, and is no part of any log.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EndUser(Arc<str>);

/// Terms on which a key's end users are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndUserTerms {
    /// Rate limits of an end user without terms of its own.
    pub rates: Rates,
    /// Budget of an end user without terms of its own.
    pub budget: Budget,
    /// Terms of single end users.
    pub named: NamedEndUsers,
    /// Maximum number of end users of a key that are counted apart in a month; further ones share one
    /// account.
    pub max_per_key: u32,
    /// True if fields of a request's body may name the end user.
    pub reads_fields: bool,
}

/// Terms of single end users, by their ids. Clones share them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct NamedEndUsers(Arc<BTreeMap<String, Vec<NamedEndUserTerms>>>);

/// Terms of one end user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedEndUserTerms {
    /// Ids of the keys whose end user this is; empty for all keys.
    pub keys: Vec<String>,
    /// Rate limits of the end user.
    pub rates: Rates,
    /// Budget of the end user.
    pub budget: Budget,
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

impl NamedEndUsers {
    /// Creates the terms of end users with these ids. The first ones that are for a key count.
    pub fn new(terms: impl IntoIterator<Item = (String, NamedEndUserTerms)>) -> Self {
        let mut named: BTreeMap<String, Vec<NamedEndUserTerms>> = BTreeMap::new();
        for (id, terms) in terms {
            named.entry(id).or_default().push(terms);
        }
        Self(Arc::new(named))
    }

    fn find(&self, key: &str, end_user: &str) -> Option<&NamedEndUserTerms> {
        let mut all = self.0.get(end_user)?.iter();
        all.find(|terms| terms.keys.is_empty() || terms.keys.iter().any(|known| known == key))
    }
}

impl fmt::Debug for NamedEndUsers {
    /// Shows the number of the ids alone, because they may be names or addresses.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} named", self.0.len())
    }
}

impl EndUserTerms {
    /// Default of [`max_per_key`](Self::max_per_key).
    pub const DEFAULT_MAX_PER_KEY: u32 = 10_000;

    /// Returns the rate limits of the end user `end_user` of `key`.
    pub fn rates_of(&self, key: &str, end_user: &str) -> Rates {
        let named = self.named.find(key, end_user);
        named.map_or(self.rates, |terms| terms.rates)
    }

    /// Returns the budget of the end user `end_user` of `key`.
    pub fn budget_of(&self, key: &str, end_user: &str) -> Budget {
        let named = self.named.find(key, end_user);
        named.map_or(self.budget, |terms| terms.budget)
    }

    /// True if any end user has a budget.
    pub fn is_capped(&self) -> bool {
        let mut named = self.named.0.values().flatten();
        self.budget.is_capped() || named.any(|terms| terms.budget.is_capped())
    }
}

impl Default for EndUserTerms {
    fn default() -> Self {
        Self {
            rates: Rates::default(),
            budget: Budget::default(),
            named: NamedEndUsers::default(),
            max_per_key: Self::DEFAULT_MAX_PER_KEY,
            reads_fields: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Cap;

    #[test]
    fn end_user_keeps_its_id_and_shows_nothing_of_it() {
        let user = EndUser::new(" ann@example.com").unwrap();
        assert_eq!(user.as_str(), " ann@example.com");
        assert_eq!(format!("{user:?}"), "***");
    }

    #[test]
    fn named_end_user_has_terms_of_its_own_for_its_keys() {
        let of_tokens = |tokens| Budget {
            daily: Cap {
                tokens: Some(tokens),
                money: None,
            },
            ..Budget::default()
        };
        let terms = |keys: &[&str], tokens| NamedEndUserTerms {
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            rates: Rates::default(),
            budget: of_tokens(tokens),
        };
        let named = [
            ("ann", terms(&["key-1"], 5)),
            ("ann", terms(&[], 7)),
            ("bob", terms(&[], 9)),
        ];
        let named = named.map(|(id, terms)| (id.to_owned(), terms));
        let all = EndUserTerms {
            named: NamedEndUsers::new(named),
            ..EndUserTerms::default()
        };
        assert_eq!(all.budget_of("key-1", "ann"), of_tokens(5));
        assert_eq!(all.budget_of("key-2", "ann"), of_tokens(7));
        assert_eq!(all.budget_of("key-1", "bob"), of_tokens(9));
        assert_eq!(all.budget_of("key-1", "cid"), Budget::default());
        assert!(all.is_capped() && !EndUserTerms::default().is_capped());
        assert!(!format!("{all:?}").contains("ann"));
    }

    #[test]
    fn end_user_without_an_id_of_fitting_length_is_none() {
        for id in ["", " \t", &"x".repeat(EndUser::MAX_BYTES + 1)] {
            assert_eq!(EndUser::new(id), None, "{id}");
        }
        assert!(EndUser::new(&"x".repeat(EndUser::MAX_BYTES)).is_some());
    }
}
