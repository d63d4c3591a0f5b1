//! Projects: what keys share.

use serde::Deserialize;
use serde::Serialize;

use super::clock;
use super::records;
use crate::domain::Budget;
use crate::domain::DEFAULT_PROJECT;
use crate::domain::Rates;

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
    /// When it was made, in seconds of Unix time.
    pub created_at: u64,
}

impl Project {
    /// A project without limits.
    pub(super) fn named(id: String, name: impl Into<String>) -> Self {
        let (rates, budget) = (Rates::default(), Budget::default());
        Self { id, name: name.into(), rates, budget, created_at: clock::now() }
    }

    /// The one that is always there.
    pub(super) fn usual() -> Self {
        Self::named(DEFAULT_PROJECT.to_owned(), DEFAULT_PROJECT)
    }
}
