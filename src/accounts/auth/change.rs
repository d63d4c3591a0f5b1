//! Changes to keys and projects.

use super::key::Key;
use super::key::Permission;
use super::project::Project;
use crate::accounts::webhooks::Address;
use crate::accounts::webhooks::Endpoint;
use crate::accounts::webhooks::Secret;
use crate::domain::Budget;
use crate::domain::Rates;

/// Change of an optional field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Change<T> {
    /// Keeps the present value.
    #[default]
    Keep,
    /// Removes the present value.
    Clear,
    /// Sets a new value.
    Set(T),
}

impl<T> Change<T> {
    fn try_map<U, E>(self, make: impl FnOnce(T) -> Result<U, E>) -> Result<Change<U>, E> {
        Ok(match self {
            Self::Keep => Change::Keep,
            Self::Clear => Change::Clear,
            Self::Set(value) => Change::Set(make(value)?),
        })
    }

    fn apply(self, to: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *to = None,
            Self::Set(value) => *to = Some(value),
        }
    }
}

/// Changes to a key; by default none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyChange {
    /// New display name of the key.
    pub name: Option<String>,
    /// Models that the key may use; cleared, every model.
    pub models: Change<Vec<String>>,
    /// Rate limits of the key, and its weight in fair queueing.
    pub rates: RatesChange,
    /// Budget of the key; cleared, no cap.
    pub budget: Change<Budget>,
    /// Permissions of the key; cleared, the default ones.
    pub permissions: Change<Vec<Permission>>,
    /// Expiry time in seconds of Unix time; cleared, never.
    pub expires_at: Change<u64>,
}

/// Changes to a project; by default none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectChange {
    /// New display name of the project.
    pub name: Option<String>,
    /// Rate limits for all keys of the project together.
    pub rates: RatesChange,
    /// Budget of all keys of the project together; cleared, no cap.
    pub budget: Change<Budget>,
    /// Webhook for events of the project; cleared, no webhook.
    pub webhook: Change<NewWebhook>,
}

/// New webhook of a project or a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWebhook {
    /// URL of the receiver.
    pub url: Address,
    /// Signing secret; generated if `None`.
    pub secret: Option<Secret>,
}

/// Changes to rate limits and weight. A cleared limit means no limit; a cleared weight means the
/// default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RatesChange {
    /// Limit of requests per minute.
    pub requests_per_minute: Change<u32>,
    /// Limit of tokens per minute.
    pub tokens_per_minute: Change<u32>,
    /// Limit of concurrent requests.
    pub concurrent_requests: Change<u32>,
    /// Weight in fair queueing: turns per round.
    pub weight: Change<u32>,
}

impl KeyChange {
    pub(super) fn apply(self, key: &mut Key) {
        if let Some(name) = self.name {
            key.name = name;
        }
        self.models.apply(&mut key.terms.models);
        self.rates.apply(&mut key.terms.rates);
        replace(self.budget, &mut key.terms.budget);
        self.permissions.apply(&mut key.terms.permissions);
        self.expires_at.apply(&mut key.expires_at);
    }
}

impl ProjectChange {
    /// # Errors
    /// When the system gives no random bytes for a secret.
    pub(super) fn apply(self, project: &mut Project) -> Result<(), getrandom::Error> {
        if let Some(name) = self.name {
            project.name = name;
        }
        self.rates.apply(&mut project.rates);
        replace(self.budget, &mut project.budget);
        self.webhook
            .try_map(NewWebhook::endpoint)?
            .apply(&mut project.webhook);
        Ok(())
    }
}

impl NewWebhook {
    /// Converts into an endpoint; generates a secret if none is given.
    ///
    /// # Errors
    /// When the system gives no random bytes for it.
    pub fn endpoint(self) -> Result<Endpoint, getrandom::Error> {
        Ok(Endpoint {
            url: self.url,
            secret: self.secret.map_or_else(Secret::new, Ok)?,
        })
    }
}

impl RatesChange {
    fn apply(self, rates: &mut Rates) {
        self.requests_per_minute
            .apply(&mut rates.requests_per_minute);
        self.tokens_per_minute.apply(&mut rates.tokens_per_minute);
        self.concurrent_requests
            .apply(&mut rates.concurrent_requests);
        self.weight.apply(&mut rates.weight);
    }
}

fn replace(change: Change<Budget>, budget: &mut Budget) {
    match change {
        Change::Keep => {}
        Change::Clear => *budget = Budget::default(),
        Change::Set(new) => *budget = new,
    }
}
