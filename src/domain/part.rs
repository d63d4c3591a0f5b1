//! What a message is made of.

use super::NativeBlock;

/// One part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Words; never blank.
    Text(String),
    /// Words of whoever has written the instructions, which hold from here on; never blank. Only in the caller's messages.
    Instruction(String),
    /// A picture.
    Image(Source),
    /// A document to read, such as a PDF.
    Document {
        /// Its bytes, or where they are.
        source: Source,
        /// Its name, as the caller gave it.
        title: Option<String>,
    },
    /// What the model thought before it answered; only in its own messages.
    Thinking(Thinking),
    /// The model's call of a tool; only in its own messages.
    ToolUse(ToolUse),
    /// What a tool gave; only in the caller's messages, before any other part.
    ToolResult(ToolResult),
    /// A content block as the caller wrote it.
    Native(NativeBlock),
    /// Nothing: the model is to go on with the answer before it, whose beginning the caller has. Alone in the last message.
    GoOn,
    /// The caller's mark for the prompt cache at the end of the part before it, as JSON.
    CacheMark(String),
}

/// Thoughts of the model that a caller sends back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thinking {
    /// Readable ones.
    Open {
        /// The words.
        text: String,
        /// The seal upstream put on them, without which it does not take them back.
        signature: String,
    },
    /// Ones that only upstream can read.
    Redacted(String),
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolUse {
    /// The id by which the result names the call.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The input: a JSON object, as JSON.
    pub input: String,
}

impl ToolUse {
    /// Whether the input is what it should be: a JSON object, or nothing at all, which stands for an empty one.
    pub fn is_sound(&self) -> bool {
        self.input.is_empty() || serde_json::from_str::<serde_json::Map<_, _>>(&self.input).is_ok()
    }
}

/// The result of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolResult {
    /// The id of the call.
    pub id: String,
    /// What came of it: texts, images, documents; may be empty.
    pub parts: Vec<Part>,
    /// Whether the tool failed.
    pub is_error: bool,
}

/// How the ids of files begin that are uploaded here. Those of Anthropic's own begin otherwise.
pub const UPLOAD: &str = "file-";

/// Where the bytes of a part are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Here.
    Base64 {
        /// `image/png`, `application/pdf`, ...
        media_type: String,
        /// The bytes in base64, with padding.
        data: String,
    },
    /// There: upstream fetches it, this server never does.
    Url(String),
    /// In a file that was uploaded here before, which takes its place before a turn runs.
    Upload {
        /// The file's id, as the caller wrote it.
        id: String,
        /// The field that names it, for whoever must be told that it cannot be used.
        place: String,
    },
}

impl Part {
    /// About how many bytes it has, see [`Turn::bytes`](super::Turn::bytes).
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Text(text)
            | Self::Instruction(text)
            | Self::Thinking(Thinking::Open { text, .. } | Thinking::Redacted(text)) => text.len(),
            Self::Image(Source::Base64 { data, .. })
            | Self::Document {
                source: Source::Base64 { data, .. },
                ..
            } => data.len(),
            Self::ToolUse(call) => call.input.len(),
            Self::ToolResult(result) => result.parts.iter().map(Self::bytes).sum(),
            Self::Native(block) => block.json.len(),
            Self::Image(_) | Self::Document { .. } | Self::GoOn | Self::CacheMark(_) => 0,
        }
    }

    /// A file of words, told as its title and its words.
    pub fn file_of_words(title: Option<&str>, words: &str) -> Self {
        Self::Text(title.map_or_else(|| words.to_owned(), |title| format!("{title}\n\n{words}")))
    }

    /// An instruction as words of a message of the user, for a model that takes it in no other way.
    pub fn instruction_in_words(instruction: &str) -> Self {
        Self::Text(format!(
            "<system>\nFrom the application, not from the user:\n{instruction}\n</system>"
        ))
    }

    /// A part of words.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}
