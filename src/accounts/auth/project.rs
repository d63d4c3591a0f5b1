//! Projects: what keys share.

use serde::Deserialize;
use serde::Serialize;

use super::records;
use crate::accounts::webhooks::Endpoint;
use crate::domain::Budget;
use crate::domain::DEFAULT_PROJECT;
use crate::domain::Rates;
use crate::domain::unix_now;

/// What keys share: limits, a budget, and answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Its name for machines, which never changes.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// How often and how much all its keys together may ask.
    #[serde(default, with = "records::RatesForm")]
    pub rates: Rates,
    /// How much all its keys together may spend.
    #[serde(default, with = "records::BudgetForm")]
    pub budget: Budget,
    /// Who hears of what happens in it. Its secret is kept as it is: without it nothing can be signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Endpoint>,
    /// When it was made, in seconds of Unix time.
    pub created_at: u64,
}

impl Project {
    /// A project without limits.
    pub(super) fn named(id: String, name: impl Into<String>) -> Self {
        let (rates, budget) = (Rates::default(), Budget::default());
        Self {
            id,
            name: name.into(),
            rates,
            budget,
            webhook: None,
            created_at: unix_now(),
        }
    }

    /// The one that is always there.
    pub(super) fn usual() -> Self {
        Self::named(DEFAULT_PROJECT.to_owned(), DEFAULT_PROJECT)
    }
}
