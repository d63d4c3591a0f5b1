//! The model catalogue of the real CLI, with prices.

use serde_json::{Value, json};

/// Entry of the catalogue.
#[derive(Debug)]
pub(crate) struct CatalogueModel {
    value: &'static str,
    resolved: &'static str,
    display: &'static str,
    description: &'static str,
    /// Price of uncached input and of output, in dollars per million tokens.
    price: (f64, f64),
    /// Price of a cache read as a fraction of that of uncached input.
    cached: f64,
}

const MODELS: [CatalogueModel; 5] = [
    CatalogueModel {
        value: "default",
        resolved: "claude-opus-5-5",
        display: "Default (recommended)",
        description: "Use the default model (currently Opus 5.5) · $4/$20 per Mtok",
        price: (4.0, 20.0),
        cached: 0.05,
    },
    CatalogueModel {
        value: "opus",
        resolved: "claude-opus-5-5",
        display: "Opus",
        description: "Opus 5.5 · Best for everyday, complex tasks · $4/$20 per Mtok",
        price: (4.0, 20.0),
        cached: 0.05,
    },
    CatalogueModel {
        value: "fable",
        resolved: "claude-fable-5-2",
        display: "Fable",
        description: "Fable 5.2 · Most capable for your hardest and longest-running tasks · $8/$40 per Mtok",
        price: (8.0, 40.0),
        cached: 0.05,
    },
    CatalogueModel {
        value: "sonnet",
        resolved: "claude-sonnet-5-5",
        display: "Sonnet",
        description: "Sonnet 5.5 · Efficient for routine tasks · $2/$10 per Mtok",
        price: (2.0, 10.0),
        cached: 0.05,
    },
    CatalogueModel {
        value: "haiku",
        resolved: "claude-haiku-5-5",
        display: "Haiku",
        description: "Haiku 5.5 · Fastest for quick answers · $0.10/$0.50 per Mtok ($0.50/$2.50 for prompts over 100k)",
        price: (0.1, 0.5),
        cached: 0.1,
    },
];

/// Id of the model at the start of a process.
pub(crate) const DEFAULT_MODEL: &str = "claude-opus-5-5";

/// Returns the catalogue in the format of `initialize` and `list_models`.
pub(crate) fn catalogue() -> Value {
    let models = MODELS.iter().map(|model| {
        json!({
            "value": model.value,
            "resolvedModel": model.resolved,
            "displayName": model.display,
            "description": model.description,
            "supportsEffort": true,
            "supportedEffortLevels": ["low", "medium", "high", "xhigh", "max"],
            "supportsAdaptiveThinking": true,
            "supportsAutoMode": true,
            "supportsThinkingOff": false,
        })
    });
    models.collect()
}

/// Returns the id for a name: an alias of the catalogue, or any id that begins with `claude-`.
pub(crate) fn resolve(name: &str) -> Option<String> {
    let known = MODELS
        .iter()
        .find(|model| model.value == name || model.resolved == name);
    known
        .map(|model| model.resolved.to_owned())
        .or_else(|| name.starts_with("claude-").then(|| name.to_owned()))
}

/// Token counts in the categories of the API.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tokens {
    pub(crate) input: u64,
    pub(crate) cache_write: u64,
    pub(crate) cache_read: u64,
    pub(crate) output: u64,
}

impl Tokens {
    pub(crate) fn add(&mut self, other: Self) {
        self.input += other.input;
        self.cache_write += other.cache_write;
        self.cache_read += other.cache_read;
        self.output += other.output;
    }

    /// Returns the cost in dollars at list price; a model outside the catalogue costs as much as
    /// Opus.
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of tokens stay far below 2^52"
    )]
    pub(crate) fn cost(&self, model: &str) -> f64 {
        let model = MODELS
            .iter()
            .find(|known| known.resolved == model)
            .unwrap_or(&MODELS[0]);
        let (read, written) = model.price;
        let input = self.input as f64
            + 1.25 * self.cache_write as f64
            + model.cached * self.cache_read as f64;
        (input * read + self.output as f64 * written) / 1e6
    }
}
