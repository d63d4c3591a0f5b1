//! Tool results, as parts and as text.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::DraftPart;
use crate::domain::NativeBlock;
use crate::domain::NativeRole;
use crate::domain::Part;
use crate::domain::ToolResult;

/// Text of the result of a call that has none.
const INTERRUPTED: &str = "The call was interrupted. It has no result.";

/// Returns the id of the call that `part` is a result of.
pub(super) fn call_id(part: &Part) -> Option<&str> {
    match part {
        Part::ToolResult(ToolResult { id, .. })
        | Part::Native(NativeBlock {
            role: NativeRole::Result(id),
            ..
        }) => Some(id),
        _ => None,
    }
}

/// Creates an error result for a call that has none.
pub(super) fn missing_result(id: &str) -> Part {
    Part::ToolResult(ToolResult {
        id: id.to_owned(),
        parts: vec![Part::text(INTERRUPTED)],
        is_error: true,
    })
}

/// Sets the id of a call, or the id that a result refers to.
pub(super) fn set_call_id(part: &mut Part, id: &str) {
    match part {
        Part::ToolUse(call) => id.clone_into(&mut call.id),
        Part::ToolResult(result) => id.clone_into(&mut result.id),
        Part::Native(NativeBlock { json, role }) => {
            let (field, own) = match role {
                NativeRole::Call(own) => ("id", own),
                NativeRole::Result(own) => ("tool_use_id", own),
                NativeRole::Other => return,
            };
            if own != id {
                *json = with_string_field(json, field, id);
                id.clone_into(own);
            }
        }
        _ => {}
    }
}

/// Sets `field` of the object `json` to the string `text`; the other values stay as they were
/// written.
fn with_string_field(json: &str, field: &str, text: &str) -> String {
    let mut fields: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(json).unwrap_or_default();
    fields.extend(
        serde_json::value::to_raw_value(text)
            .ok()
            .map(|text| (field.to_owned(), text)),
    );
    serde_json::to_string(&fields).unwrap_or_default()
}

/// Converts a piece that remains after the results were matched: an unmatched result becomes text,
/// an emptied piece is dropped, any other stays.
pub(super) fn unmatched_as_text(piece: DraftPart) -> Vec<DraftPart> {
    let DraftPart { part, path } = piece;
    let parts = match part {
        Part::Text(text) if text.is_empty() => Vec::new(),
        Part::ToolResult(ToolResult {
            id,
            parts,
            is_error,
        }) => std::iter::once(Part::Text(label(&id, is_error)))
            .chain(parts)
            .collect(),
        Part::Native(NativeBlock {
            json,
            role: NativeRole::Result(id),
        }) => std::iter::once(Part::Text(label(&id, is_error(&json))))
            .chain(content(&json))
            .collect(),
        part => vec![part],
    };
    parts
        .into_iter()
        .map(|part| DraftPart {
            part,
            path: path.clone(),
        })
        .collect()
}

fn label(id: &str, is_error: bool) -> String {
    let what = if is_error { "Error" } else { "Result" };
    format!("{what} of the tool call `{id}`:")
}

/// True if the `tool_result` block `json` has `is_error` set.
fn is_error(json: &str) -> bool {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(json).unwrap_or_default();
    fields
        .get("is_error")
        .is_some_and(|value| value.get() == "true")
}

/// Returns the content of the `tool_result` block `json`: its text, or its blocks as they were
/// written.
fn content(json: &str) -> Vec<Part> {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(json).unwrap_or_default();
    let Some(content) = fields.get("content") else {
        return Vec::new();
    };
    if let Ok(text) = serde_json::from_str::<String>(content.get()) {
        return if text.trim().is_empty() {
            Vec::new()
        } else {
            vec![Part::Text(text)]
        };
    }
    let blocks: Vec<&RawValue> = serde_json::from_str(content.get()).unwrap_or_default();
    let block = |block: &RawValue| {
        Part::Native(NativeBlock {
            json: block.get().to_owned(),
            role: NativeRole::Other,
        })
    };
    blocks.into_iter().map(block).collect()
}
