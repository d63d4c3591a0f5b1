//! Who asks, and what they may.

use std::sync::Arc;

use super::Entry;
use super::Money;

/// The project of whoever belongs to no other.
pub const DEFAULT_PROJECT: &str = "default";

/// Who asks: the name under which a request is admitted, logged and charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The id of a key: `key_…` for one that was made here, `key-1` for the first configured one, `local` when the
    /// server runs without keys.
    pub name: String,
    /// Whose budget is charged and whose answers may be shared.
    pub project: String,
    /// What people call the project, where no other project has that as its id.
    pub project_name: Option<Arc<str>>,
    /// What the key may do.
    pub grant: Arc<Grant>,
    /// What this request wants of answers that were given before.
    pub cache_control: CacheControl,
    /// What this request does its part of, where that is gone on with after a restart: the name of the part, which is charged
    /// once however often it is run.
    pub errand: Option<Arc<str>>,
    /// Whether nobody waits for the answer, so that those who wait go first.
    pub in_background: bool,
    /// What this request has taken of the limits already.
    pub entry: Entry,
}

/// What a request's `Cache-Control` asks for (RFC 9111).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheControl {
    /// `no-cache`: the answer is to be made anew, and may be kept.
    pub no_cache: bool,
    /// `no-store`: the answer is not to be kept. It may be one that is kept already.
    pub no_store: bool,
}

/// What a key may do, and how much of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// The models it may name, as callers write them; none for all.
    pub models: Option<Vec<String>>,
    /// Whether it may not have the web searched.
    pub no_web_search: bool,
    /// Whether it may not have Anthropic run code or call MCP servers.
    pub no_server_tools: bool,
    /// How often and how much it may ask.
    pub rates: Rates,
    /// How much it may spend.
    pub budget: Budget,
    /// How often and how much all keys of its project together may ask.
    pub project_rates: Rates,
    /// How much all keys of its project together may spend.
    pub project_budget: Budget,
}

/// Rate limits (none for no limit), and the weight in fair queues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// Requests a minute.
    pub requests_per_minute: Option<u32>,
    /// Tokens a minute, of prompts and answers.
    pub tokens_per_minute: Option<u32>,
    /// Requests at the same time.
    pub concurrent_requests: Option<u32>,
    /// Turns in each round of those who wait; none for what is usual.
    pub weight: Option<u32>,
}

/// Caps on what is spent, by calendar day and month in UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// Within a day.
    pub daily: Cap,
    /// Within a month.
    pub monthly: Cap,
}

/// The most that may be spent; none where there is no cap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cap {
    /// Tokens, of prompts and answers, cached ones included.
    pub tokens: Option<u64>,
    /// Money.
    pub money: Option<Money>,
}

/// What is spent, or held to be spent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Tokens, of prompts and answers, cached ones included.
    pub tokens: u64,
    /// Money.
    pub money: Money,
}

impl Amount {
    /// So much for each of `runs`.
    #[must_use]
    pub fn times(self, runs: u32) -> Self {
        let nanos = self.money.nanos().saturating_mul(runs.into());
        Self {
            tokens: self.tokens.saturating_mul(runs.into()),
            money: Money::from_nanos(nanos),
        }
    }
}

impl Grant {
    /// Whether any budget caps what is spent.
    pub fn is_capped(&self) -> bool {
        let caps =
            [&self.budget, &self.project_budget].map(|budget| [budget.daily, budget.monthly]);
        caps.as_flattened()
            .iter()
            .any(|cap| cap.tokens.is_some() || cap.money.is_some())
    }

    /// Whether a caller may name `model`, written as it writes it.
    pub fn allows_model(&self, model: &str) -> bool {
        self.models
            .as_ref()
            .is_none_or(|models| models.iter().any(|allowed| allowed == model))
    }
}

impl Caller {
    /// A caller of the default project who may do everything.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            project: DEFAULT_PROJECT.to_owned(),
            project_name: None,
            grant: Arc::default(),
            cache_control: CacheControl::default(),
            errand: None,
            in_background: false,
            entry: Entry::default(),
        }
    }

    /// The caller's turns in each round of a fair queue: the weight of its key, or else of its project, or 1.
    pub fn weight(&self) -> u32 {
        self.grant
            .rates
            .weight
            .or(self.grant.project_rates.weight)
            .unwrap_or(1)
    }

    /// Whether a request that names `project` means the caller's own, by its id or by its name.
    pub fn is_of(&self, project: &str) -> bool {
        self.project == project || self.project_name.as_deref() == Some(project)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_models_lets_no_other_in() {
        assert!(Grant::default().allows_model("opus"));
        let grant = Grant {
            models: Some(vec!["haiku".to_owned()]),
            ..Grant::default()
        };
        assert!(grant.allows_model("haiku"));
        assert!(!grant.allows_model("opus") && !grant.allows_model("haiku "));
    }
}
