//! `[pricing]`: prices of models, and token estimates.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::origin::{SettingCheck, SettingRefusal};
use crate::domain::Price;

/// Prices and estimates. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PricingSettings {
    /// Estimated output tokens of a request without a limit.
    pub assumed_output_tokens: u32,
    /// Estimated tokens of an image.
    pub image_tokens: u32,
    /// Estimated tokens of a document.
    pub document_tokens: u32,
    /// Prices by model name, or by part of one.
    pub models: BTreeMap<String, ListedPrice>,
}

/// Price with the text it was parsed from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ListedPrice {
    text: String,
    /// Price parsed from the text.
    pub price: Price,
}

impl TryFrom<String> for ListedPrice {
    type Error = String;

    /// Includes the text in the error, since the table may hold many prices.
    fn try_from(text: String) -> Result<Self, String> {
        match text.parse() {
            Ok(price) => Ok(Self { text, price }),
            Err(error) => Err(format!("in `{text}` {error}")),
        }
    }
}

impl From<ListedPrice> for String {
    fn from(listed: ListedPrice) -> Self {
        listed.text
    }
}

impl PricingSettings {
    pub(super) fn check(&self) -> Result<(), SettingRefusal> {
        let check = SettingCheck::section("pricing");
        check.number(
            "assumed_output_tokens",
            self.assumed_output_tokens as usize,
            1..=1_000_000,
        )?;
        check.number("image_tokens", self.image_tokens as usize, 0..=1_000_000)?;
        check.number(
            "document_tokens",
            self.document_tokens as usize,
            0..=1_000_000,
        )?;
        if self.models.keys().any(|name| name.trim().is_empty()) {
            let hint = "write \"sonnet\" = \"input 2, output 10, cache write 2.5, cache read 0.1\"";
            return Err(check.refuse("models", "a price has no model", hint));
        }
        Ok(())
    }
}
