//! Permissions for tools that Anthropic runs: web search, code execution, MCP servers.

use serde_json::Value;

use super::AdmissionDeps;
use crate::domain::CODE_EXECUTION;
use crate::domain::CODE_EXECUTION_BETA;
use crate::domain::Caller;
use crate::domain::MCP_BETA;
use crate::domain::ServerToolKind;
use crate::domain::Turn;
use crate::domain::WebSearch;
use crate::engine::gateway::Error;
use crate::engine::gateway::ServerToolsOff;

/// Type prefix of the tools that read web pages. They need the permission for web search.
const WEB_FETCH_PREFIX: &str = "web_fetch";

/// Type prefix of the toolsets of MCP servers.
const MCP_TOOLSET_PREFIX: &str = "mcp_";

/// Refuses tools that the caller may not use, or removes them if they are optional, and bounds a
/// web search without a limit. Returns the names of the removed tools.
pub(super) fn enforce_permissions(
    rules: &AdmissionDeps,
    caller: &Caller,
    turn: &mut Turn,
) -> Result<Vec<String>, Error> {
    let mut left_out = enforce_code_and_mcp(rules, caller, turn)?;
    if turn.tools.web_search.is_none()
        && !has_native_tool(turn, |kind| kind.starts_with(WEB_FETCH_PREFIX))
    {
        return Ok(left_out);
    }
    let by_key = caller.grant.no_web_search;
    let Some(max_searches) = rules.web_searches.filter(|_| !by_key) else {
        let removed = turn.tools.remove_optional(&[ServerToolKind::Search]);
        left_out.extend(removed.iter().cloned());
        return if removed.is_empty() {
            Err(Error::WebSearchOff { by_key })
        } else {
            Ok(left_out)
        };
    };
    let Some(search) = &mut turn.tools.web_search else {
        return Ok(left_out);
    };
    let max_searches = *search.max_uses.get_or_insert(max_searches);
    for tool in turn.native.tools.iter_mut().flatten() {
        bound_search(tool, max_searches);
    }
    Ok(left_out)
}

/// Refuses code execution and MCP servers that are not available, or removes them.
fn enforce_code_and_mcp(
    rules: &AdmissionDeps,
    caller: &Caller,
    turn: &mut Turn,
) -> Result<Vec<String>, Error> {
    let mut left_out = Vec::new();
    while let Some(off) = reason_unavailable(rules, caller, turn) {
        let kinds: &[_] = match off {
            ServerToolsOff::ByKey | ServerToolsOff::BySetting => {
                &[ServerToolKind::Code, ServerToolKind::Mcp]
            }
            ServerToolsOff::WithoutBeta(CODE_EXECUTION_BETA) => &[ServerToolKind::Code],
            ServerToolsOff::WithoutBeta(_) | ServerToolsOff::Unreadable => &[ServerToolKind::Mcp],
        };
        let removed = turn.tools.remove_optional(kinds);
        if removed.is_empty() {
            return Err(Error::ServerToolsOff(off));
        }
        left_out.extend(removed);
    }
    Ok(left_out)
}

/// Returns the reason why code execution or MCP servers are not available to the turn, if so. A
/// client of the Messages API sets the betas of its tools itself.
fn reason_unavailable(
    rules: &AdmissionDeps,
    caller: &Caller,
    turn: &Turn,
) -> Option<ServerToolsOff> {
    let runs_code = turn.tools.runs_code;
    let calls_servers = !turn.tools.mcp_servers.is_empty();
    let is_written = turn.native.has_field("mcp_servers")
        || has_native_tool(turn, |kind| {
            kind.starts_with(CODE_EXECUTION) || kind.starts_with(MCP_TOOLSET_PREFIX)
        });
    if !(runs_code || calls_servers || is_written) {
        return None;
    }
    let missing = [(runs_code, CODE_EXECUTION_BETA), (calls_servers, MCP_BETA)]
        .into_iter()
        .find(|(is_needed, beta)| *is_needed && !rules.betas.iter().any(|known| known == beta));
    match missing {
        _ if caller.grant.no_server_tools => Some(ServerToolsOff::ByKey),
        _ if !rules.server_tools => Some(ServerToolsOff::BySetting),
        _ if calls_servers && !rules.reads_mcp => Some(ServerToolsOff::Unreadable),
        Some((_, beta)) => Some(ServerToolsOff::WithoutBeta(beta)),
        None => None,
    }
}

/// True if a natively written tool has a type that satisfies `is_such`.
fn has_native_tool(turn: &Turn, is_such: impl Fn(&str) -> bool) -> bool {
    let kind = |tool: &String| {
        let tool: Value = serde_json::from_str(tool).ok()?;
        Some(tool.get("type")?.as_str()?.to_owned())
    };
    turn.native
        .tools
        .iter()
        .flatten()
        .filter_map(kind)
        .any(|kind| is_such(&kind))
}

/// Sets the limit of a natively written web search that has none.
fn bound_search(tool: &mut String, max_searches: u32) {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(tool) else {
        return;
    };
    let is_search = fields
        .get("type")
        .and_then(Value::as_str)
        .is_some_and(WebSearch::is_web_search_type);
    if is_search && fields.get("max_uses").is_none_or(Value::is_null) {
        fields.insert("max_uses".to_owned(), max_searches.into());
        *tool = Value::Object(fields).to_string();
    }
}
