//! Blocks and deltas of an answer that only Anthropic's API has: what is known of them, and all of them as JSON.

use serde::Deserialize;
use serde_json::Value;
use serde_json::json;
use serde_json::value::RawValue;

use crate::domain::BlockDelta;
use crate::domain::CalledTool;
use crate::domain::Citation;
use crate::domain::Outcome;
use crate::domain::ServerBlock;
use crate::domain::ServerTool;
use crate::domain::TurnEvent;
use crate::domain::WebSearch;

#[derive(Deserialize)]
struct Block {
    r#type: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    tool_use_id: Option<String>,
    #[serde(default)]
    content: Value,
}

#[derive(Deserialize)]
struct CitationDelta {
    citation: CitedSource,
}

#[derive(Deserialize)]
struct CitedSource {
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    title: Option<String>,
}

/// The block `json`, which begins.
pub(super) fn block(json: &RawValue) -> ServerBlock {
    let tool = serde_json::from_str(json.get()).map_or(ServerTool::Other, |block| tool(&block));
    ServerBlock { json: json.get().to_owned(), tool }
}

fn tool(block: &Block) -> ServerTool {
    match (block.r#type.as_str(), &block.id, &block.name, &block.tool_use_id) {
        ("server_tool_use", Some(id), Some(name), _) if name == WebSearch::NAME => {
            ServerTool::Call { id: id.clone(), tool: CalledTool::Search }
        }
        ("web_search_tool_result", .., Some(id)) => {
            ServerTool::Result { id: id.clone(), outcome: found(&block.content) }
        }
        _ => ServerTool::Other,
    }
}

/// What a search has found.
fn found(content: &Value) -> Outcome {
    let url = |result: &Value| Some(result["url"].as_str()?.to_owned());
    match content.as_array() {
        Some(results) => Outcome { is_failed: false, texts: results.iter().filter_map(url).collect() },
        None => failure(content),
    }
}

/// The reason that a result gives for its failure.
fn failure(content: &Value) -> Outcome {
    let code = content["error_code"].as_str().unwrap_or("unavailable");
    Outcome { is_failed: true, texts: vec![code.to_owned()] }
}

/// A delta that has no event of its own.
pub(super) fn delta(json: &RawValue) -> TurnEvent {
    let text = json.get().to_owned();
    match serde_json::from_str::<CitationDelta>(&text) {
        Ok(CitationDelta { citation: CitedSource { url, title } }) => {
            TurnEvent::Citation(Citation { json: text, url, title })
        }
        Err(_) => TurnEvent::BlockDelta(BlockDelta { json: text, input: None }),
    }
}

/// The delta of a piece of the input of a server block.
pub(super) fn input_delta(piece: &str) -> TurnEvent {
    let json = json!({"type": "input_json_delta", "partial_json": piece}).to_string();
    TurnEvent::BlockDelta(BlockDelta { json, input: Some(piece.to_owned()) })
}
