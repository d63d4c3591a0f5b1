//! Decoding of the tools of a request.

use std::collections::HashSet;

use super::decode::items;
use super::fields;
use super::native;
use crate::api::request_schema::Ignored;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Object;
use crate::api::request_schema::Place;
use crate::api::request_schema::Written;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::domain::Tool;
use crate::domain::ToolChoice;
use crate::domain::Tools;
use crate::domain::WebSearch;

const LONGEST_NAME: usize = 128;

/// Decoded tools of a request.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) tools: Tools,
    /// JSON of all tools as written, if that contains more than `tools`.
    pub(super) written: Option<Vec<String>>,
}

/// Takes `tools` and `tool_choice`.
pub(super) fn decode(
    request: &mut Object,
    written: Written<'_>,
    ignored: &mut Ignored,
) -> Result<Offer, InvalidRequest> {
    let texts = written.field("tools").items();
    let mut tools = Tools::default();
    let mut names: HashSet<String> = HashSet::new();
    let mut as_written = Vec::new();
    let mut is_plain = true;
    for (index, tool) in items(request.take("tools")?).into_iter().enumerate() {
        let written = texts.get(index).copied().unwrap_or_default();
        let is_own = tool["type"].as_str().is_none_or(|kind| kind == "custom");
        is_plain &= is_own && native::is_plain_tool(&tool);
        as_written.push(written.text(&tool));
        let object = Object::new(tool, Place::at(format!("tools[{index}]"), &fields::TOOL))?;
        let place = object.place.clone();
        let name = if is_own {
            let tool = self::tool(object, written, ignored)?;
            let name = tool.name.clone();
            tools.list.push(tool);
            Some(name)
        } else {
            server_tool(object, &mut tools)?
        };
        let Some(name) = name else { continue };
        if !names.insert(name.clone()) {
            let path = place.field("name");
            let message = format!("`{path}`: two tools are called `{name}`. Rename one.");
            return Err(InvalidRequest::at(path, code::VALUE, message));
        }
    }
    (tools.choice, tools.parallel) = choice(request, &names, ignored)?;
    Ok(Offer {
        tools,
        written: (!is_plain).then_some(as_written),
    })
}

/// Adds a tool that Anthropic defines, and returns its name, if it has one.
fn server_tool(mut tool: Object, tools: &mut Tools) -> Result<Option<String>, InvalidRequest> {
    let kind = tool.take_text("type")?.unwrap_or_default();
    if WebSearch::is_named_by(&kind) {
        let max_uses = tool
            .take_integer("max_uses")?
            .and_then(|uses| u32::try_from(uses).ok());
        tools.web_search = Some(WebSearch {
            max_uses,
            ..WebSearch::default()
        });
    }
    if tool.take("model")?.is_some() {
        let words = "a tool cannot bring a model of its own, which the key may not use. Remove it.";
        return Err(tool.refuse("model", code::UNSUPPORTED, words));
    }
    tool.take_text("name")
}

fn tool(
    mut tool: Object,
    written: Written<'_>,
    ignored: &mut Ignored,
) -> Result<Tool, InvalidRequest> {
    tool.take_text("type")?;
    let name = name(&mut tool)?;
    let description = tool.take_text("description")?;
    let schema = tool
        .take("input_schema")?
        .ok_or_else(|| tool.missing("input_schema"))?;
    if schema.get("type").and_then(|kind| kind.as_str()) != Some("object") {
        let words = "the input of a tool is an object. Add `\"type\": \"object\"` to the schema.";
        return Err(tool.refuse("input_schema", code::VALUE, words));
    }
    let schema = written.field("input_schema").text(&schema);
    let strict = tool.take_bool("strict")?.unwrap_or(false);
    tool.finish_passing(ignored)?;
    Ok(Tool {
        name,
        description,
        schema,
        strict,
    })
}

/// Takes the name of a tool.
pub(super) fn name(object: &mut Object) -> Result<String, InvalidRequest> {
    let name = object
        .take_text("name")?
        .ok_or_else(|| object.missing("name"))?;
    if name.len() > LONGEST_NAME || !is_word(&name) {
        let words = "the name of a tool is 1 to 128 letters, digits, `_` and `-`. Change it.";
        return Err(object.refuse("name", code::VALUE, words));
    }
    Ok(name)
}

/// True if `text` consists of the characters that upstream allows in names and ids.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// Takes the tool choice, and whether parallel calls are allowed.
fn choice(
    request: &mut Object,
    tools: &HashSet<String>,
    ignored: &mut Ignored,
) -> Result<(ToolChoice, bool), InvalidRequest> {
    let Some(choice) = request.take("tool_choice")? else {
        return Ok((ToolChoice::Auto, true));
    };
    let mut choice = Object::new(choice, Place::at("tool_choice", &fields::TOOL_CHOICE))?;
    let kind = choice
        .take_text("type")?
        .ok_or_else(|| choice.missing("type"))?;
    let name = choice.take_text("name")?;
    let wanted = match kind.as_str() {
        "auto" => ToolChoice::Auto,
        "none" => ToolChoice::None,
        "any" if tools.is_empty() => return Err(no_such_tool(&choice, "type")),
        "any" => ToolChoice::Required,
        "tool" => {
            let name = name.ok_or_else(|| choice.missing("name"))?;
            if !tools.contains(&name) {
                return Err(no_such_tool(&choice, "name"));
            }
            ToolChoice::Named(name)
        }
        other => {
            let words = format!(
                "expected `auto`, `any`, `tool` or `none`, got `{}`.",
                printable(other)
            );
            return Err(choice.refuse("type", code::VALUE, &words));
        }
    };
    let is_single = choice
        .take_bool("disable_parallel_tool_use")?
        .unwrap_or(false);
    choice.finish(ignored)?;
    Ok((wanted, !is_single))
}

fn no_such_tool(choice: &Object, field: &str) -> InvalidRequest {
    choice.refuse(
        field,
        code::VALUE,
        "there is no such tool in `tools`. Offer it there.",
    )
}
