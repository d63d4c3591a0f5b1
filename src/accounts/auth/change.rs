//! What can be changed of keys and projects.

use super::key::Key;
use super::key::Permission;
use super::project::Project;
use crate::accounts::webhooks::Address;
use crate::accounts::webhooks::Endpoint;
use crate::accounts::webhooks::Secret;
use crate::domain::Budget;
use crate::domain::Rates;

/// What becomes of something that may be there or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Change<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It goes.
    Clear,
    /// It becomes this.
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

/// What is to be different about a key; by default nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyChange {
    /// What people call it.
    pub name: Option<String>,
    /// The models it may name; cleared, all.
    pub models: Change<Vec<String>>,
    /// How often and how much it may ask.
    pub rates: RatesChange,
    /// How much it may spend; cleared, anything.
    pub budget: Change<Budget>,
    /// What it may be used for; cleared, all.
    pub permissions: Change<Vec<Permission>>,
    /// When it ends by itself, in seconds of Unix time; cleared, never.
    pub expires_at: Change<u64>,
}

/// What is to be different about a project; by default nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectChange {
    /// What people call it.
    pub name: Option<String>,
    /// How often and how much its keys may ask.
    pub rates: RatesChange,
    /// How much its keys may spend; cleared, anything.
    pub budget: Change<Budget>,
    /// Who hears of what happens in it; cleared, nobody.
    pub webhook: Change<NewWebhook>,
}

/// Where events are to go from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWebhook {
    /// The receiver.
    pub url: Address,
    /// What events are signed with; left out, one is made.
    pub secret: Option<Secret>,
}

/// Changes to rate limits and weight; a cleared limit means no limit, a cleared weight the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RatesChange {
    /// Requests a minute.
    pub requests_per_minute: Change<u32>,
    /// Tokens a minute.
    pub tokens_per_minute: Change<u32>,
    /// Requests at the same time.
    pub concurrent_requests: Change<u32>,
    /// Turns in each round of those who wait.
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
    /// The webhook, with a secret.
    ///
    /// # Errors
    /// When the system gives no random bytes for one.
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
