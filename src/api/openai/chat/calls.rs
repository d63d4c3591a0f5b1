//! Tool calls and tool results in chat messages.

use serde_json::Value;

use super::custom_tools::CUSTOM;
use super::fields;
use crate::api::history::Piece;
use crate::api::openai::custom;
use crate::api::openai::functions;
use crate::api::request_schema::Ignored;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Object;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::domain::Part;
use crate::domain::ToolResult;
use crate::domain::ToolUse;

/// Takes the tool calls out of `message`, which is of the assistant.
pub(super) fn calls(
    message: &mut Object,
    ignored: &mut Ignored,
) -> Result<Vec<Piece>, InvalidRequest> {
    let mut pieces = Vec::new();
    if let Some(Value::Array(list)) = message.take("tool_calls")? {
        for (number, call) in list.into_iter().enumerate() {
            let place = message.place.item("tool_calls", number, &fields::TOOL_CALL);
            let path = format!("{}[{number}]", message.place.field("tool_calls"));
            pieces.push(Piece {
                part: self::call(Object::new(call, place)?, ignored)?,
                path,
            });
        }
    }
    if let Some(call) = message.take("function_call")? {
        let mut call = Object::new(
            call,
            message
                .place
                .inner("function_call", &fields::CALLED_FUNCTION),
        )?;
        let (name, input) = called(&mut call)?;
        call.finish(ignored)?;
        let part = Part::ToolUse(ToolUse {
            id: old_id(&name),
            name,
            input,
        });
        pieces.push(Piece {
            part,
            path: message.place.field("function_call"),
        });
    }
    Ok(pieces)
}

fn call(mut call: Object, ignored: &mut Ignored) -> Result<Part, InvalidRequest> {
    let id = call.take_text("id")?.ok_or_else(|| call.missing("id"))?;
    let kind = call
        .take_text("type")?
        .unwrap_or_else(|| "function".to_owned());
    let (field, table, read): (_, _, fn(&mut Object) -> _) = match kind.as_str() {
        "function" => ("function", &fields::CALLED_FUNCTION, called),
        CUSTOM => (CUSTOM, &fields::CALLED_CUSTOM, called_custom),
        other => {
            let kind = printable(other);
            let words = format!(
                "only calls of the types `function` and `custom` are supported, got `{kind}`."
            );
            return Err(call.refuse("type", code::UNSUPPORTED, &words));
        }
    };
    let inner = call.take(field)?.ok_or_else(|| call.missing(field))?;
    let mut inner = Object::new(inner, call.place.inner(field, table))?;
    let (name, input) = read(&mut inner)?;
    inner.finish(ignored)?;
    call.finish(ignored)?;
    Ok(Part::ToolUse(ToolUse { id, name, input }))
}

/// Reads the tool result in `message`, of the role `tool`, whose content is `parts`.
pub(super) fn result(message: &mut Object, parts: Vec<Part>) -> Result<Piece, InvalidRequest> {
    let id = message
        .take_text("tool_call_id")?
        .ok_or_else(|| message.missing("tool_call_id"))?;
    let part = Part::ToolResult(ToolResult {
        id,
        parts,
        is_error: false,
    });
    Ok(Piece {
        part,
        path: message.place.field("tool_call_id"),
    })
}

/// Reads the result in `message`, of the deprecated role `function`.
pub(super) fn old_result(message: &mut Object, parts: Vec<Part>) -> Result<Piece, InvalidRequest> {
    let name = message
        .take_text("name")?
        .ok_or_else(|| message.missing("name"))?;
    let part = Part::ToolResult(ToolResult {
        id: old_id(&name),
        parts,
        is_error: false,
    });
    Ok(Piece {
        part,
        path: message.place.field("name"),
    })
}

/// Builds the id of a deprecated function call, which has none, from the function's name. Anthropic
/// refuses such an id, so the history replaces it.
fn old_id(name: &str) -> String {
    format!("function {name}")
}

/// Takes the name and the arguments of a function call.
fn called(function: &mut Object) -> Result<(String, String), InvalidRequest> {
    let name = functions::name(function)?;
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
fn called_custom(custom: &mut Object) -> Result<(String, String), InvalidRequest> {
    let name = functions::name(custom)?;
    let input = custom
        .take_text("input")?
        .ok_or_else(|| custom.missing("input"))?;
    Ok((name, custom::arguments(&input)))
}
