//! Settings of end users: who names them, and the terms on which each is served.

use serde::Deserialize;
use serde::Deserializer;

use crate::domain::Budget;
use crate::domain::Cap;
use crate::domain::EndUser;
use crate::domain::EndUserTerms;
use crate::domain::Money;
use crate::domain::NamedEndUserTerms;
use crate::domain::NamedEndUsers;
use crate::domain::Rates;
use crate::runtime::setting;
use crate::runtime::setting::SettingRefusal;

/// Headers that have another meaning, and cannot name an end user.
const TAKEN_HEADERS: [&str; 6] = [
    "authorization",
    "cookie",
    "host",
    "openai-project",
    "proxy-authorization",
    "x-api-key",
];

/// Settings of end users. A limit or budget of 0 is none.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct EndUserConfig {
    /// Header of requests that names the end user; `None` if none does.
    #[serde(deserialize_with = "header")]
    pub header: Option<String>,
    /// True if fields of bodies name the end user, where no header does.
    pub fields: bool,
    /// Maximum number of end users of a key that are counted apart in a month.
    #[serde(deserialize_with = "setting::number::<1, 1_000_000, _, _>")]
    pub max_per_key: u32,
    /// Maximum requests of an end user per minute.
    #[serde(deserialize_with = "limit")]
    pub requests_per_minute: Option<u32>,
    /// Maximum tokens of an end user per minute.
    #[serde(deserialize_with = "limit")]
    pub tokens_per_minute: Option<u32>,
    /// Maximum concurrent requests of an end user.
    #[serde(deserialize_with = "limit")]
    pub concurrent_requests: Option<u32>,
    /// Maximum tokens of an end user in a day.
    #[serde(deserialize_with = "tokens")]
    pub daily_tokens: Option<u64>,
    /// Maximum cost of an end user in a day.
    #[serde(rename = "daily_usd", deserialize_with = "dollars")]
    pub daily_money: Option<Money>,
    /// Maximum tokens of an end user in a month.
    #[serde(deserialize_with = "tokens")]
    pub monthly_tokens: Option<u64>,
    /// Maximum cost of an end user in a month.
    #[serde(rename = "monthly_usd", deserialize_with = "dollars")]
    pub monthly_money: Option<Money>,
    /// End users with terms of their own.
    pub list: Vec<NamedEndUserConfig>,
}

/// Settings of one end user. What is left out is as for the others.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedEndUserConfig {
    /// Id, as requests name it.
    pub id: String,
    /// Ids of the keys whose end user this is; empty for all.
    #[serde(default)]
    pub keys: Vec<String>,
    /// Maximum requests per minute.
    #[serde(default)]
    pub requests_per_minute: Option<u32>,
    /// Maximum tokens per minute.
    #[serde(default)]
    pub tokens_per_minute: Option<u32>,
    /// Maximum number of concurrent requests.
    #[serde(default)]
    pub concurrent_requests: Option<u32>,
    /// Maximum tokens in a day.
    #[serde(default)]
    pub daily_tokens: Option<u64>,
    /// Maximum cost in a day.
    #[serde(rename = "daily_usd", default, deserialize_with = "some_dollars")]
    pub daily_money: Option<Money>,
    /// Maximum tokens in a month.
    #[serde(default)]
    pub monthly_tokens: Option<u64>,
    /// Maximum cost in a month.
    #[serde(rename = "monthly_usd", default, deserialize_with = "some_dollars")]
    pub monthly_money: Option<Money>,
}

impl EndUserConfig {
    /// Checks the list of end users.
    ///
    /// # Errors
    /// Fails when an id is one that no request can name.
    pub fn check(&self) -> Result<(), SettingRefusal> {
        let mut ids = self.list.iter().map(|named| &named.id);
        if ids.any(|id| EndUser::new(id).is_none()) {
            return Err(SettingRefusal {
                key: "list",
                message: format!(
                    "an id is blank, or has more than {} bytes",
                    EndUser::MAX_BYTES
                ),
                hint: "write the id as requests name it".to_owned(),
            });
        }
        Ok(())
    }

    /// Returns the terms of end users with settings of their own.
    pub fn named_terms(&self) -> NamedEndUsers {
        let of_all = self.rates();
        let budget = self.budget();
        let named = self.list.iter().map(|named| {
            let cap = |tokens: Option<u64>, money: Option<Money>, of_all: Cap| Cap {
                tokens: changed(tokens, of_all.tokens),
                money: changed(money, of_all.money),
            };
            let terms = NamedEndUserTerms {
                keys: named.keys.clone(),
                rates: Rates {
                    requests_per_minute: changed(
                        named.requests_per_minute,
                        of_all.requests_per_minute,
                    ),
                    tokens_per_minute: changed(named.tokens_per_minute, of_all.tokens_per_minute),
                    concurrent_requests: changed(
                        named.concurrent_requests,
                        of_all.concurrent_requests,
                    ),
                    weight: None,
                },
                budget: Budget {
                    daily: cap(named.daily_tokens, named.daily_money, budget.daily),
                    monthly: cap(named.monthly_tokens, named.monthly_money, budget.monthly),
                },
            };
            (named.id.clone(), terms)
        });
        NamedEndUsers::new(named)
    }

    /// Returns the terms on which end users are served; `named` are those of single ones.
    pub fn terms(&self, named: &NamedEndUsers) -> EndUserTerms {
        EndUserTerms {
            rates: self.rates(),
            budget: self.budget(),
            named: named.clone(),
            max_per_key: self.max_per_key,
            reads_fields: self.fields,
        }
    }

    fn rates(&self) -> Rates {
        Rates {
            requests_per_minute: self.requests_per_minute,
            tokens_per_minute: self.tokens_per_minute,
            concurrent_requests: self.concurrent_requests,
            weight: None,
        }
    }

    fn budget(&self) -> Budget {
        let cap = |tokens, money| Cap { tokens, money };
        Budget {
            daily: cap(self.daily_tokens, self.daily_money),
            monthly: cap(self.monthly_tokens, self.monthly_money),
        }
    }
}

/// Returns the limit `own`, where 0 means none; that `of_all` if it is left out.
fn changed<T: Default + PartialEq>(own: Option<T>, of_all: Option<T>) -> Option<T> {
    match own {
        Some(limit) => Some(limit).filter(|limit| *limit != T::default()),
        None => of_all,
    }
}

/// Reads the name of a header; an empty one means none.
fn header<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let name = String::deserialize(deserializer)?.to_ascii_lowercase();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !name.bytes().all(fits) || TAKEN_HEADERS.contains(&name.as_str()) {
        return Err(setting::refuse(
            format!("`{name}` cannot be a header that names end users"),
            "write a name of letters, digits and `-`, such as x-end-user",
        ));
    }
    Ok(Some(name).filter(|name| !name.is_empty()))
}

/// Reads a limit, where 0 means none.
fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    u32::deserialize(deserializer).map(|limit| Some(limit).filter(|limit| *limit > 0))
}

/// Reads a budget in tokens, where 0 means none.
fn tokens<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    u64::deserialize(deserializer).map(|cap| Some(cap).filter(|cap| *cap > 0))
}

/// Reads a budget in dollars that may be left out.
fn some_dollars<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Money>, D::Error> {
    setting::dollars(deserializer).map(Some)
}

/// Reads a budget in dollars, where 0 means none.
fn dollars<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Money>, D::Error> {
    setting::dollars(deserializer).map(|cap| Some(cap).filter(|cap| *cap > Money::ZERO))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(changes: &serde_json::Value) -> Result<EndUserConfig, String> {
        let mut all = json!({
            "header": "", "fields": true, "max_per_key": 10, "requests_per_minute": 0, "tokens_per_minute": 0,
            "concurrent_requests": 0, "daily_tokens": 0, "daily_usd": "0", "monthly_tokens": 0, "monthly_usd": "0",
            "list": [],
        });
        for (name, value) in changes.as_object().unwrap() {
            all[name] = value.clone();
        }
        serde_json::from_value(all).map_err(|error| error.to_string())
    }

    #[test]
    fn end_user_settings_of_zero_are_no_limits() {
        let config = read(&json!({})).unwrap();
        let terms = EndUserTerms {
            max_per_key: 10,
            ..EndUserTerms::default()
        };
        let of_all = config.terms(&config.named_terms());
        assert_eq!((config.header.as_deref(), of_all), (None, terms));
        let changes =
            json!({"header": "X-End-User", "daily_usd": "0.50", "requests_per_minute": 3});
        let config = read(&changes).unwrap();
        assert_eq!(config.header.as_deref(), Some("x-end-user"));
        let terms = config.terms(&config.named_terms());
        assert_eq!(terms.budget.daily.money, Money::from_decimal("0.5"));
        assert_eq!(terms.rates.requests_per_minute, Some(3));
    }

    #[test]
    fn named_end_user_has_the_other_terms_where_it_has_none_of_its_own() {
        let list =
            json!([{"id": "ann", "keys": ["k"], "daily_usd": "2", "requests_per_minute": 0}]);
        let changes = json!({"daily_usd": "0.50", "monthly_tokens": 7, "requests_per_minute": 3, "list": list});
        let config = read(&changes).unwrap();
        assert!(config.check().is_ok());
        let terms = config.terms(&config.named_terms());
        let budget = terms.budget_of("k", "ann");
        assert_eq!(budget.daily.money, Money::from_decimal("2"));
        assert_eq!(budget.monthly.tokens, Some(7));
        assert_eq!(terms.rates_of("k", "ann").requests_per_minute, None);
        assert_eq!(terms.rates_of("other", "ann").requests_per_minute, Some(3));
        let config = read(&json!({"list": [{"id": " "}]})).unwrap();
        assert_eq!(config.check().unwrap_err().key, "list");
        assert!(read(&json!({"list": [{"id": "a", "daily": 1}]})).is_err());
    }

    #[test]
    fn end_user_header_that_has_another_meaning_is_refused() {
        for name in ["Authorization", "x user", "x:user"] {
            let error = read(&json!({"header": name})).unwrap_err();
            assert!(error.contains("cannot be a header"), "{error}");
        }
    }
}
