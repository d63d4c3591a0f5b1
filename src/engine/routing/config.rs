//! Settings of the routing rules.

use serde::Deserialize;
use serde::Deserializer;

use crate::domain::ModelName;
use crate::runtime::setting;

/// Models to choose from, and the thresholds of the rules.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Cheapest model: for simple prompts, and when little of a budget is left.
    #[serde(deserialize_with = "model")]
    pub light_model: ModelName,
    /// Default model, if no rule matches.
    #[serde(deserialize_with = "model")]
    pub usual_model: ModelName,
    /// Most expensive model: for long contexts.
    #[serde(deserialize_with = "model")]
    pub heavy_model: ModelName,
    /// Model that the cost of each request is compared with.
    #[serde(deserialize_with = "model")]
    pub baseline: ModelName,
    /// Tokens left in a budget below which the light model is chosen.
    pub scarce_tokens: u64,
    /// Length in tokens above which a context is long.
    pub long_context_tokens: u64,
    /// Length in characters below which a prompt is short.
    pub short_prompt_characters: usize,
    /// Length in characters up to which a word is simple.
    pub longest_simple_word: usize,
    /// Prefixes of words that mark a hard task.
    #[serde(deserialize_with = "words")]
    pub hard_words: Vec<String>,
    /// Share of a budget, in percent, from which the next cheaper model is chosen.
    pub saving_percent: u64,
}

/// Reads the name of a model to choose.
fn model<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ModelName, D::Error> {
    let name = String::deserialize(deserializer)?;
    let hint = "write a name or an id of the CLI's catalogue, such as \"sonnet\"";
    match name.trim() {
        "" => Err(setting::refuse("it names no model", hint)),
        "auto" => Err(setting::refuse("`auto` is what the rules choose for", hint)),
        _ => Ok(ModelName::new(name)),
    }
}

/// Reads a list of prefixes of words.
fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let words = Vec::<String>::deserialize(deserializer)?;
    let is_word = |word: &String| !word.is_empty() && word.chars().all(char::is_alphanumeric);
    if words.iter().all(is_word) {
        return Ok(words);
    }
    let hint = "write beginnings of words, letters and digits alone, such as \"debug\"";
    Err(setting::refuse("an entry is no beginning of a word", hint))
}
