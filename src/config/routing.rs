//! `[routing]`: which model answers who leaves it open.

use serde::{Deserialize, Serialize};

use super::origin::{Check, Refusal};

/// The rules of routing. `default.toml` says what each key means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Routing {
    /// The cheapest model.
    pub light_model: String,
    /// The model for everything that no rule speaks of.
    pub usual_model: String,
    /// The dearest model.
    pub heavy_model: String,
    /// Tokens of a budget below which the light model is chosen.
    pub scarce_tokens: u32,
    /// Tokens above which a context is long.
    pub long_context_tokens: u32,
    /// Characters below which a prompt is short.
    pub short_prompt_characters: usize,
    /// Characters that a simple word may have.
    pub longest_simple_word: usize,
    /// What the words of hard tasks begin with.
    pub hard_words: Vec<String>,
    /// Percent of a budget from which on the next cheaper model is chosen.
    pub saving_percent: u32,
}

impl Routing {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let check = Check::section("routing");
        let models = [
            ("light_model", &self.light_model),
            ("usual_model", &self.usual_model),
            ("heavy_model", &self.heavy_model),
        ];
        for (key, model) in models {
            let hint = "write a name or an id of the CLI's catalogue, such as \"sonnet\"";
            if model.trim().is_empty() {
                return Err(check.refuse(key, "it names no model", hint));
            }
            if model == "auto" {
                return Err(check.refuse(key, "`auto` is what the rules choose for", hint));
            }
        }
        let is_word = |word: &String| !word.is_empty() && word.chars().all(char::is_alphanumeric);
        if !self.hard_words.iter().all(is_word) {
            let hint = "write beginnings of words, letters and digits alone, such as \"debug\"";
            return Err(check.refuse("hard_words", "an entry is no beginning of a word", hint));
        }
        Ok(())
    }
}
