//! Tools that Anthropic runs while the model answers.

use std::fmt;

/// What the model calls the tool by which Anthropic runs its code, and how the types of that tool begin.
pub const CODE_EXECUTION: &str = "code_execution";

/// The beta of Anthropic's API without which no code is run.
pub const CODE_EXECUTION_BETA: &str = "code-execution-2025-08-25";

/// The beta of Anthropic's API without which no MCP server is called.
pub const MCP_BETA: &str = "mcp-client-2025-11-20";

/// What a tool that Anthropic runs does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerToolKind {
    /// Searches the web.
    Search,
    /// Runs code.
    Code,
    /// Calls the tools of an MCP server.
    Mcp,
}

/// A server of the Model Context Protocol, whose tools Anthropic calls for the model.
#[derive(Clone, PartialEq, Eq)]
pub struct McpServer {
    /// The name under which the caller knows it.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// The token that Anthropic shows it.
    pub token: Option<String>,
    /// The only tools of it that the model may call; none for all.
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

/// What a server block tells of tools that Anthropic runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerTool {
    /// A call begins. Its input, a JSON object, comes in pieces.
    Call {
        /// By which its result names it.
        id: String,
        /// What is called.
        tool: CalledTool,
    },
    /// A call is over.
    Result {
        /// That of the call.
        id: String,
        /// What came of it.
        outcome: Outcome,
    },
    /// Something else.
    Other,
}

/// A tool that Anthropic runs, as it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CalledTool {
    /// A search of the web, for `{"query": ..}`.
    Search,
    /// Code that is run: `{"code": ..}`, `{"command": ..}`, or `{"command": .., "path": ..}` for an edit of a file.
    Code,
    /// A tool of an MCP server.
    Mcp {
        /// The server's name.
        server: String,
        /// The tool's name.
        tool: String,
    },
}

/// What came of a call of a tool that Anthropic runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it failed.
    pub is_failed: bool,
    /// What it gave, or why it failed, as texts. A search gives URLs.
    pub texts: Vec<String>,
}
