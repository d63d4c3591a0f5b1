//! `[web_search]`: searches of the web that Anthropic does.

use serde::{Deserialize, Serialize};

use super::origin::{Check, Refusal};
use crate::domain::Money;

/// Whether and how much the web may be searched. `default.toml` says what each key means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebSearch {
    /// Whether requests may have the web searched.
    pub enabled: bool,
    /// Most searches in an answer whose request sets no limit.
    pub max_uses: u32,
    /// The price of one, in dollars.
    pub price_usd: String,
}

impl WebSearch {
    /// The price of a search.
    pub fn price(&self) -> Money {
        Money::from_decimal(&self.price_usd).unwrap_or(Money::ZERO)
    }

    pub(super) fn check(&self) -> Result<(), Refusal> {
        let check = Check::section("web_search");
        check.number("max_uses", self.max_uses as usize, 1..=100)?;
        if Money::from_decimal(&self.price_usd).is_some() {
            return Ok(());
        }
        let message = format!("`{}` is not an amount of dollars", self.price_usd);
        Err(check.refuse("price_usd", message, "write it as \"0.01\" is written"))
    }
}
