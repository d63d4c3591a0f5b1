//! Changes to keys and projects.

use super::key::ApiKey;
use super::key::Permission;
use super::project::Project;
use crate::accounts::webhooks::SigningSecret;
use crate::accounts::webhooks::WebhookEndpoint;
use crate::accounts::webhooks::WebhookUrl;
use crate::domain::Budget;
use crate::domain::Rates;

/// Change of an optional field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldChange<T> {
    /// Keeps the present value.
    #[default]
    Keep,
    /// Removes the present value.
    Clear,
    /// Sets a new value.
    Set(T),
}

impl<T> FieldChange<T> {
    fn try_map<U, E>(self, make: impl FnOnce(T) -> Result<U, E>) -> Result<FieldChange<U>, E> {
        Ok(match self {
            Self::Keep => FieldChange::Keep,
            Self::Clear => FieldChange::Clear,
            Self::Set(value) => FieldChange::Set(make(value)?),
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
    pub models: FieldChange<Vec<String>>,
    /// Rate limits of the key, and its weight in fair queueing.
    pub rates: RatesChange,
    /// Budget of the key; cleared, no cap.
    pub budget: FieldChange<Budget>,
    /// Permissions of the key; cleared, the default ones.
    pub permissions: FieldChange<Vec<Permission>>,
    /// Expiry time in seconds of Unix time; cleared, never.
    pub expires_at: FieldChange<u64>,
}

/// Changes to a project; by default none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectChange {
    /// New display name of the project.
    pub name: Option<String>,
    /// Rate limits for all keys of the project together.
    pub rates: RatesChange,
    /// Budget of all keys of the project together; cleared, no cap.
    pub budget: FieldChange<Budget>,
    /// Webhook for events of the project; cleared, no webhook.
    pub webhook: FieldChange<NewWebhook>,
}

/// New webhook of a project or a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWebhook {
    /// URL of the receiver.
    pub url: WebhookUrl,
    /// Signing secret; generated if `None`.
    pub secret: Option<SigningSecret>,
}

/// Changes to rate limits and weight. A cleared limit means no limit; a cleared weight means the
/// default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RatesChange {
    /// Limit of requests per minute.
    pub requests_per_minute: FieldChange<u32>,
    /// Limit of tokens per minute.
    pub tokens_per_minute: FieldChange<u32>,
    /// Limit of concurrent requests.
    pub concurrent_requests: FieldChange<u32>,
    /// Weight in fair queueing: turns per round.
    pub weight: FieldChange<u32>,
}

impl KeyChange {
    pub(super) fn apply(self, key: &mut ApiKey) {
        if let Some(name) = self.name {
            key.name = name;
        }
        self.models.apply(&mut key.policy.models);
        self.rates.apply(&mut key.policy.rates);
        apply_budget(self.budget, &mut key.policy.budget);
        self.permissions.apply(&mut key.policy.permissions);
        self.expires_at.apply(&mut key.expires_at);
    }
}

impl ProjectChange {
    /// # Errors
    /// Fails when the system gives no random bytes for a secret.
    pub(super) fn apply(self, project: &mut Project) -> Result<(), getrandom::Error> {
        if let Some(name) = self.name {
            project.name = name;
        }
        self.rates.apply(&mut project.rates);
        apply_budget(self.budget, &mut project.budget);
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
    /// Fails when the system gives no random bytes for it.
    pub fn endpoint(self) -> Result<WebhookEndpoint, getrandom::Error> {
        Ok(WebhookEndpoint {
            url: self.url,
            secret: self.secret.map_or_else(SigningSecret::new, Ok)?,
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

fn apply_budget(change: FieldChange<Budget>, budget: &mut Budget) {
    match change {
        FieldChange::Keep => {}
        FieldChange::Clear => *budget = Budget::default(),
        FieldChange::Set(new) => *budget = new,
    }
}
