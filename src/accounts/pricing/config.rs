//! Configuration of prices and estimates.

use std::collections::BTreeMap;

use crate::domain::Money;
use crate::domain::Price;

/// Prices, and assumptions for estimates.
#[derive(Debug, Clone)]
pub struct Config {
    /// Prices by model names or parts of them: `sonnet`, `opus-4`, `claude-opus-5-5`.
    pub models: BTreeMap<String, Price>,
    /// Assumed output tokens of a turn without a limit.
    pub assumed_output_tokens: u64,
    /// Assumed tokens of an image.
    pub image_tokens: u64,
    /// Minimum tokens of a document whose pages cannot be counted.
    pub document_tokens: u64,
    /// Price of one web search.
    pub web_search: Money,
}
