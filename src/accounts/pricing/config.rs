//! What the prices are made of.

use std::collections::BTreeMap;

use crate::domain::Money;
use crate::domain::Price;

/// Prices, and the guesses of an estimate.
#[derive(Debug, Clone)]
pub struct Config {
    /// Prices by names, or parts of names, of models: `sonnet`, `opus-4`, `claude-opus-5-5`.
    pub models: BTreeMap<String, Price>,
    /// Tokens of an answer whose turn has no limit.
    pub assumed_output_tokens: u64,
    /// Tokens of an image.
    pub image_tokens: u64,
    /// The least number of tokens of a document whose pages cannot be counted.
    pub document_tokens: u64,
    /// The price of a search of the web.
    pub web_search: Money,
}
