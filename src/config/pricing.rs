//! `[pricing]`: what turns cost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::origin::{Check, Refusal};
use crate::domain::Price;

/// Prices and estimates. `default.toml` says what each key means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pricing {
    /// Tokens of an answer without a limit.
    pub assumed_output_tokens: u32,
    /// Tokens of an image.
    pub image_tokens: u32,
    /// Tokens of a document.
    pub document_tokens: u32,
    /// Prices by names, or parts of names, of models.
    pub models: BTreeMap<String, ListedPrice>,
}

/// A price, and the text that says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ListedPrice {
    text: String,
    /// What it says.
    pub price: Price,
}

impl TryFrom<String> for ListedPrice {
    type Error = String;

    /// Names the text where it is no price, since the table may hold many.
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

impl Pricing {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let check = Check::section("pricing");
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
