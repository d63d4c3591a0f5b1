//! The wire form of what calls of tools that Anthropic runs are about.

use serde::Deserialize;
use serde::Serialize;

/// A search of the web.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Search {
    /// Always `search`.
    pub r#type: String,
    /// What was searched for.
    pub query: String,
    /// What was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SearchSource>,
}

/// Something that a search has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchSource {
    /// Always `url`.
    pub r#type: String,
    /// The URL of the source.
    pub url: String,
}

/// What code has put out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CodeOutput {
    /// A text.
    Logs {
        /// The text.
        logs: String,
    },
}

/// Why a call of a tool of an MCP server failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum McpError {
    /// The tool says so.
    McpToolExecutionError {
        /// In these words.
        content: Vec<McpText>,
    },
}

/// A text of a tool of an MCP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct McpText {
    /// Always `text`.
    pub r#type: String,
    /// The text.
    pub text: String,
}
