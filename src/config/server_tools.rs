//! `[server_tools]`: tools other than web search that Anthropic runs.

use serde::{Deserialize, Serialize};

/// Settings of code execution and MCP servers at Anthropic. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerToolSettings {
    /// Set to allow these tools in requests.
    pub enabled: bool,
}
