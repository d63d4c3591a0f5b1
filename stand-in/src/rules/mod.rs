//! The rules of the real API: what it refuses with a 400, in its own words as far as they are known.

mod models;

use serde_json::Value;

use crate::conversation::Conversation;

/// Refuses what the real API refuses; the error is the message of a 400.
pub(crate) fn check(conversation: &Conversation<'_>) -> Result<(), String> {
    models::check(conversation)
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
