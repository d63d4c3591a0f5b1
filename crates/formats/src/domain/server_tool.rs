//! Server tools: tools that Anthropic runs while the model answers.

use std::fmt;

/// Name of the code execution tool, and prefix of its type.
pub const CODE_EXECUTION: &str = "code_execution";

/// Beta header value of Anthropic's API that enables code execution.
pub const CODE_EXECUTION_BETA: &str = "code-execution-2025-08-25";

/// Beta header value of Anthropic's API that enables MCP servers.
pub const MCP_BETA: &str = "mcp-client-2025-11-20";

/// Kind of a server tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerToolKind {
    /// Web search.
    Search,
    /// Code execution.
    Code,
    /// Calls of the tools of an MCP server.
    Mcp,
}

/// MCP (Model Context Protocol) server whose tools Anthropic calls for the model.
#[derive(Clone, PartialEq, Eq)]
pub struct McpServer {
    /// Name chosen by the caller.
    pub name: String,
    /// URL of the server.
    pub url: String,
    /// Authorization token that Anthropic presents to the server.
    pub token: Option<String>,
    /// Tools of the server that the model may call; `None` for all.
    pub allowed_tools: Option<Vec<String>>,
}

impl fmt::Debug for McpServer {
    /// Leaves out the URL and the token, which may be secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("McpServer")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Meaning of a server block for the tools that Anthropic runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerTool {
    /// Start of a call. The input, a JSON object, follows in pieces.
    Call {
        /// Id by which the result refers to the call.
        id: String,
        /// Tool that is called.
        tool: CalledTool,
    },
    /// Result of a call.
    Result {
        /// Id of the call.
        id: String,
        /// Outcome of the call.
        outcome: ServerToolOutcome,
    },
    /// Block that is neither a call nor a result.
    Other,
}

/// Server tool, as it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CalledTool {
    /// Web search with the input `{"query": ..}`.
    Search,
    /// Code execution: `{"code": ..}`, `{"command": ..}`, or `{"command": .., "path": ..}` for an
    /// edit of a file.
    Code,
    /// Tool of an MCP server.
    Mcp {
        /// Name of the server.
        server: String,
        /// Name of the tool.
        tool: String,
    },
}

/// Outcome of a server tool call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerToolOutcome {
    /// Set if the call failed.
    pub is_failed: bool,
    /// Results, or the reason of the failure, as texts; URLs for a search.
    pub texts: Vec<String>,
}
