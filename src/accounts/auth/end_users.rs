//! Settings of end users: who names them, and the terms on which each is served.

use serde::Deserialize;
use serde::Deserializer;

use crate::domain::Budget;
use crate::domain::Cap;
use crate::domain::EndUserTerms;
use crate::domain::Money;
use crate::domain::Rates;
use crate::runtime::setting;

/// Headers that have another meaning, and cannot name an end user.
const TAKEN_HEADERS: [&str; 6] = [
    "authorization",
    "cookie",
    "host",
    "openai-project",
    "proxy-authorization",
    "x-api-key",
];

/// Settings of end users, the same for all keys. A limit or budget of 0 is none.
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
}

impl EndUserConfig {
    /// Returns the terms on which each end user is served.
    pub fn terms(&self) -> EndUserTerms {
        let cap = |tokens, money| Cap { tokens, money };
        EndUserTerms {
            rates: Rates {
                requests_per_minute: self.requests_per_minute,
                tokens_per_minute: self.tokens_per_minute,
                concurrent_requests: self.concurrent_requests,
                weight: None,
            },
            budget: Budget {
                daily: cap(self.daily_tokens, self.daily_money),
                monthly: cap(self.monthly_tokens, self.monthly_money),
            },
            max_per_key: self.max_per_key,
            reads_fields: self.fields,
        }
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
        assert_eq!((config.header.as_deref(), config.terms()), (None, terms));
        let changes =
            json!({"header": "X-End-User", "daily_usd": "0.50", "requests_per_minute": 3});
        let config = read(&changes).unwrap();
        assert_eq!(config.header.as_deref(), Some("x-end-user"));
        let terms = config.terms();
        assert_eq!(terms.budget.daily.money, Money::from_decimal("0.5"));
        assert_eq!(terms.rates.requests_per_minute, Some(3));
    }

    #[test]
    fn end_user_header_that_has_another_meaning_is_refused() {
        for name in ["Authorization", "x user", "x:user"] {
            let error = read(&json!({"header": name})).unwrap_err();
            assert!(error.contains("cannot be a header"), "{error}");
        }
    }
}
