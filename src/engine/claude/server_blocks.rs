//! Blocks and deltas that only Anthropic's API has. They are passed on as JSON, with the meaning of
//! the known ones.

use serde::Deserialize;
use serde_json::Value;
use serde_json::json;
use serde_json::value::RawValue;

use crate::domain::BlockDelta;
use crate::domain::CODE_EXECUTION;
use crate::domain::CalledTool;
use crate::domain::Citation;
use crate::domain::ServerBlock;
use crate::domain::ServerTool;
use crate::domain::ServerToolOutcome;
use crate::domain::TurnEvent;
use crate::domain::WebSearch;

/// True if the CLI can read calls of MCP servers.
///
/// 2.1.329 cannot: it accepts pieces of input only in blocks of the types `tool_use` and
/// `server_tool_use`, and fails the turn at the first one in an `mcp_tool_use`, while Anthropic
/// calls the server. `tests/it/server_tools.rs` fails when a version can.
pub const READS_MCP: bool = false;

#[derive(Deserialize)]
struct ServerBlockFields {
    r#type: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    server_name: Option<String>,
    #[serde(default)]
    tool_use_id: Option<String>,
    #[serde(default)]
    is_error: Option<bool>,
    #[serde(default)]
    content: Value,
}

#[derive(Deserialize)]
struct CliCitationDelta {
    citation: CitedSource,
}

#[derive(Deserialize)]
struct CitedSource {
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    title: Option<String>,
}

/// Parses the start `json` of a block.
pub(super) fn parse_block(json: &RawValue) -> ServerBlock {
    let tool = serde_json::from_str(json.get()).map_or(ServerTool::Other, |block| tool(&block));
    ServerBlock {
        json: json.get().to_owned(),
        tool,
    }
}

fn tool(block: &ServerBlockFields) -> ServerTool {
    if let Some(id) = &block.tool_use_id
        && let Some(outcome) = outcome(block)
    {
        return ServerTool::Result {
            id: id.clone(),
            outcome,
        };
    }
    match (&block.id, called_tool(block)) {
        (Some(id), Some(tool)) => ServerTool::Call {
            id: id.clone(),
            tool,
        },
        _ => ServerTool::Other,
    }
}

/// Returns the tool that a block calls, if it is known.
fn called_tool(block: &ServerBlockFields) -> Option<CalledTool> {
    let name = block.name.as_ref()?;
    match (block.r#type.as_str(), name.as_str()) {
        ("server_tool_use", WebSearch::NAME) => Some(CalledTool::Search),
        (
            "server_tool_use",
            CODE_EXECUTION | "bash_code_execution" | "text_editor_code_execution",
        ) => Some(CalledTool::Code),
        ("mcp_tool_use", _) => Some(CalledTool::Mcp {
            server: block.server_name.clone()?,
            tool: name.clone(),
        }),
        _ => None,
    }
}

/// Returns the outcome of a call, if the block is the result of a known tool.
fn outcome(block: &ServerBlockFields) -> Option<ServerToolOutcome> {
    match block.r#type.as_str() {
        "web_search_tool_result" => Some(search_outcome(&block.content)),
        "code_execution_tool_result"
        | "bash_code_execution_tool_result"
        | "text_editor_code_execution_tool_result" => Some(code_outcome(&block.content)),
        "mcp_tool_result" => {
            let is_failed = block.is_error.unwrap_or(false);
            Some(ServerToolOutcome {
                is_failed,
                texts: texts(&block.content),
            })
        }
        _ => None,
    }
}

/// Returns the output of code, and the ids of the files it created. The result of a file edit is
/// given as JSON.
fn code_outcome(content: &Value) -> ServerToolOutcome {
    if content.get("error_code").is_some() {
        return failed_outcome(content);
    }
    let Some(stdout) = content["stdout"].as_str() else {
        let shown = content["content"]
            .as_str()
            .map_or_else(|| content.to_string(), str::to_owned);
        return ServerToolOutcome {
            is_failed: false,
            texts: vec![shown],
        };
    };
    let outputs = [stdout, content["stderr"].as_str().unwrap_or_default()];
    let mut texts: Vec<_> = outputs
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .collect();
    let code = content["return_code"].as_i64().filter(|code| *code != 0);
    texts.extend(code.map(|code| format!("exit code {code}")));
    let files = content["content"].as_array().into_iter().flatten();
    texts.extend(files.filter_map(|file| Some(format!("file {}", file["file_id"].as_str()?))));
    ServerToolOutcome {
        is_failed: false,
        texts,
    }
}

/// Returns the texts of a content; blocks of other types as JSON.
fn texts(content: &Value) -> Vec<String> {
    let text = |block: &Value| {
        block["text"]
            .as_str()
            .map_or_else(|| block.to_string(), str::to_owned)
    };
    match content {
        Value::Array(blocks) => blocks.iter().map(text).collect(),
        Value::String(text) => vec![text.clone()],
        _ => Vec::new(),
    }
}

/// Returns the URLs of a search's results.
fn search_outcome(content: &Value) -> ServerToolOutcome {
    let url = |result: &Value| Some(result["url"].as_str()?.to_owned());
    match content.as_array() {
        Some(results) => ServerToolOutcome {
            is_failed: false,
            texts: results.iter().filter_map(url).collect(),
        },
        None => failed_outcome(content),
    }
}

/// Returns the outcome of a failed call, with its error code.
fn failed_outcome(content: &Value) -> ServerToolOutcome {
    let code = content["error_code"].as_str().unwrap_or("unavailable");
    ServerToolOutcome {
        is_failed: true,
        texts: vec![code.to_owned()],
    }
}

/// Parses a delta that has no event type of its own.
pub(super) fn parse_delta(json: &RawValue) -> TurnEvent {
    let text = json.get().to_owned();
    match serde_json::from_str::<CliCitationDelta>(&text) {
        Ok(CliCitationDelta {
            citation: CitedSource { url, title },
        }) => TurnEvent::Citation(Citation {
            json: text,
            url,
            title,
        }),
        Err(_) => TurnEvent::BlockDelta(BlockDelta {
            json: text,
            input: None,
        }),
    }
}

/// Builds the delta of a piece of a server block's input.
pub(super) fn input_delta(piece: &str) -> TurnEvent {
    let json = json!({"type": "input_json_delta", "partial_json": piece}).to_string();
    TurnEvent::BlockDelta(BlockDelta {
        json,
        input: Some(piece.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::parse_block;

    #[test]
    fn server_tool_calls_and_results_are_parsed() {
        let read = |json: &str| {
            format!(
                "{:?}",
                parse_block(&RawValue::from_string(json.to_owned()).unwrap()).tool
            )
        };
        let results = [
            r#"{"type":"server_tool_use","id":"1","name":"web_search","input":{}}"#,
            r#"{"type":"web_search_tool_result","tool_use_id":"1","content":[{"url":"https://a"}]}"#,
            r#"{"type":"web_search_tool_result","tool_use_id":"1","content":{"error_code":"too_many_requests"}}"#,
            r#"{"type":"server_tool_use","id":"2","name":"bash_code_execution","input":{}}"#,
            r#"{"type":"bash_code_execution_tool_result","tool_use_id":"2","content":{"stdout":"a","stderr":"b","return_code":1,"content":[{"file_id":"f"}]}}"#,
            r#"{"type":"text_editor_code_execution_tool_result","tool_use_id":"2","content":{"type":"text_editor_code_execution_create_result","is_file_update":false}}"#,
            r#"{"type":"code_execution_tool_result","tool_use_id":"2","content":{"error_code":"unavailable"}}"#,
            r#"{"type":"mcp_tool_use","id":"3","name":"look","server_name":"s","input":{}}"#,
            r#"{"type":"mcp_tool_result","tool_use_id":"3","is_error":true,"content":[{"type":"text","text":"no"}]}"#,
            r#"{"type":"web_fetch_tool_result","tool_use_id":"4","content":{}}"#,
        ];
        insta::assert_snapshot!(results.map(read).join("\n"), @r#"
        Call { id: "1", tool: Search }
        Result { id: "1", outcome: ServerToolOutcome { is_failed: false, texts: ["https://a"] } }
        Result { id: "1", outcome: ServerToolOutcome { is_failed: true, texts: ["too_many_requests"] } }
        Call { id: "2", tool: Code }
        Result { id: "2", outcome: ServerToolOutcome { is_failed: false, texts: ["a", "b", "exit code 1", "file f"] } }
        Result { id: "2", outcome: ServerToolOutcome { is_failed: false, texts: ["{\"is_file_update\":false,\"type\":\"text_editor_code_execution_create_result\"}"] } }
        Result { id: "2", outcome: ServerToolOutcome { is_failed: true, texts: ["unavailable"] } }
        Call { id: "3", tool: Mcp { server: "s", tool: "look" } }
        Result { id: "3", outcome: ServerToolOutcome { is_failed: true, texts: ["no"] } }
        Other
        "#);
    }
}
