//! The tools of a request.

use serde_json::Value;
use serde_json::json;

use super::server_tools;
use super::tool_choice;
use super::tool_fields;
use crate::domain::Tool;
use crate::domain::Tools;
use crate::fields::Ignored;
use crate::fields::InvalidRequest;
use crate::fields::Object;
use crate::fields::Written;
use crate::fields::code;
use crate::fields::printable;

const LONGEST_NAME: usize = 64;
const NO_ARGUMENTS: &str = r#"{"type":"object","properties":{}}"#;

/// The tools, and what a response says of them.
pub(super) struct Offer {
    pub(super) tools: Tools,
    pub(super) list_as_sent: Vec<Value>,
    pub(super) choice_as_sent: Value,
}

/// Takes the tools and what belongs to them.
pub(super) fn take(
    request: &mut Object,
    written: Written<'_>,
    ignored: &mut Ignored,
) -> Result<Offer, InvalidRequest> {
    let sent = match request.take("tools")? {
        Some(Value::Array(tools)) => tools,
        _ => Vec::new(),
    };
    let written = written.field("tools").items();
    let (mut tools, mut list_as_sent) = (Tools::default(), Vec::new());
    for (index, value) in sent.into_iter().enumerate() {
        let written = written.get(index).copied().unwrap_or_default();
        list_as_sent.push(offer(value, index, request, written, &mut tools, ignored)?);
    }
    check_names(request, &tools, &list_as_sent)?;
    tools.parallel = request.take_bool("parallel_tool_calls")?.unwrap_or(true);
    let choice_as_sent = request.take("tool_choice")?.unwrap_or_else(|| json!("auto"));
    tools.choice = tool_choice::read(request, choice_as_sent.clone(), &mut tools, ignored)?;
    Ok(Offer { tools, list_as_sent, choice_as_sent })
}

/// Adds one tool to `tools`, and gives what a response says of it.
fn offer(
    value: Value,
    index: usize,
    request: &Object,
    written: Written<'_>,
    tools: &mut Tools,
    ignored: &mut Ignored,
) -> Result<Value, InvalidRequest> {
    if let Some(kind) = server_tools::Kind::of(&value) {
        let place = request.place.item("tools", index, kind.table());
        return kind.offer(value, place, tools, ignored);
    }
    let place = request.place.item("tools", index, &tool_fields::FUNCTION);
    let (tool, as_sent) = tool(Object::new(value, place.clone())?, written.field("parameters"), ignored)?;
    if tools.list.iter().any(|other| other.name == tool.name) {
        let path = place.field("name");
        let message =
            format!("`{path}`: another tool is called `{}` too. Give each its own name.", tool.name);
        return Err(InvalidRequest::at(path, code::VALUE, message));
    }
    tools.list.push(tool);
    Ok(as_sent)
}

/// Refuses a function that is called like a tool that Anthropic runs.
fn check_names(request: &Object, tools: &Tools, list: &[Value]) -> Result<(), InvalidRequest> {
    for (index, tool) in list.iter().enumerate().filter(|(_, tool)| tool["type"] == "function") {
        let name = tool["name"].as_str().unwrap_or_default();
        if tools.runs(name) {
            let path = request.place.item("tools", index, &tool_fields::FUNCTION).field("name");
            let message = format!(
                "`{path}`: `{name}` is what Claude calls a tool of this request that Anthropic runs. Rename the function."
            );
            return Err(InvalidRequest::at(path, code::VALUE, message));
        }
    }
    Ok(())
}

fn tool(
    mut tool: Object,
    schema: Written<'_>,
    ignored: &mut Ignored,
) -> Result<(Tool, Value), InvalidRequest> {
    let kind = tool.take_text("type")?.ok_or_else(|| tool.missing("type"))?;
    if kind != "function" {
        let words = format!(
            "tools of type `{}` are run by OpenAI and do not exist here. Offer a tool of type `function` and run it \
             yourself, or remove it.",
            printable(&kind)
        );
        return Err(tool.refuse("type", code::UNSUPPORTED, &words));
    }
    let name = name(&mut tool)?;
    let description = tool.take_text("description")?;
    let parameters = tool.take("parameters")?;
    let strict = tool.take_bool("strict")?;
    let strict = strict.unwrap_or_else(|| parameters.as_ref().is_some_and(is_closed));
    tool.finish(ignored)?;
    let as_sent = json!({
        "type": "function", "name": name, "description": description, "parameters": parameters, "strict": strict,
    });
    let schema = parameters.map_or_else(|| NO_ARGUMENTS.to_owned(), |parameters| schema.text(&parameters));
    Ok((Tool { name, description, schema, strict }, as_sent))
}

fn name(tool: &mut Object) -> Result<String, InvalidRequest> {
    let name = tool.take_text("name")?.ok_or_else(|| tool.missing("name"))?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(name);
    }
    Err(tool.refuse("name", code::VALUE, "expected 1 to 64 letters, digits, `_` and `-`. Rename the tool."))
}

/// Whether every object in the schema requires each of its properties and allows no others: what strictness asks for.
fn is_closed(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => {
            let is_object =
                fields.get("type").is_some_and(|kind| kind == "object") || fields.contains_key("properties");
            let properties = fields.get("properties").and_then(Value::as_object);
            let required = fields.get("required").and_then(Value::as_array);
            let is_required =
                |name: &String| required.is_some_and(|names| names.iter().any(|other| other == name));
            let is_strict = fields.get("additionalProperties") == Some(&Value::Bool(false))
                && properties.is_none_or(|properties| properties.keys().all(is_required));
            (!is_object || is_strict) && fields.values().all(is_closed)
        }
        Value::Array(items) => items.iter().all(is_closed),
        _ => true,
    }
}

#[cfg(test)]
#[path = "tools_tests.rs"]
mod tests;
