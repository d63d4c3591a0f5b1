//! Native parts of a request: everything that a turn cannot represent, passed on as the client
//! wrote it.

use serde_json::Value;

use super::content::BlockContext;
use crate::api::request_schema::RawJson;
use crate::domain::NativeBlock;
use crate::domain::NativeRole;
use crate::domain::Part;
use crate::domain::UPLOAD_ID_PREFIX;

/// Fields of each block type that a turn can represent. A block with any other field is passed on
/// as it was written.
const PLAIN_BLOCK_FIELDS: &[(&str, &[&str])] = &[
    ("text", &["type", "text"]),
    ("image", &["type", "source"]),
    ("document", &["type", "source", "title"]),
    (
        "tool_result",
        &["type", "tool_use_id", "content", "is_error"],
    ),
    // Anthropic rejects `cache_control` on thinking, so it is dropped and reported.
    (
        "thinking",
        &["type", "thinking", "signature", "cache_control"],
    ),
    ("redacted_thinking", &["type", "data", "cache_control"]),
    ("tool_use", &["type", "id", "name", "input"]),
];

/// Fields of a tool that [`Tool`](crate::domain::Tool) can represent.
const PLAIN_TOOL_FIELDS: &[&str] = &["type", "name", "description", "input_schema", "strict"];

/// Beginning of the instruction block in which Claude Code sends billing data. It differs between
/// requests, and would invalidate the prompt cache for everything after it.
const BILLING_HEADER: &str = "x-anthropic-billing-header:";

/// Converts the block `value` to a native part, unless another part can represent it. Under
/// `is_strict` unknown types are left to the other decoders, which reject them with a reason.
pub(super) fn native_part(
    value: &Value,
    written: RawJson<'_>,
    context: BlockContext,
    is_strict: bool,
) -> Option<Part> {
    let kind = value["type"].as_str()?;
    // Upstream rejects blank texts, whatever other fields they have: they are skipped like plain
    // ones.
    let is_blank = kind == "text"
        && value["text"]
            .as_str()
            .is_some_and(|text| text.trim().is_empty());
    if is_blank || is_plain(value, kind) || (is_strict && !context.allows(kind)) {
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
        json: written.to_compact(value),
        role,
    }))
}

/// True if a part of a turn can represent the whole block.
pub(super) fn is_plain(block: &Value, kind: &str) -> bool {
    let Some((_, plain)) = PLAIN_BLOCK_FIELDS.iter().find(|(known, _)| *known == kind) else {
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
    // Anything but an object is rejected where it is decoded.
    !matches!(kind, "image" | "document")
        || !source["type"].is_string()
        || (matches!(source["type"].as_str(), Some("base64" | "url"))
            && has_only(source, &["type", "media_type", "data", "url"]))
        || (is_upload(source) && has_only(source, &["type", "file_id"]))
}

/// True if a source is a file uploaded to this server, and not to Anthropic.
fn is_upload(source: &Value) -> bool {
    source["type"] == "file"
        && source["file_id"]
            .as_str()
            .is_some_and(|id| id.starts_with(UPLOAD_ID_PREFIX))
}

/// True if [`Tool`](crate::domain::Tool) can represent a tool of the caller.
pub(super) fn is_plain_tool(tool: &Value) -> bool {
    has_only(tool, PLAIN_TOOL_FIELDS)
}

fn has_only(value: &Value, names: &[&str]) -> bool {
    let Value::Object(fields) = value else {
        return true;
    };
    fields
        .iter()
        .all(|(name, value)| value.is_null() || names.contains(&name.as_str()))
}

/// True if a text of the instructions contains billing data only.
pub(super) fn is_billing_header(text: &str) -> bool {
    text.starts_with(BILLING_HEADER)
}

/// True if a part is a call of a server tool, or its result.
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

/// True if native JSON contains a cache breakpoint. A false match in the input of a tool only keeps
/// the server from setting breakpoints of its own.
pub(super) fn has_cache_breakpoint(json: &str) -> bool {
    json.contains(r#""cache_control":{"#)
}
