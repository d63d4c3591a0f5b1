//! Projects: groups of keys with shared limits, budget and cache.

use serde::Deserialize;
use serde::Serialize;

use super::records;
use crate::accounts::webhooks::WebhookEndpoint;
use crate::domain::Budget;
use crate::domain::DEFAULT_PROJECT;
use crate::domain::Rates;
use crate::domain::unix_now;

/// Group of keys with shared rate limits, budget and cached answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Id of the project; never changes.
    pub id: String,
    /// Display name of the project.
    pub name: String,
    /// Rate limits for all its keys together.
    #[serde(default, with = "records::RatesForm")]
    pub rates: Rates,
    /// Budget of all its keys together.
    #[serde(default, with = "records::BudgetForm")]
    pub budget: Budget,
    /// Webhook for events of the project. Its secret is stored in plain text, because signing needs
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookEndpoint>,
    /// Time of creation, in seconds of Unix time.
    pub created_at: u64,
}

impl Project {
    /// Creates a project without limits.
    pub(super) fn named(id: String, name: impl Into<String>) -> Self {
        let rates = Rates::default();
        let budget = Budget::default();
        Self {
            id,
            name: name.into(),
            rates,
            budget,
            webhook: None,
            created_at: unix_now(),
        }
    }

    /// Creates the default project.
    pub(super) fn default_project() -> Self {
        Self::named(DEFAULT_PROJECT.to_owned(), DEFAULT_PROJECT)
    }
}
