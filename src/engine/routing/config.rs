//! Settings of the routing rules.

use crate::domain::ModelName;

/// Models to choose from, and the thresholds of the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Cheapest model: for simple prompts, and when little of a budget is left.
    pub light_model: ModelName,
    /// Default model, if no rule matches.
    pub usual_model: ModelName,
    /// Most expensive model: for long contexts.
    pub heavy_model: ModelName,
    /// Tokens left in a budget below which the light model is chosen.
    pub scarce_tokens: u64,
    /// Length in tokens above which a context is long.
    pub long_context_tokens: u64,
    /// Length in characters below which a prompt is short.
    pub short_prompt_characters: usize,
    /// Length in characters up to which a word is simple.
    pub longest_simple_word: usize,
    /// Prefixes of words that mark a hard task.
    pub hard_words: Vec<String>,
    /// Share of a budget, in percent, from which the next cheaper model is chosen.
    pub saving_percent: u64,
}
