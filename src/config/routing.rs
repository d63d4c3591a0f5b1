//! `[routing]`: model choice for requests with `model: auto`.

use serde::{Deserialize, Serialize};

use super::origin::{SettingCheck, SettingRefusal};

/// Rules of model routing. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutingSettings {
    /// Cheapest model, for simple requests.
    pub light_model: String,
    /// Default model, used where no rule applies.
    pub usual_model: String,
    /// Most capable model, for hard requests.
    pub heavy_model: String,
    /// Remaining budget below which the light model is chosen, in tokens.
    pub scarce_tokens: u32,
    /// Context size above which a context counts as long, in tokens.
    pub long_context_tokens: u32,
    /// Prompt size below which a prompt counts as short, in characters.
    pub short_prompt_characters: usize,
    /// Maximum length of a word of a simple prompt, in characters.
    pub longest_simple_word: usize,
    /// Beginnings of words that mark a hard task.
    pub hard_words: Vec<String>,
    /// Used share of a budget from which the next cheaper model is chosen, in percent.
    pub saving_percent: u32,
}

impl RoutingSettings {
    pub(super) fn check(&self) -> Result<(), SettingRefusal> {
        let check = SettingCheck::section("routing");
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
