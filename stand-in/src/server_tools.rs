//! Tools which the API runs itself: web searches with what the text cites of them, code, and calls of MCP servers.

use serde_json::{Value, json};

use crate::{
    blocks::{Block, Kind, Part},
    conversation::Conversation,
    directives::Directives,
};

/// The name of the search tool, with which its types begin.
pub(crate) const WEB_SEARCH: &str = "web_search";
/// How the types of the tool begin which runs code.
const CODE: &str = "code_execution";
/// How the types of the tools begin which stand for those of an MCP server.
const TOOLSET: &str = "mcp_toolset";
/// How the types of the tools begin which the API runs, other than [`WEB_SEARCH`].
const OTHER_TYPES: [&str; 4] = ["web_fetch", CODE, "tool_search_tool", TOOLSET];
/// How Claude Code asks for a search.
const ASKED: &str = "Perform a web search for the query: ";
/// Characters of the user's text which a forced search asks for.
const QUERY_CHARS: usize = 200;
/// Clients hand back what is encrypted unread.
const ENCRYPTED: &str = "c3RhbmQtaW4gZW5jcnlwdGVk";

/// The web searches of an answer.
pub(crate) struct Searches {
    /// Each search, followed by its results.
    pub parts: Vec<Part>,
    /// The deltas which cite the first result of each search.
    pub citations: Vec<Value>,
}

impl Searches {
    /// Makes the scripted searches, or else the one which the request forces.
    pub fn new(conversation: &Conversation<'_>, directives: &Directives, sequence: u64) -> Self {
        let mut searches = Self {
            parts: Vec::new(),
            citations: Vec::new(),
        };
        let max_uses = search_tool(conversation).and_then(|tool| tool["max_uses"].as_u64());
        for (index, query) in (0..).zip(queries(conversation, directives)) {
            let is_refused = max_uses.is_some_and(|max| index >= max);
            let id = format!("srvtoolu_standin{sequence:08}{index:02}");
            let content = if is_refused {
                too_many()
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
                Kind::ServerCall(opening),
                json!({"query": query}).to_string(),
            ));
            searches
                .parts
                .push((Kind::ServerResult(result), String::new()));
        }
        searches
    }
}

/// The scripted calls of the tools which run code or belong to an MCP server, each followed by its result.
pub(crate) fn other_calls(
    conversation: &Conversation<'_>,
    directives: &Directives,
    sequence: u64,
) -> Vec<Part> {
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
        pair(opening, json!({"command": command}).to_string(), result)
    });
    let servers = directives.mcp.iter().enumerate().flat_map(|(index, call)| {
        let id = id("mcptoolu", index);
        let server = &conversation.body()["mcp_servers"][0]["name"];
        let opening =
            json!({"type": "mcp_tool_use", "id": id, "name": call.name, "server_name": server, "input": {}});
        let content = json!([{"type": "text", "text": format!("What {} gives.", call.name)}]);
        let result =
            json!({"type": "mcp_tool_result", "tool_use_id": id, "is_error": false, "content": content});
        pair(opening, call.input.clone(), result)
    });
    code.chain(servers).collect()
}

fn pair(opening: Value, input: String, result: Value) -> [Part; 2] {
    [
        (Kind::ServerCall(opening), input),
        (Kind::ServerResult(result), String::new()),
    ]
}

/// Refuses scripted calls in a request which offers no such tool; the error is the message of a 400.
pub(crate) fn check(
    conversation: &Conversation<'_>,
    directives: &Directives,
) -> Result<(), String> {
    for (key, is_scripted, prefix) in [
        ("search", !directives.searches.is_empty(), WEB_SEARCH),
        ("code", !directives.code.is_empty(), CODE),
        ("mcp", !directives.mcp.is_empty(), TOOLSET),
    ] {
        if is_scripted && !conversation.tools().any(|tool| has_type(tool, prefix)) {
            return Err(format!(
                "directive `{key}`: `tools` holds no tool whose type begins with `{prefix}`"
            ));
        }
    }
    Ok(())
}

/// Whether the API runs `tool`. Others which have a type, like `bash_20250124`, are the client's to run.
pub(crate) fn is_server_tool(tool: &Value) -> bool {
    is_search(tool) || OTHER_TYPES.iter().any(|prefix| has_type(tool, prefix))
}

/// How many searches an answer is charged for; `None` if it holds none at all.
pub(crate) fn charged(blocks: &[Block]) -> Option<u64> {
    let results = blocks.iter().filter_map(|block| match &block.kind {
        Kind::ServerResult(result) if result["type"] == "web_search_tool_result" => {
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

/// The scripted queries. A search which is forced asks for the user's text, and one which Claude Code asks for for what it says,
/// unless the script or the results of tools say more.
fn queries(conversation: &Conversation<'_>, directives: &Directives) -> Vec<String> {
    let is_scripted = !directives.searches.is_empty() || !directives.tools.is_empty();
    if is_scripted || conversation.tool_results().is_some() {
        return directives.searches.clone();
    }
    let forced = conversation
        .forced_tool()
        .and_then(|name| conversation.offered(name));
    let text = conversation.last_text();
    let asked = text
        .strip_prefix(ASKED)
        .filter(|_| search_tool(conversation).is_some());
    let query = asked.or_else(|| forced.filter(|tool| is_search(tool)).map(|_| text));
    query
        .into_iter()
        .map(|query| query.chars().take(QUERY_CHARS).collect())
        .collect()
}

fn results(query: &str) -> Value {
    let page = url(query);
    let result = |url: &str, title: String| {
        json!({
            "type": "web_search_result", "url": url, "title": title,
            "encrypted_content": ENCRYPTED, "page_age": "January 1, 2026",
        })
    };
    json!([
        result(&page, title(query)),
        result(&format!("{page}?page=2"), format!("More about {query}"))
    ])
}

fn too_many() -> Value {
    json!({"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"})
}

fn citation(query: &str) -> Value {
    let citation = json!({
        "type": "web_search_result_location", "url": url(query), "title": title(query),
        "encrypted_index": ENCRYPTED, "cited_text": format!("What the stand-in knows about {query}."),
    });
    json!({"type": "citations_delta", "citation": citation})
}

fn title(query: &str) -> String {
    format!("All about {query}")
}

/// The page about `query`: its ASCII letters and digits, with a hyphen between words.
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
    fn urls_hold_the_words_of_the_query() {
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
    fn the_type_says_who_runs_a_tool() {
        for (tool, is_servers) in [
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
            assert_eq!(is_server_tool(&tool), is_servers, "{tool}");
        }
    }
}
