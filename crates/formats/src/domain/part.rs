//! Parts of a message.

use super::NativeBlock;

/// Part of the content of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text; never blank.
    Text(String),
    /// System instruction that applies from here on; never blank. Only in the caller's messages.
    Instruction(String),
    /// Image from one of the sources.
    Image(MediaSource),
    /// Document to read, such as a PDF.
    Document {
        /// Bytes of the document, or a reference to them.
        source: MediaSource,
        /// Title, as the caller gave it.
        title: Option<String>,
    },
    /// Thinking of the model; only in its own messages.
    Thinking(Thinking),
    /// Tool call of the model; only in its own messages.
    ToolUse(ToolUse),
    /// Result of a tool call; only in the caller's messages, before any other part.
    ToolResult(ToolResult),
    /// Content block as the caller wrote it.
    Native(NativeBlock),
    /// Request to continue the answer before it, whose beginning the caller has (prefill). Always
    /// the only part of the last message.
    Continue,
    /// Cache breakpoint of the caller at the end of the part before it (`cache_control`), as JSON.
    CacheBreakpoint(String),
}

/// Thinking of the model that a caller sends back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thinking {
    /// Thinking in plain text.
    Open {
        /// Text of the thinking.
        text: String,
        /// Upstream's signature, without which upstream rejects the thinking.
        signature: String,
    },
    /// Encrypted thinking that only upstream can read.
    Redacted(String),
}

/// Tool call that the model makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolUse {
    /// Id by which the result refers to the call.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// Input of the call: a JSON object, as JSON.
    pub input: String,
}

impl ToolUse {
    /// True if the input is a JSON object, or empty, which means an empty object.
    pub fn has_valid_input(&self) -> bool {
        self.input.is_empty() || serde_json::from_str::<serde_json::Map<_, _>>(&self.input).is_ok()
    }
}

/// Result of a tool call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolResult {
    /// Id of the call.
    pub id: String,
    /// Content of the result: texts, images, documents; may be empty.
    pub parts: Vec<Part>,
    /// Set if the tool failed.
    pub is_error: bool,
}

/// Prefix of the ids of files uploaded to this server; the ids of Anthropic's own files begin
/// otherwise.
pub const UPLOAD_ID_PREFIX: &str = "file-";

/// Source of the bytes of an image or document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaSource {
    /// Bytes contained in the request.
    Base64 {
        /// Media type: `image/png`, `application/pdf`, ...
        media_type: String,
        /// Bytes in base64, with padding.
        data: String,
    },
    /// URL that upstream fetches; this server never does.
    Url(String),
    /// File uploaded to this server before; its contents replace this source before a turn runs.
    Upload {
        /// Id of the file, as the caller wrote it.
        id: String,
        /// Path of the request field that names the file, for error messages.
        field_path: String,
    },
}

impl Part {
    /// Returns the approximate size in bytes, see [`Turn::bytes`](super::Turn::bytes).
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Text(text)
            | Self::Instruction(text)
            | Self::Thinking(Thinking::Open { text, .. } | Thinking::Redacted(text)) => text.len(),
            Self::Image(MediaSource::Base64 { data, .. })
            | Self::Document {
                source: MediaSource::Base64 { data, .. },
                ..
            } => data.len(),
            Self::ToolUse(call) => call.input.len(),
            Self::ToolResult(result) => result.parts.iter().map(Self::bytes).sum(),
            Self::Native(block) => block.json.len(),
            Self::Image(_) | Self::Document { .. } | Self::Continue | Self::CacheBreakpoint(_) => 0,
        }
    }

    /// Creates a text part of a text file: its title, and its contents.
    pub fn text_file(title: Option<&str>, words: &str) -> Self {
        Self::Text(title.map_or_else(|| words.to_owned(), |title| format!("{title}\n\n{words}")))
    }

    /// Wraps a system instruction as text of a user message, for models that reject system
    /// messages.
    pub fn instruction_as_text(instruction: &str) -> Self {
        Self::Text(format!(
            "<system>\nFrom the application, not from the user:\n{instruction}\n</system>"
        ))
    }

    /// Creates a text part.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}
