//! Turn: one request to the model.

use super::ModelName;
use super::Native;
use super::Part;
use super::Tools;

/// Request to the model, independent of the API that received it.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// Model as the caller named it; an alias until the gateway resolves it.
    pub model: ModelName,
    /// Instructions of the `system` and `developer` messages, in order.
    pub system: Vec<String>,
    /// Tools that the model may call.
    pub tools: Tools,
    /// Conversation before the prompt, oldest first.
    pub history: Vec<Message>,
    /// Last user message, or the results of the tools that the model called last. Empty if, and
    /// only if, the model continues the answer at the end of `history`, which Anthropic paused;
    /// [`Part::Continue`] if it continues an answer that the caller has begun.
    pub prompt: Vec<Part>,
    /// Sampling parameters, and the bounds of the answer.
    pub sampling: Sampling,
    /// Project to charge, as the caller names it; `None` for the caller's own.
    pub project: Option<String>,
    /// Parts of the request that are sent to Claude as the caller wrote them.
    pub native: Native,
}

impl Turn {
    /// Returns the approximate size of the turn's texts in bytes, as a measure of the work to
    /// process it.
    pub fn bytes(&self) -> usize {
        let native = [&self.native.system, &self.native.tools]
            .into_iter()
            .flatten()
            .flatten();
        let fields = self.native.fields.iter().map(|(_, value)| value);
        let tools = self.tools.list.iter().map(|tool| &tool.schema);
        let texts = self
            .system
            .iter()
            .chain(native)
            .chain(fields)
            .chain(tools)
            .map(String::len);
        let parts = self
            .history
            .iter()
            .flat_map(|message| &message.parts)
            .chain(&self.prompt)
            .map(Part::bytes);
        texts.chain(parts).sum()
    }

    /// True if the model continues an answer whose beginning the caller has.
    pub fn is_continuation(&self) -> bool {
        self.prompt == [Part::Continue]
    }

    /// Adds an instruction of the server.
    pub fn add_instruction(&mut self, instruction: String) {
        if let Some(written) = &mut self.native.system {
            written.push(serde_json::json!({"type": "text", "text": instruction}).to_string());
        }
        self.system.push(instruction);
    }

    /// Returns `n` copies of the turn, numbered by [`Sampling::choice_index`].
    pub fn repeat(self, n: usize) -> Vec<Self> {
        let mut turns = vec![self; n];
        for (choice, turn) in turns.iter_mut().enumerate() {
            turn.sampling.choice_index = choice;
        }
        turns
    }
}

/// Earlier message of the conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Author of the message.
    pub role: Role,
    /// Parts of the message, in order; never empty.
    pub parts: Vec<Part>,
}

/// Author of a message. Instructions are not messages, see [`Turn::system`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The caller's side.
    User,
    /// The model's side.
    Assistant,
}

/// Sampling parameters; `None` uses the model's default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sampling {
    /// Maximum tokens of the answer.
    pub max_output_tokens: Option<u32>,
    /// Temperature from 0.0 to 1.0, the range of the Messages API.
    pub temperature: Option<f64>,
    /// Nucleus sampling threshold from 0.0 to 1.0.
    pub top_p: Option<f64>,
    /// Number of likeliest tokens that the next one is sampled from.
    pub top_k: Option<u32>,
    /// Stop sequences, which end the answer and are not part of it.
    pub stop: Vec<String>,
    /// Effort of the model's thinking.
    pub effort: Option<Effort>,
    /// Maximum thinking tokens; if set, the model thinks whatever `effort` says.
    pub thinking_budget: Option<u32>,
    /// Format of the answer.
    pub format: Format,
    /// Seed of the caller. Not sent to the model; it only distinguishes turns in the cache.
    pub seed: Option<i64>,
    /// Index of this answer among several to the same request, from 0. Only distinguishes turns, as
    /// `seed` does.
    pub choice_index: usize,
}

/// Format of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Format {
    /// Any text.
    #[default]
    Text,
    /// A JSON object.
    JsonObject,
    /// JSON that conforms to a JSON Schema.
    Schema(Schema),
}

/// JSON Schema of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// JSON text of the schema.
    pub json: String,
    /// Set if the answer is validated against the schema.
    pub is_strict: bool,
    /// Set if the schema is sent to Claude as it is.
    pub is_native: bool,
}

/// Effort of the model's thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Thinking explicitly turned off.
    None,
    /// Thinking turned off because it was not requested. Unlike [`None`](Self::None) not an
    /// explicit wish: a model that always thinks accepts it.
    NotRequested,
    /// Brief thinking.
    Low,
    /// Default effort of the model.
    Medium,
    /// Thorough thinking.
    High,
    /// Most thorough thinking.
    XHigh,
}
