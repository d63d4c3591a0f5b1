//! The tools of the caller: the model calls them, the caller runs them.

use super::CODE_EXECUTION;
use super::McpServer;
use super::ServerToolKind;

/// What a turn offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// The tools, in the caller's order; names are unique.
    pub list: Vec<Tool>,
    /// Whether the model must call one.
    pub choice: ToolChoice,
    /// Whether one answer may hold several calls.
    pub parallel: bool,
    /// Searches of the web that Anthropic does for the model; none where it may not search.
    pub web_search: Option<WebSearch>,
    /// Whether Anthropic runs code for the model.
    pub runs_code: bool,
    /// Servers whose tools Anthropic calls for the model; names are unique.
    pub mcp_servers: Vec<McpServer>,
    /// Tools that Anthropic runs and the caller can do without, where it may not have them.
    pub optional: Vec<OptionalTool>,
}

/// A tool that Anthropic runs and the caller can do without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionalTool {
    /// What it does.
    pub kind: ServerToolKind,
    /// In which words the caller is told that it is left out.
    pub told_as: String,
}

/// Searches of the web, which Anthropic does while the model answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebSearch {
    /// Most searches in one answer; none for no limit.
    pub max_uses: Option<u32>,
    /// Only results of these domains; empty for all.
    pub allowed_domains: Vec<String>,
    /// No results of these domains.
    pub blocked_domains: Vec<String>,
    /// Where the user is, as the JSON object of Anthropic's API; none where that is not told.
    pub user_location: Option<String>,
}

impl WebSearch {
    /// The name under which the model knows the tool.
    pub const NAME: &str = "web_search";

    /// Whether a tool of the type `kind` is a search of the web, in Anthropic's API or `OpenAI`'s. Both add dates and words to it.
    pub fn is_named_by(kind: &str) -> bool {
        kind.starts_with("web_search")
    }
}

impl Tools {
    /// Whether there is nothing to call.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty() && !self.has_server_tools()
    }

    /// Whether there are tools that Anthropic runs.
    pub fn has_server_tools(&self) -> bool {
        self.web_search.is_some() || self.runs_code || !self.mcp_servers.is_empty()
    }

    /// Takes away the optional tools of `kinds`, and gives the words in which that is told.
    pub fn leave_out(&mut self, kinds: &[ServerToolKind]) -> Vec<String> {
        let is_meant = |tool: &mut OptionalTool| kinds.contains(&tool.kind);
        let gone: Vec<_> = self.optional.extract_if(.., is_meant).collect();
        for tool in &gone {
            match tool.kind {
                ServerToolKind::Search => self.web_search = None,
                ServerToolKind::Code => self.runs_code = false,
                ServerToolKind::Mcp => self.mcp_servers.clear(),
            }
        }
        gone.into_iter().map(|tool| tool.told_as).collect()
    }

    /// Whether `name` is what the model calls one of the tools that Anthropic runs.
    pub fn runs(&self, name: &str) -> bool {
        (self.web_search.is_some() && name == WebSearch::NAME)
            || (self.runs_code && name == CODE_EXECUTION)
    }
}

impl Default for Tools {
    /// None.
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

/// A tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Its name, as the model sees it: 1 to 128 letters, digits, `_` and `-`.
    pub name: String,
    /// What it does, for the model.
    pub description: Option<String>,
    /// The JSON Schema of its input, a JSON object, as JSON.
    pub schema: String,
    /// Whether inputs are bound to the schema.
    pub strict: bool,
}

/// Whether the model must call a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it sees fit.
    Auto,
    /// It must not.
    None,
    /// It must call at least one.
    Required,
    /// It must call this one.
    Named(String),
}
