//! Tool calls and tool results in chat messages.

use serde_json::Value;

use super::custom_tools::CUSTOM;
use super::fields;
use crate::api::history::DraftPart;
use crate::api::openai::custom_input;
use crate::api::openai::functions;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::domain::Part;
use crate::domain::ToolResult;
use crate::domain::ToolUse;

/// Takes the tool calls out of `message`, which is of the assistant.
pub(super) fn take_calls(
    message: &mut ObjectReader,
    ignored: &mut RemarkCollector,
) -> Result<Vec<DraftPart>, InvalidRequest> {
    let mut pieces = Vec::new();
    if let Some(Value::Array(list)) = message.take("tool_calls")? {
        for (number, call) in list.into_iter().enumerate() {
            let place = message.place.item("tool_calls", number, &fields::TOOL_CALL);
            let path = format!("{}[{number}]", message.place.field("tool_calls"));
            pieces.push(DraftPart {
                part: self::read_call(ObjectReader::new(call, place)?, ignored)?,
                path,
            });
        }
    }
    if let Some(mut call) = message.take_object("function_call")? {
        let (name, input) = take_called_function(&mut call)?;
        call.finish(ignored)?;
        let part = Part::ToolUse(ToolUse {
            id: legacy_call_id(&name),
            name,
            input,
        });
        pieces.push(DraftPart {
            part,
            path: message.place.field("function_call"),
        });
    }
    Ok(pieces)
}

fn read_call(
    mut call: ObjectReader,
    ignored: &mut RemarkCollector,
) -> Result<Part, InvalidRequest> {
    let id = call.require_text("id")?;
    let kind = call
        .take_text("type")?
        .unwrap_or_else(|| "function".to_owned());
    let (field, read): (_, fn(&mut ObjectReader) -> _) = match kind.as_str() {
        "function" => ("function", take_called_function),
        CUSTOM => (CUSTOM, take_called_custom_tool),
        other => {
            let kind = printable(other);
            let words = format!(
                "only calls of the types `function` and `custom` are supported, got `{kind}`."
            );
            return Err(call.invalid_field("type", code::UNSUPPORTED, &words));
        }
    };
    let mut inner = call.require_object(field)?;
    let (name, input) = read(&mut inner)?;
    inner.finish(ignored)?;
    call.finish(ignored)?;
    Ok(Part::ToolUse(ToolUse { id, name, input }))
}

/// Reads the tool result in `message`, of the role `tool`, whose content is `parts`.
pub(super) fn tool_result(
    message: &mut ObjectReader,
    parts: Vec<Part>,
) -> Result<DraftPart, InvalidRequest> {
    let id = message.require_text("tool_call_id")?;
    let part = Part::ToolResult(ToolResult {
        id,
        parts,
        is_error: false,
    });
    Ok(DraftPart {
        part,
        path: message.place.field("tool_call_id"),
    })
}

/// Reads the result in `message`, of the deprecated role `function`.
pub(super) fn legacy_result(
    message: &mut ObjectReader,
    parts: Vec<Part>,
) -> Result<DraftPart, InvalidRequest> {
    let name = message.require_text("name")?;
    let part = Part::ToolResult(ToolResult {
        id: legacy_call_id(&name),
        parts,
        is_error: false,
    });
    Ok(DraftPart {
        part,
        path: message.place.field("name"),
    })
}

/// Builds the id of a deprecated function call, which has none, from the function's name. Anthropic
/// refuses such an id, so the history replaces it.
fn legacy_call_id(name: &str) -> String {
    format!("function {name}")
}

/// Takes the name and the arguments of a function call.
fn take_called_function(function: &mut ObjectReader) -> Result<(String, String), InvalidRequest> {
    let name = functions::take_name(function)?;
    let arguments = function.take_text("arguments")?.unwrap_or_default();
    Ok((
        name,
        if arguments.trim().is_empty() {
            "{}".to_owned()
        } else {
            arguments
        },
    ))
}

/// Takes the name of a custom tool call and its text, wrapped as JSON arguments.
fn take_called_custom_tool(custom: &mut ObjectReader) -> Result<(String, String), InvalidRequest> {
    let name = functions::take_name(custom)?;
    let input = custom.require_text("input")?;
    Ok((name, custom_input::wrap_text(&input)))
}
