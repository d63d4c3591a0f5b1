//! The rules of the real API: what it refuses with a 400. The words are those which users of client projects report in
//! public issues and logs; no rule was tried on the API itself.

mod cache;
mod fields;
mod images;
mod messages;
mod models;
mod pairing;
mod schemas;
mod tools;

use axum::http::HeaderMap;
use serde_json::Value;

use crate::conversation::Conversation;

/// Refuses what the real API refuses; the error is the message of a 400.
pub(crate) fn check(headers: &HeaderMap, conversation: &Conversation<'_>) -> Result<(), String> {
    let body = conversation.body();
    fields::check(headers, body)?;
    models::check(conversation)?;
    let mut schemas = schemas::Schemas::default();
    for (path, format) in [
        ("output_config.format", &body["output_config"]["format"]),
        ("output_format", &body["output_format"]),
    ] {
        schemas.check(&format!("{path}.schema"), &format["schema"])?;
    }
    tools::check(body, &mut schemas)?;
    schemas.finish()?;
    messages::check(body)?;
    cache::check(body)?;
    pairing::check(body)
}

/// Whether the request leaves the model no answer but a call.
fn forces_tool(body: &Value) -> bool {
    matches!(body["tool_choice"]["type"].as_str(), Some("any" | "tool"))
}

/// Whether a block is the call of a tool which the API runs, or its result.
fn is_of_server_tool(block: &Value) -> bool {
    let kind = block["type"].as_str().unwrap_or_default();
    matches!(kind, "server_tool_use" | "mcp_tool_use") || kind.ends_with("_tool_result")
}

/// Whether `text` has at least one character and at most `most`, all of them letters, digits or among `others`.
fn is_word(text: &str, most: usize, others: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    !text.is_empty() && text.len() <= most && text.chars().all(is_allowed)
}
