//! Routing rules for tests.

use std::sync::Arc;

use super::{Config, Router};
use crate::accounts::pricing;
use crate::accounts::pricing::Prices;
use crate::domain::ModelName;

/// Returns a router that chooses among `light`, `usual` and `heavy`.
pub(crate) fn router() -> Router {
    let config = Config {
        light_model: ModelName::new("light"),
        usual_model: ModelName::new("usual"),
        heavy_model: ModelName::new("heavy"),
        baseline: ModelName::new("heavy"),
        scarce_tokens: 1000,
        long_context_tokens: 10_000,
        short_prompt_characters: 100,
        longest_simple_word: 12,
        hard_words: ["analy", "architect", "debug"].map(str::to_owned).to_vec(),
        saving_percent: 90,
    };
    Router::new(config, Arc::new(prices()))
}

/// Returns prices without models, with small estimates.
pub(crate) fn prices() -> Prices {
    Prices::new(pricing::Config {
        models: [].into(),
        assumed_output_tokens: 10,
        image_tokens: 10,
        document_tokens: 10,
        web_search: crate::domain::Money::ZERO,
    })
}
