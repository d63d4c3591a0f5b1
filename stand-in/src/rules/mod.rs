//! Validation rules of the real API, whose violations it answers with a 400.
//!
//! The wording is that of public issues and logs of client projects; no rule was tried on the API
//! itself.

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

/// Validates a request like the real API.
///
/// # Errors
/// The message of a 400 response.
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

/// True if `tool_choice` forces a tool call.
fn forces_tool(body: &Value) -> bool {
    matches!(body["tool_choice"]["type"].as_str(), Some("any" | "tool"))
}

/// True for a call of a server-side tool and its result.
fn is_of_server_tool(block: &Value) -> bool {
    let kind = block["type"].as_str().unwrap_or_default();
    matches!(kind, "server_tool_use" | "mcp_tool_use") || kind.ends_with("_tool_result")
}

/// True if `text` has 1 to `max` characters, each an ASCII letter, a digit or one of `others`.
fn is_word(text: &str, max: usize, others: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    !text.is_empty() && text.len() <= max && text.chars().all(is_allowed)
}
