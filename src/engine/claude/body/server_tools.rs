//! Server tools in the body of a call.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::CODE_EXECUTION;
use crate::domain::McpServer;
use crate::domain::Tools;
use crate::domain::WebSearch;

use super::cache_breakpoints::EphemeralBreakpoint;

/// Tool that Anthropic runs.
#[derive(Serialize)]
#[serde(tag = "type")]
pub(super) enum ServerToolBlock<'a> {
    #[serde(rename = "web_search_20250305")]
    Search {
        name: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        max_uses: Option<u32>,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        allowed_domains: &'a [String],
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        blocked_domains: &'a [String],
        #[serde(skip_serializing_if = "Option::is_none")]
        user_location: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<EphemeralBreakpoint>,
    },
    #[serde(rename = "code_execution_20250825")]
    Code {
        name: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<EphemeralBreakpoint>,
    },
    /// Toolset of an MCP server.
    #[serde(rename = "mcp_toolset")]
    Mcp {
        mcp_server_name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        default_config: Option<ToolEnabled>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        configs: BTreeMap<&'a str, ToolEnabled>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<EphemeralBreakpoint>,
    },
}

#[derive(Serialize)]
pub(super) struct ToolEnabled {
    enabled: bool,
}

#[derive(Serialize)]
pub(super) struct McpServerBlock<'a> {
    r#type: &'static str,
    url: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_token: Option<&'a str>,
}

impl ServerToolBlock<'_> {
    /// Sets or removes the cache breakpoint.
    pub(super) fn set_breakpoint(&mut self, mark: Option<EphemeralBreakpoint>) {
        match self {
            Self::Search { cache_control, .. }
            | Self::Code { cache_control, .. }
            | Self::Mcp { cache_control, .. } => *cache_control = mark,
        }
    }
}

/// Returns the server tools among `tools`.
pub(super) fn blocks(tools: &Tools) -> Vec<ServerToolBlock<'_>> {
    let code = tools.runs_code.then_some(ServerToolBlock::Code {
        name: CODE_EXECUTION,
        cache_control: None,
    });
    tools
        .web_search
        .iter()
        .map(search)
        .chain(code)
        .chain(tools.mcp_servers.iter().map(toolset))
        .collect()
}

/// Returns the MCP servers whose tools are among `tools`.
pub(super) fn servers(tools: &Tools) -> Vec<McpServerBlock<'_>> {
    tools.mcp_servers.iter().map(server).collect()
}

fn server(server: &McpServer) -> McpServerBlock<'_> {
    let McpServer {
        name, url, token, ..
    } = server;
    McpServerBlock {
        r#type: "url",
        url,
        name,
        authorization_token: token.as_deref(),
    }
}

fn search(search: &WebSearch) -> ServerToolBlock<'_> {
    ServerToolBlock::Search {
        name: WebSearch::NAME,
        max_uses: search.max_uses,
        allowed_domains: &search.allowed_domains,
        blocked_domains: &search.blocked_domains,
        user_location: search
            .user_location
            .as_deref()
            .and_then(|place| serde_json::from_str(place).ok()),
        cache_control: None,
    }
}

fn toolset(server: &McpServer) -> ServerToolBlock<'_> {
    let allowed = server.allowed_tools.as_deref();
    ServerToolBlock::Mcp {
        mcp_server_name: &server.name,
        default_config: allowed.map(|_| ToolEnabled { enabled: false }),
        configs: allowed
            .unwrap_or_default()
            .iter()
            .map(|name| (name.as_str(), ToolEnabled { enabled: true }))
            .collect(),
        cache_control: None,
    }
}
