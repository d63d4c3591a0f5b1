//! Tools that Anthropic runs while the model answers.

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
}

/// What came of a call of a tool that Anthropic runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it failed.
    pub is_failed: bool,
    /// What it gave, or why it failed, as texts. A search gives URLs.
    pub texts: Vec<String>,
}
