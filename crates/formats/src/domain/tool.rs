//! Tools of a turn: those that the caller runs, and server tools that Anthropic runs.

use super::CODE_EXECUTION;
use super::McpServer;
use super::ServerToolKind;

/// Tools that a turn offers to the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// Tools run by the caller, in the caller's order; names are unique.
    pub list: Vec<Tool>,
    /// Tool choice: which calls are required or forbidden.
    pub choice: ToolChoice,
    /// Set if one answer may contain several calls.
    pub parallel: bool,
    /// Options of web search by Anthropic; `None` if the model may not search.
    pub web_search: Option<WebSearch>,
    /// Set if Anthropic runs code for the model.
    pub runs_code: bool,
    /// MCP servers whose tools Anthropic calls for the model; names are unique.
    pub mcp_servers: Vec<McpServer>,
    /// Server tools that are dropped if the caller may not use them.
    pub optional: Vec<OptionalTool>,
}

/// Server tool that is dropped, with a notice, if the caller may not use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionalTool {
    /// Kind of the server tool.
    pub kind: ServerToolKind,
    /// Notice to the caller that the tool was left out.
    pub notice: String,
}

/// Options of web search, which Anthropic runs while the model answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebSearch {
    /// Maximum number of searches in one answer; `None` for no limit.
    pub max_uses: Option<u32>,
    /// Domains that results are limited to; empty for all.
    pub allowed_domains: Vec<String>,
    /// Domains that are excluded from results.
    pub blocked_domains: Vec<String>,
    /// Location of the user, as the JSON object of Anthropic's API; `None` if not given.
    pub user_location: Option<String>,
}

impl WebSearch {
    /// Name of the tool, as the model knows it.
    pub const NAME: &str = "web_search";

    /// True if the tool type `kind` is a web search, in Anthropic's API or `OpenAI`'s. Both append
    /// dates and words to it.
    pub fn is_web_search_type(kind: &str) -> bool {
        kind.starts_with("web_search")
    }
}

impl Tools {
    /// True if there is no tool to call.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty() && !self.has_server_tools()
    }

    /// True if there are tools that Anthropic runs.
    pub fn has_server_tools(&self) -> bool {
        self.web_search.is_some() || self.runs_code || !self.mcp_servers.is_empty()
    }

    /// Removes the optional tools of `kinds`, and returns their notices.
    pub fn remove_optional(&mut self, kinds: &[ServerToolKind]) -> Vec<String> {
        let is_meant = |tool: &mut OptionalTool| kinds.contains(&tool.kind);
        let removed: Vec<_> = self.optional.extract_if(.., is_meant).collect();
        for tool in &removed {
            match tool.kind {
                ServerToolKind::Search => self.web_search = None,
                ServerToolKind::Code => self.runs_code = false,
                ServerToolKind::Mcp => self.mcp_servers.clear(),
            }
        }
        removed.into_iter().map(|tool| tool.notice).collect()
    }

    /// True if `name` is the name of an enabled server tool.
    pub fn is_server_tool_name(&self, name: &str) -> bool {
        (self.web_search.is_some() && name == WebSearch::NAME)
            || (self.runs_code && name == CODE_EXECUTION)
    }
}

impl Default for Tools {
    /// Offers no tools.
    fn default() -> Self {
        Self {
            list: Vec::new(),
            choice: ToolChoice::Auto,
            parallel: true,
            web_search: None,
            runs_code: false,
            mcp_servers: Vec::new(),
            optional: Vec::new(),
        }
    }
}

/// Tool that the caller runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Name of the tool, as the model sees it: 1 to 128 letters, digits, `_` and `-`.
    pub name: String,
    /// Description of the tool for the model.
    pub description: Option<String>,
    /// JSON Schema of the input, as a JSON object in text.
    pub schema: String,
    /// Set if the input must match the schema.
    pub strict: bool,
}

/// Tool choice: which calls are required or forbidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// The model decides.
    Auto,
    /// The model must not call a tool.
    None,
    /// The model must call at least one tool.
    Required,
    /// The model must call the tool of this name.
    Named(String),
}
