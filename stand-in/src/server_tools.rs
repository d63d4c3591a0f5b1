//! Server-side tools: web searches with citations, code execution, and calls of MCP servers.

use serde_json::{Value, json};

use crate::{
    blocks::{Block, BlockKind, DraftBlock},
    conversation::Conversation,
    directives::Directives,
};

/// Name of the web search tool, and prefix of its types.
pub(crate) const WEB_SEARCH: &str = "web_search";
/// Type prefix of the code execution tool.
const CODE_EXECUTION: &str = "code_execution";
/// Type prefix of a toolset of an MCP server.
const MCP_TOOLSET: &str = "mcp_toolset";
/// Type prefixes of the server-side tools other than [`WEB_SEARCH`].
const OTHER_SERVER_TOOLS: [&str; 4] =
    ["web_fetch", CODE_EXECUTION, "tool_search_tool", MCP_TOOLSET];
/// Prompt prefix by which Claude Code requests a search.
const SEARCH_PROMPT: &str = "Perform a web search for the query: ";
/// Maximum number of characters of a default query.
const MAX_QUERY_CHARS: usize = 200;
/// Stand-in for encrypted content, which clients return unread.
const ENCRYPTED_CONTENT: &str = "c3RhbmQtaW4gZW5jcnlwdGVk";

/// Web searches of an answer.
pub(crate) struct Searches {
    /// Blocks of each search, followed by its results.
    pub parts: Vec<DraftBlock>,
    /// Deltas that cite the first result of each search.
    pub citations: Vec<Value>,
}

impl Searches {
    /// Creates the scripted searches, or else the requested or forced one.
    pub fn new(conversation: &Conversation<'_>, directives: &Directives, sequence: u64) -> Self {
        let mut searches = Self {
            parts: Vec::new(),
            citations: Vec::new(),
        };
        let max_uses = search_tool(conversation).and_then(|tool| tool["max_uses"].as_u64());
        for (index, query) in (0..).zip(search_queries(conversation, directives)) {
            let is_refused = max_uses.is_some_and(|max| index >= max);
            let id = format!("srvtoolu_standin{sequence:08}{index:02}");
            let content = if is_refused {
                max_uses_exceeded()
            } else {
                results(&query)
            };
            if !is_refused {
                searches.citations.push(citation(&query));
            }
            let result =
                json!({"type": "web_search_tool_result", "tool_use_id": id, "content": content});
            let opening =
                json!({"type": "server_tool_use", "id": id, "name": WEB_SEARCH, "input": {}});
            searches.parts.push((
                BlockKind::ServerCall(opening),
                json!({"query": query}).to_string(),
            ));
            searches
                .parts
                .push((BlockKind::ServerResult(result), String::new()));
        }
        searches
    }
}

/// Creates the scripted code executions and MCP calls, each followed by its result.
pub(crate) fn other_calls(
    conversation: &Conversation<'_>,
    directives: &Directives,
    sequence: u64,
) -> Vec<DraftBlock> {
    let id = |prefix: &str, index: usize| format!("{prefix}_standin{sequence:08}c{index:02}");
    let code = directives.code.iter().enumerate().flat_map(|(index, command)| {
        let id = id("srvtoolu", index);
        let opening =
            json!({"type": "server_tool_use", "id": id, "name": "bash_code_execution", "input": {}});
        let stdout = format!("What `{command}` puts out.\n");
        let content = json!({
            "type": "bash_code_execution_result", "stdout": stdout, "stderr": "", "return_code": 0,
            "content": [],
        });
        let result =
            json!({"type": "bash_code_execution_tool_result", "tool_use_id": id, "content": content});
        call_and_result(opening, json!({"command": command}).to_string(), result)
    });
    let servers = directives.mcp.iter().enumerate().flat_map(|(index, call)| {
        let id = id("mcptoolu", index);
        let server = &conversation.body()["mcp_servers"][0]["name"];
        let opening =
            json!({"type": "mcp_tool_use", "id": id, "name": call.name, "server_name": server, "input": {}});
        let content = json!([{"type": "text", "text": format!("What {} gives.", call.name)}]);
        let result =
            json!({"type": "mcp_tool_result", "tool_use_id": id, "is_error": false, "content": content});
        call_and_result(opening, call.input.clone(), result)
    });
    code.chain(servers).collect()
}

fn call_and_result(opening: Value, input: String, result: Value) -> [DraftBlock; 2] {
    [
        (BlockKind::ServerCall(opening), input),
        (BlockKind::ServerResult(result), String::new()),
    ]
}

/// Checks that the request offers a tool for each scripted server-side call.
///
/// # Errors
/// The message of a 400 response.
pub(crate) fn check(
    conversation: &Conversation<'_>,
    directives: &Directives,
) -> Result<(), String> {
    for (key, is_scripted, prefix) in [
        ("search", !directives.searches.is_empty(), WEB_SEARCH),
        ("code", !directives.code.is_empty(), CODE_EXECUTION),
        ("mcp", !directives.mcp.is_empty(), MCP_TOOLSET),
    ] {
        if is_scripted && !conversation.tools().any(|tool| has_type(tool, prefix)) {
            return Err(format!(
                "directive `{key}`: `tools` holds no tool whose type begins with `{prefix}`"
            ));
        }
    }
    Ok(())
}

/// True if the API runs `tool`; other typed tools, like `bash_20250124`, are run by the client.
pub(crate) fn is_server_tool(tool: &Value) -> bool {
    is_search(tool)
        || OTHER_SERVER_TOOLS
            .iter()
            .any(|prefix| has_type(tool, prefix))
}

/// Counts the charged searches of an answer; `None` without any search.
pub(crate) fn charged_searches(blocks: &[Block]) -> Option<u64> {
    let results = blocks.iter().filter_map(|block| match &block.kind {
        BlockKind::ServerResult(result) if result["type"] == "web_search_tool_result" => {
            Some(u64::from(result["content"].is_array()))
        }
        _ => None,
    });
    results.reduce(|sum, charge| sum + charge)
}

fn is_search(tool: &Value) -> bool {
    has_type(tool, WEB_SEARCH)
}

fn has_type(tool: &Value, prefix: &str) -> bool {
    tool["type"]
        .as_str()
        .is_some_and(|kind| kind.starts_with(prefix))
}

fn search_tool<'a>(conversation: &Conversation<'a>) -> Option<&'a Value> {
    conversation.tools().find(|tool| is_search(tool))
}

/// Returns the scripted queries, or else that of Claude Code's search prompt or of a forced search.
///
/// With scripted calls or tool results, there is no default query.
fn search_queries(conversation: &Conversation<'_>, directives: &Directives) -> Vec<String> {
    let is_scripted = !directives.searches.is_empty() || !directives.tools.is_empty();
    if is_scripted || conversation.tool_results().is_some() {
        return directives.searches.clone();
    }
    let forced = conversation
        .forced_tool()
        .and_then(|name| conversation.offered_tool(name));
    let text = conversation.last_text();
    let requested = text
        .strip_prefix(SEARCH_PROMPT)
        .filter(|_| search_tool(conversation).is_some());
    let query = requested.or_else(|| forced.filter(|tool| is_search(tool)).map(|_| text));
    query
        .into_iter()
        .map(|query| query.chars().take(MAX_QUERY_CHARS).collect())
        .collect()
}

fn results(query: &str) -> Value {
    let page = url(query);
    let result = |url: &str, title: String| {
        json!({
            "type": "web_search_result", "url": url, "title": title,
            "encrypted_content": ENCRYPTED_CONTENT, "page_age": "January 1, 2026",
        })
    };
    json!([
        result(&page, title(query)),
        result(&format!("{page}?page=2"), format!("More about {query}"))
    ])
}

fn max_uses_exceeded() -> Value {
    json!({"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"})
}

fn citation(query: &str) -> Value {
    let citation = json!({
        "type": "web_search_result_location", "url": url(query), "title": title(query),
        "encrypted_index": ENCRYPTED_CONTENT, "cited_text": format!("What the stand-in knows about {query}."),
    });
    json!({"type": "citations_delta", "citation": citation})
}

fn title(query: &str) -> String {
    format!("All about {query}")
}

/// Builds a page URL from the ASCII words of `query`, joined by hyphens.
fn url(query: &str) -> String {
    let words = query
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    format!(
        "https://example.com/{}",
        words.collect::<Vec<_>>().join("-").to_ascii_lowercase()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_url_contains_the_words_of_the_query() {
        for (query, page) in [
            ("Rust news", "rust-news"),
            (" a/b? 1 ", "a-b-1"),
            ("größer", "gr-er"),
            ("", ""),
        ] {
            assert_eq!(url(query), format!("https://example.com/{page}"));
        }
    }

    #[test]
    fn tool_type_determines_server_side_tools() {
        for (tool, is_server_side) in [
            (
                json!({"type": "web_search_20250305", "name": "web_search"}),
                true,
            ),
            (
                json!({"type": "code_execution_20250825", "name": "code_execution"}),
                true,
            ),
            (json!({"type": "mcp_toolset", "mcp_server_name": "m"}), true),
            (json!({"type": "bash_20250124", "name": "bash"}), false),
            (json!({"type": "custom", "name": "web_search"}), false),
            (json!({"name": "web_search"}), false),
        ] {
            assert_eq!(is_server_tool(&tool), is_server_side, "{tool}");
        }
    }
}
