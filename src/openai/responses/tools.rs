//! The tools of a request, and which of them the model must call.

use serde_json::Value;
use serde_json::json;

use super::fields;
use super::parameters::unexpected;
use crate::domain::Tool;
use crate::domain::ToolChoice;
use crate::domain::Tools;
use crate::domain::WebSearch;
use crate::fields::Ignored;
use crate::fields::InvalidRequest;
use crate::fields::Object;
use crate::fields::Place;
use crate::fields::Written;
use crate::fields::code;
use crate::fields::printable;
use crate::openai::web_search;

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
    let (mut list, mut list_as_sent, mut web_search) = (Vec::<Tool>::new(), Vec::new(), None);
    for (index, value) in sent.into_iter().enumerate() {
        let place = request.place.item("tools", index, &fields::TOOL);
        if is_web_search(&value) {
            list_as_sent.push(value.clone());
            web_search = Some(search(Object::new(value, place)?, ignored)?);
            continue;
        }
        let schema = written.get(index).copied().unwrap_or_default().field("parameters");
        let (tool, as_sent) = tool(Object::new(value, place.clone())?, schema, ignored)?;
        if list.iter().any(|other| other.name == tool.name) {
            let path = place.field("name");
            let message =
                format!("`{path}`: another tool is called `{}` too. Give each its own name.", tool.name);
            return Err(InvalidRequest::at(path, code::VALUE, message));
        }
        list.push(tool);
        list_as_sent.push(as_sent);
    }
    let parallel = request.take_bool("parallel_tool_calls")?.unwrap_or(true);
    let choice_as_sent = request.take("tool_choice")?.unwrap_or_else(|| json!("auto"));
    let choice = choice(request, choice_as_sent.clone(), &mut list, web_search.is_some(), ignored)?;
    Ok(Offer { tools: Tools { list, choice, parallel, web_search }, list_as_sent, choice_as_sent })
}

/// Whether a tool is the search of the web, which Anthropic does in `OpenAI`'s place.
fn is_web_search(tool: &Value) -> bool {
    tool["type"].as_str().is_some_and(WebSearch::is_named_by)
}

fn search(mut tool: Object, ignored: &mut Ignored) -> Result<WebSearch, InvalidRequest> {
    tool.take_text("type")?;
    let location = tool.take("user_location")?;
    let filters = tool.take("filters")?;
    tool.finish(ignored)?;
    let domains = |name: &str| {
        let list = filters.as_ref().and_then(|filters| filters.get(name)?.as_array());
        list.into_iter().flatten().filter_map(|domain| domain.as_str().map(str::to_owned)).collect()
    };
    Ok(WebSearch {
        allowed_domains: domains("allowed_domains"),
        blocked_domains: domains("blocked_domains"),
        ..web_search::near(location.as_ref())
    })
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

fn choice(
    request: &Object,
    choice: Value,
    list: &mut Vec<Tool>,
    has_search: bool,
    ignored: &mut Ignored,
) -> Result<ToolChoice, InvalidRequest> {
    let choice = match choice {
        tool if has_search && is_web_search(&tool) => {
            return Ok(ToolChoice::Named("web_search".to_owned()));
        }
        Value::String(word) => match word.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" => ToolChoice::Required,
            other => {
                let expected = "`none`, `auto`, `required` or an object";
                return Err(unexpected(request, "tool_choice", expected, other));
            }
        },
        object => {
            let place = request.place.inner("tool_choice", &fields::TOOL_CHOICE);
            chosen(Object::new(object, place)?, list, ignored)?
        }
    };
    if list.is_empty() && !has_search && !matches!(choice, ToolChoice::Auto | ToolChoice::None) {
        let words = "asks for a call, but `tools` offers nothing to call. Offer a tool, or remove it.";
        return Err(request.refuse("tool_choice", code::VALUE, words));
    }
    Ok(choice)
}

fn chosen(
    mut choice: Object,
    list: &mut Vec<Tool>,
    ignored: &mut Ignored,
) -> Result<ToolChoice, InvalidRequest> {
    let kind = choice.take_text("type")?.ok_or_else(|| choice.missing("type"))?;
    let name = choice.take_text("name")?;
    let mode = choice.take_text("mode")?;
    let allowed = choice.take("tools")?;
    let chosen = match kind.as_str() {
        "function" => {
            let name = name.ok_or_else(|| choice.missing("name"))?;
            offered(&choice.place, "name", &name, list)?;
            ToolChoice::Named(name)
        }
        "allowed_tools" => {
            let allowed = allowed.ok_or_else(|| choice.missing("tools"))?;
            let names = names(&choice.place, &allowed, list)?;
            list.retain(|tool| names.contains(&tool.name));
            match mode.as_deref() {
                None | Some("auto") => ToolChoice::Auto,
                Some("required") => ToolChoice::Required,
                Some(other) => return Err(unexpected(&choice, "mode", "`auto` or `required`", other)),
            }
        }
        other => {
            let words =
                format!("`{}` is none of the tools there are. Choose a `function`.", printable(other));
            return Err(choice.refuse("type", code::UNSUPPORTED, &words));
        }
    };
    choice.finish(ignored)?;
    Ok(chosen)
}

fn names(place: &Place, allowed: &Value, list: &[Tool]) -> Result<Vec<String>, InvalidRequest> {
    let mut names = Vec::new();
    for (index, tool) in allowed.as_array().into_iter().flatten().enumerate() {
        let place = place.item("tools", index, &fields::TOOL_CHOICE);
        let name = tool.get("name").and_then(Value::as_str).unwrap_or_default();
        offered(&place, "name", name, list)?;
        names.push(name.to_owned());
    }
    Ok(names)
}

fn offered(place: &Place, field: &str, name: &str, list: &[Tool]) -> Result<(), InvalidRequest> {
    if list.iter().any(|tool| tool.name == name) {
        return Ok(());
    }
    let path = place.field(field);
    let message = format!("`{path}`: `tools` offers nothing called `{}`.", printable(name));
    Err(InvalidRequest::at(path, code::VALUE, message))
}

#[cfg(test)]
#[path = "tools_tests.rs"]
mod tests;
