//! Caller of a request and its permissions.

use std::sync::Arc;

use super::EndUser;
use super::EndUserTerms;
use super::Money;
use super::RequestClaim;
use super::RequestOrigin;
use super::RequestPermit;
use super::RequestTrace;

/// Project of keys that belong to no other project.
pub const DEFAULT_PROJECT: &str = "default";

/// Caller of a request: the identity under which it is admitted, logged and charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Id of the key: `key_…` for one created by this server, `key-1` for the first configured one,
    /// `local` when the server runs without keys.
    pub name: String,
    /// Project whose budget is charged and whose cached answers may be shared.
    pub project: String,
    /// Display name of the project; `None` if another project has that name as its id.
    pub project_name: Option<Arc<str>>,
    /// Permissions and limits of the key.
    pub grant: Arc<Grant>,
    /// End user of the key whom the request is for; `None` if it names none.
    pub end_user: Option<EndUser>,
    /// Cache directives of this request.
    pub cache_control: CacheControl,
    /// Idempotency key of work that is resumed after a restart; runs with the same key are charged
    /// once.
    pub idempotency_key: Option<Arc<str>>,
    /// Claim on the idempotency key that the client has sent with this request.
    pub claim: RequestClaim,
    /// Set if no client waits for the answer; interactive requests go first.
    pub in_background: bool,
    /// Rate limit permit that this request has already taken.
    pub permit: RequestPermit,
    /// Set if the client wants no other model than the one that it names.
    pub refuses_fallbacks: bool,
    /// Name of the only sign-in that may run its turns; `None` for all that the key may use.
    pub sign_in: Option<Arc<str>>,
    /// Origin of the request, and the form of its answer.
    pub origin: RequestOrigin,
    /// Place in a trace below which the work for the request is recorded.
    pub trace: RequestTrace,
}

/// Directives of a request's `Cache-Control` header (RFC 9111).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheControl {
    /// `no-cache`: the answer must be computed anew, and may be cached.
    pub no_cache: bool,
    /// `no-store`: the answer must not be cached. A cached answer may be returned.
    pub no_store: bool,
}

/// Permissions of a key, with its rate limits and budgets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// Models that the key may use, as callers write them; `None` for all.
    pub models: Option<Vec<String>>,
    /// Set if web search is forbidden.
    pub no_web_search: bool,
    /// Set if server-side code execution and MCP servers are forbidden.
    pub no_server_tools: bool,
    /// Rate limits of the key.
    pub rates: Rates,
    /// Budget of the key.
    pub budget: Budget,
    /// Rate limits shared by all keys of the project.
    pub project_rates: Rates,
    /// Budget shared by all keys of the project.
    pub project_budget: Budget,
    /// Terms on which the end users of the key are served.
    pub end_users: EndUserTerms,
}

/// Rate limits (`None` for no limit), and the weight in fair queueing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// Maximum number of requests in a minute.
    pub requests_per_minute: Option<u32>,
    /// Maximum number of prompt and answer tokens in a minute.
    pub tokens_per_minute: Option<u32>,
    /// Maximum number of concurrent requests.
    pub concurrent_requests: Option<u32>,
    /// Turns served in each round of the fair queue; `None` for the default.
    pub weight: Option<u32>,
}

/// Spending caps by calendar day and month in UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// Cap for a calendar day.
    pub daily: Cap,
    /// Cap for a calendar month.
    pub monthly: Cap,
}

/// Upper bound of what may be spent; `None` for no cap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cap {
    /// Maximum prompt and answer tokens, cached ones included.
    pub tokens: Option<u64>,
    /// Maximum cost in US dollars.
    pub money: Option<Money>,
}

/// Amount that is spent or held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Prompt and answer tokens, cached ones included.
    pub tokens: u64,
    /// Cost in US dollars.
    pub money: Money,
}

impl Amount {
    /// Returns this amount multiplied by `runs`, saturating.
    #[must_use]
    pub fn times(self, runs: u32) -> Self {
        let nanos = self.money.nanos().saturating_mul(runs.into());
        Self {
            tokens: self.tokens.saturating_mul(runs.into()),
            money: Money::from_nanos(nanos),
        }
    }

    /// Returns both amounts together, saturating.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            money: self.money + other.money,
        }
    }

    /// Returns the least amount in which either of the two has room.
    #[must_use]
    pub fn merge_max(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.max(other.tokens),
            money: self.money.max(other.money),
        }
    }
}

impl Budget {
    /// True if a day or a month has a cap in dollars.
    pub fn caps_money(&self) -> bool {
        [self.daily, self.monthly]
            .iter()
            .any(|cap| cap.money.is_some())
    }

    /// True if a day or a month has a cap.
    pub fn is_capped(&self) -> bool {
        let mut caps = [self.daily, self.monthly].into_iter();
        caps.any(|cap| cap.tokens.is_some() || cap.money.is_some())
    }
}

impl Grant {
    /// True if any daily or monthly budget of the key, its project or its end users has a cap.
    pub fn is_capped(&self) -> bool {
        self.budget.is_capped() || self.project_budget.is_capped() || self.end_users.is_capped()
    }

    /// True if the key may use `model`, compared as the caller writes it.
    pub fn allows_model(&self, model: &str) -> bool {
        self.models
            .as_ref()
            .is_none_or(|models| models.iter().any(|allowed| allowed == model))
    }
}

impl Caller {
    /// Creates a caller of the default project without restrictions.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            project: DEFAULT_PROJECT.to_owned(),
            project_name: None,
            grant: Arc::default(),
            end_user: None,
            cache_control: CacheControl::default(),
            idempotency_key: None,
            claim: RequestClaim::default(),
            in_background: false,
            permit: RequestPermit::default(),
            refuses_fallbacks: false,
            sign_in: None,
            origin: RequestOrigin::default(),
            trace: RequestTrace::default(),
        }
    }

    /// Returns the caller with an answer that is sent piece by piece, or as a whole.
    #[must_use]
    pub fn streaming(self, is_streamed: bool) -> Self {
        Self {
            origin: self.origin.streamed(is_streamed),
            ..self
        }
    }

    /// Returns the weight in fair queueing: that of the key, else of its project, else 1.
    pub fn weight(&self) -> u32 {
        self.grant
            .rates
            .weight
            .or(self.grant.project_rates.weight)
            .unwrap_or(1)
    }

    /// True if `project` is the id or the display name of the caller's own project.
    pub fn is_in_project(&self, project: &str) -> bool {
        self.project == project || self.project_name.as_deref() == Some(project)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grant_with_model_list_allows_only_listed_models() {
        assert!(Grant::default().allows_model("opus"));
        let grant = Grant {
            models: Some(vec!["haiku".to_owned()]),
            ..Grant::default()
        };
        assert!(grant.allows_model("haiku"));
        assert!(!grant.allows_model("opus") && !grant.allows_model("haiku "));
    }

    #[test]
    fn weight_is_that_of_the_key_else_of_its_project_else_one() {
        let rates = |weight| Rates {
            weight,
            ..Rates::default()
        };
        for (key, project, weight) in [(None, None, 1), (None, Some(3), 3), (Some(2), Some(3), 2)] {
            let grant = Grant {
                rates: rates(key),
                project_rates: rates(project),
                ..Grant::default()
            };
            let caller = Caller {
                grant: Arc::new(grant),
                ..Caller::named("a")
            };
            assert_eq!(caller.weight(), weight);
        }
    }
}
