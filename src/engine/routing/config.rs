//! What the rules are made of.

use crate::domain::ModelName;

/// The models that are chosen from, and where the rules draw their lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The cheapest: for what is simple, and when little of a budget is left.
    pub light_model: ModelName,
    /// For everything that no rule speaks of.
    pub usual_model: ModelName,
    /// The dearest: for long contexts.
    pub heavy_model: ModelName,
    /// With fewer tokens left in a budget the light model is chosen.
    pub scarce_tokens: u64,
    /// A context of more tokens than this is long.
    pub long_context_tokens: u64,
    /// A prompt of fewer characters than this is short.
    pub short_prompt_characters: usize,
    /// A word of more characters than this is not simple.
    pub longest_simple_word: usize,
    /// What a word of a hard task begins with.
    pub hard_words: Vec<String>,
    /// From this share of a budget on, in percent, the next cheaper model is chosen.
    pub saving_percent: u64,
}
