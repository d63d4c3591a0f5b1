//! `[web_search]`: web searches by Anthropic.

use serde::{Deserialize, Serialize};

use super::origin::{SettingCheck, SettingRefusal};
use crate::domain::Money;

/// Settings of web search. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebSearchSettings {
    /// Set to allow web searches in requests.
    pub enabled: bool,
    /// Maximum number of searches of a request that sets no limit.
    pub max_uses: u32,
    /// Price of a search, in dollars.
    pub price_usd: String,
}

impl WebSearchSettings {
    /// Returns the price of a search.
    pub fn price(&self) -> Money {
        Money::from_decimal(&self.price_usd).unwrap_or(Money::ZERO)
    }

    pub(super) fn check(&self) -> Result<(), SettingRefusal> {
        let check = SettingCheck::section("web_search");
        check.number("max_uses", self.max_uses as usize, 1..=100)?;
        if Money::from_decimal(&self.price_usd).is_some() {
            return Ok(());
        }
        let message = format!("`{}` is not an amount of dollars", self.price_usd);
        Err(check.refuse("price_usd", message, "write it as \"0.01\" is written"))
    }
}
