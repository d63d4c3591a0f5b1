//! What of a request goes to Claude as the client wrote it: all that no part of a turn stands for.

use serde_json::Value;

use super::content::Home;
use crate::api::request_schema::Written;
use crate::domain::NativeBlock;
use crate::domain::NativeRole;
use crate::domain::Part;
use crate::domain::UPLOAD;

/// The fields of each type of block for which a part of a turn stands. A block that has any other goes as it was written.
const PLAIN: &[(&str, &[&str])] = &[
    ("text", &["type", "text"]),
    ("image", &["type", "source"]),
    ("document", &["type", "source", "title"]),
    (
        "tool_result",
        &["type", "tool_use_id", "content", "is_error"],
    ),
    // The mark, which Anthropic takes on no thoughts, is left out and told.
    (
        "thinking",
        &["type", "thinking", "signature", "cache_control"],
    ),
    ("redacted_thinking", &["type", "data", "cache_control"]),
    ("tool_use", &["type", "id", "name", "input"]),
];

/// The fields of a tool for which [`Tool`](crate::domain::Tool) stands.
const PLAIN_TOOL: &[&str] = &["type", "name", "description", "input_schema", "strict"];

/// How Claude Code begins a block of instructions that only tells whom to bill. It changes from request to request, and would
/// spoil the prompt cache for all that follows it.
const BILLING: &str = "x-anthropic-billing-header:";

/// The block `value` as a part, unless another part stands for it. `is_strict` refuses what is not known, which the other
/// parts do with their reasons.
pub(super) fn block(
    value: &Value,
    written: Written<'_>,
    home: Home,
    is_strict: bool,
) -> Option<Part> {
    let kind = value["type"].as_str()?;
    // Upstream takes no blank text, whatever else it has: it is skipped where a plain one is.
    let is_blank = kind == "text"
        && value["text"]
            .as_str()
            .is_some_and(|text| text.trim().is_empty());
    if is_blank || is_plain(value, kind) || (is_strict && !home.knows(kind)) {
        return None;
    }
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let role = match kind {
        "tool_use" => text("id").map(NativeRole::Call),
        "tool_result" => text("tool_use_id").map(NativeRole::Result),
        _ => None,
    };
    let role = role.unwrap_or(NativeRole::Other);
    Some(Part::Native(NativeBlock {
        json: written.text(value),
        role,
    }))
}

/// Whether a part of a turn stands for the whole of a block.
pub(super) fn is_plain(block: &Value, kind: &str) -> bool {
    let Some((_, plain)) = PLAIN.iter().find(|(known, _)| *known == kind) else {
        return false;
    };
    has_only(block, plain)
        && has_plain_source(block, kind)
        && block["content"].as_array().is_none_or(|blocks| {
            blocks
                .iter()
                .all(|block| is_plain(block, block["type"].as_str().unwrap_or_default()))
        })
}

fn has_plain_source(block: &Value, kind: &str) -> bool {
    let source = &block["source"];
    // What is no object at all is refused where it is read.
    !matches!(kind, "image" | "document")
        || !source["type"].is_string()
        || (matches!(source["type"].as_str(), Some("base64" | "url"))
            && has_only(source, &["type", "media_type", "data", "url"]))
        || (is_upload(source) && has_only(source, &["type", "file_id"]))
}

/// Whether a source is a file that was uploaded here, and not to Anthropic.
fn is_upload(source: &Value) -> bool {
    source["type"] == "file"
        && source["file_id"]
            .as_str()
            .is_some_and(|id| id.starts_with(UPLOAD))
}

/// Whether a tool of the caller's is told by its name, its words and its schema.
pub(super) fn is_plain_tool(tool: &Value) -> bool {
    has_only(tool, PLAIN_TOOL)
}

fn has_only(value: &Value, names: &[&str]) -> bool {
    let Value::Object(fields) = value else {
        return true;
    };
    fields
        .iter()
        .all(|(name, value)| value.is_null() || names.contains(&name.as_str()))
}

/// Whether a text of the instructions only tells whom to bill.
pub(super) fn is_about_billing(text: &str) -> bool {
    text.starts_with(BILLING)
}

/// Whether a part is a call of a tool that Anthropic runs, or its result.
pub(super) fn is_server_tool(part: &Part) -> bool {
    let Part::Native(block) = part else {
        return false;
    };
    let kind = serde_json::from_str::<Value>(&block.json).map(|block| block["type"].clone());
    kind.is_ok_and(|kind| {
        kind.as_str().is_some_and(|kind| {
            matches!(kind, "server_tool_use" | "mcp_tool_use") || kind.ends_with("_tool_result")
        })
    })
}

/// Whether something that goes as it was written marks the prompt for the prompt cache. A mark in the input of a tool, which is
/// none, only keeps the server from setting marks of its own.
pub(super) fn is_marked(json: &str) -> bool {
    json.contains(r#""cache_control":{"#)
}
