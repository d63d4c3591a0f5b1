//! Configuration of prices and estimates.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::Error;

use crate::domain::Money;
use crate::domain::Price;
use crate::runtime::setting;

/// Prices, and assumptions for estimates.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Prices by model names or parts of them: `sonnet`, `opus-4`, `claude-opus-5-5`.
    #[serde(deserialize_with = "prices")]
    pub models: BTreeMap<String, Price>,
    /// Assumed output tokens of a turn without a limit.
    #[serde(deserialize_with = "setting::number::<1, 1_000_000, _, _>")]
    pub assumed_output_tokens: u64,
    /// Assumed tokens of an image.
    #[serde(deserialize_with = "setting::number::<0, 1_000_000, _, _>")]
    pub image_tokens: u64,
    /// Minimum tokens of a document whose pages cannot be counted.
    #[serde(deserialize_with = "setting::number::<0, 1_000_000, _, _>")]
    pub document_tokens: u64,
    /// Price of one web search; that of the gateway's settings.
    #[serde(skip)]
    pub web_search: Money,
}

/// Price that is read from its text.
struct PriceText(Price);

impl<'de> Deserialize<'de> for PriceText {
    /// Includes the text in the error, since the table may hold many prices.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let price = text.parse();
        price
            .map(Self)
            .map_err(|error| D::Error::custom(format!("in `{text}` {error}")))
    }
}

/// Reads a table of prices by names of models.
fn prices<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Price>, D::Error> {
    let prices = BTreeMap::<String, PriceText>::deserialize(deserializer)?;
    if prices.keys().any(|name| name.trim().is_empty()) {
        let hint = "write \"sonnet\" = \"input 2, output 10, cache write 2.5, cache read 0.1\"";
        return Err(setting::refuse("a price has no model", hint));
    }
    Ok(prices
        .into_iter()
        .map(|(name, PriceText(price))| (name, price))
        .collect())
}
