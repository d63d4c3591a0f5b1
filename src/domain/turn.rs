//! What a caller asks for.

use super::ModelName;
use super::Native;
use super::Part;
use super::Tools;

/// One request, independent of the API it came in by.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// The model as the caller named it; an alias until the gateway resolves it.
    pub model: ModelName,
    /// Instructions of the `system` and `developer` messages, in their order.
    pub system: Vec<String>,
    /// The tools the model may call.
    pub tools: Tools,
    /// The conversation before the prompt, oldest first.
    pub history: Vec<Message>,
    /// The last user message, or the results of the tools the model called last. Empty if, and only if, the model is to go on
    /// with the answer at the end of `history`, in which Anthropic interrupted it; [`Part::GoOn`] if it is to go on with one that
    /// the caller has begun.
    pub prompt: Vec<Part>,
    /// How the answer is to be sampled and where it ends.
    pub sampling: Sampling,
    /// The project that is to pay, as the caller names it; none for its own.
    pub project: Option<String>,
    /// What goes to Claude as the caller wrote it.
    pub native: Native,
}

impl Turn {
    /// About how many bytes it has: those of its texts, for whoever must know what it takes to go through it.
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

    /// Whether the model is to go on with an answer whose beginning the caller has.
    pub fn goes_on(&self) -> bool {
        self.prompt == [Part::GoOn]
    }

    /// Adds an instruction of the server's own.
    pub fn instruct(&mut self, instruction: String) {
        if let Some(written) = &mut self.native.system {
            written.push(serde_json::json!({"type": "text", "text": instruction}).to_string());
        }
        self.system.push(instruction);
    }

    /// The same question `n` times, each for an answer of its own.
    pub fn times(self, n: usize) -> Vec<Self> {
        let mut turns = vec![self; n];
        for (choice, turn) in turns.iter_mut().enumerate() {
            turn.sampling.choice = choice;
        }
        turns
    }
}

/// An earlier message of the conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Whose words they are.
    pub role: Role,
    /// What it is made of, in order; never empty.
    pub parts: Vec<Part>,
}

/// The two sides of a conversation. Instructions are no messages, see [`Turn::system`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The caller's side.
    User,
    /// The model's side.
    Assistant,
}

/// Parameters of the answer; `None` leaves the model's default in force.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sampling {
    /// Most tokens the answer may have.
    pub max_output_tokens: Option<u32>,
    /// 0.0 to 1.0, the range of the Messages API.
    pub temperature: Option<f64>,
    /// 0.0 to 1.0.
    pub top_p: Option<f64>,
    /// From how many of the likeliest tokens the next one is taken.
    pub top_k: Option<u32>,
    /// Texts that end the answer; not part of it.
    pub stop: Vec<String>,
    /// How hard to think.
    pub effort: Option<Effort>,
    /// Most tokens of thinking; with it the model thinks whatever `effort` says.
    pub thinking_budget: Option<u32>,
    /// The form of the answer.
    pub format: Format,
    /// By what a caller asks for the same answer as before. The model knows no such thing: it only tells whether turns are
    /// equal, as far as answers are kept.
    pub seed: Option<i64>,
    /// Which of several answers to one question this is, from 0. As `seed`, it only tells turns apart.
    pub choice: usize,
}

/// The form of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Format {
    /// Any text.
    #[default]
    Text,
    /// A JSON object.
    JsonObject,
    /// JSON that keeps to a JSON Schema.
    Schema(Schema),
}

/// A JSON Schema that an answer keeps to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// The schema, as JSON.
    pub json: String,
    /// Whether the answer is checked against it.
    pub is_strict: bool,
    /// Whether it goes to Claude as it is.
    pub is_native: bool,
}

/// How hard the model is to think before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Not at all.
    None,
    /// As the model sees fit that is not asked to think.
    Unasked,
    /// Briefly.
    Low,
    /// As it does when it is not told.
    Medium,
    /// Thoroughly.
    High,
    /// More thoroughly still.
    XHigh,
}
