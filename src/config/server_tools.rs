//! `[server_tools]`: other tools that Anthropic runs.

use serde::{Deserialize, Serialize};

/// Whether Anthropic may run code and call MCP servers. `default.toml` says what each key means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerTools {
    /// Whether requests may have it.
    pub enabled: bool,
}
