//! Wire types of the details of server tool calls.

use serde::Serialize;

/// Action of a web search call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SearchAction {
    /// Action type, always `search`.
    pub r#type: String,
    /// Query of the search.
    pub query: String,
    /// Sources found by the search.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SearchSource>,
}

/// Source found by a web search.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SearchSource {
    /// Source type, always `url`.
    pub r#type: String,
    /// URL of the source.
    pub url: String,
}

/// Output of a code interpreter call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CodeOutput {
    /// Text that the code wrote.
    Logs {
        /// Text of the output.
        logs: String,
    },
}

/// Error of an MCP call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum McpError {
    /// Error that the tool itself reported.
    McpToolExecutionError {
        /// Error texts of the tool.
        content: Vec<McpText>,
    },
}

/// Text of an MCP tool result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct McpText {
    /// Content type, always `text`.
    pub r#type: String,
    /// Text of the content part.
    pub text: String,
}
