//! Decoding of the tools of a request.

use std::collections::HashSet;

use super::decode::array_items;
use super::fields;
use super::native;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectPath;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::RawJson;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::domain::Tool;
use crate::domain::ToolChoice;
use crate::domain::Tools;
use crate::domain::WebSearch;

const MAX_NAME_LENGTH: usize = 128;

/// Decoded tools of a request.
#[derive(Debug)]
pub(super) struct DecodedTools {
    pub(super) tools: Tools,
    /// JSON of all tools as written, if that contains more than `tools`.
    pub(super) written: Option<Vec<String>>,
}

/// Takes `tools` and `tool_choice`.
pub(super) fn decode(
    request: &mut ObjectReader,
    written: RawJson<'_>,
    ignored: &mut RemarkCollector,
) -> Result<DecodedTools, InvalidRequest> {
    let texts = written.field("tools").items();
    let mut tools = Tools::default();
    let mut names: HashSet<String> = HashSet::new();
    let mut as_written = Vec::new();
    let mut is_plain = true;
    for (index, tool) in array_items(request.take("tools")?).into_iter().enumerate() {
        let written = texts.get(index).copied().unwrap_or_default();
        let is_own = tool["type"].as_str().is_none_or(|kind| kind == "custom");
        is_plain &= is_own && native::is_plain_tool(&tool);
        as_written.push(written.to_compact(&tool));
        let object = ObjectReader::new(
            tool,
            ObjectPath::at(format!("tools[{index}]"), &fields::TOOL),
        )?;
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
    (tools.choice, tools.parallel) = take_choice(request, &names, ignored)?;
    Ok(DecodedTools {
        tools,
        written: (!is_plain).then_some(as_written),
    })
}

/// Adds a tool that Anthropic defines, and returns its name, if it has one.
fn server_tool(
    mut tool: ObjectReader,
    tools: &mut Tools,
) -> Result<Option<String>, InvalidRequest> {
    let kind = tool.take_text("type")?.unwrap_or_default();
    if WebSearch::is_web_search_type(&kind) {
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
        return Err(tool.invalid_field("model", code::UNSUPPORTED, words));
    }
    tool.take_text("name")
}

fn tool(
    mut tool: ObjectReader,
    written: RawJson<'_>,
    ignored: &mut RemarkCollector,
) -> Result<Tool, InvalidRequest> {
    tool.take_text("type")?;
    let name = take_name(&mut tool)?;
    let description = tool.take_text("description")?;
    let schema = tool.require("input_schema")?;
    if schema.get("type").and_then(|kind| kind.as_str()) != Some("object") {
        let words = "the input of a tool is an object. Add `\"type\": \"object\"` to the schema.";
        return Err(tool.invalid_field("input_schema", code::VALUE, words));
    }
    let schema = written.field("input_schema").to_compact(&schema);
    let strict = tool.take_bool("strict")?.unwrap_or(false);
    tool.finish_native(ignored)?;
    Ok(Tool {
        name,
        description,
        schema,
        strict,
    })
}

/// Takes the name of a tool.
pub(super) fn take_name(object: &mut ObjectReader) -> Result<String, InvalidRequest> {
    let name = object.require_text("name")?;
    if name.len() > MAX_NAME_LENGTH || !is_identifier(&name) {
        let words = "the name of a tool is 1 to 128 letters, digits, `_` and `-`. Change it.";
        return Err(object.invalid_field("name", code::VALUE, words));
    }
    Ok(name)
}

/// True if `text` consists of the characters that upstream allows in names and ids.
pub(super) fn is_identifier(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// Takes the tool choice, and whether parallel calls are allowed.
fn take_choice(
    request: &mut ObjectReader,
    tools: &HashSet<String>,
    ignored: &mut RemarkCollector,
) -> Result<(ToolChoice, bool), InvalidRequest> {
    let Some(choice) = request.take("tool_choice")? else {
        return Ok((ToolChoice::Auto, true));
    };
    let mut choice =
        ObjectReader::new(choice, ObjectPath::at("tool_choice", &fields::TOOL_CHOICE))?;
    let kind = choice.require_text("type")?;
    let name = choice.take_text("name")?;
    let wanted = match kind.as_str() {
        "auto" => ToolChoice::Auto,
        "none" => ToolChoice::None,
        "any" if tools.is_empty() => return Err(no_such_tool(&choice, "type")),
        "any" => ToolChoice::Required,
        "tool" => {
            let name = name.ok_or_else(|| choice.missing_field("name"))?;
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
            return Err(choice.invalid_field("type", code::VALUE, &words));
        }
    };
    let is_single = choice
        .take_bool("disable_parallel_tool_use")?
        .unwrap_or(false);
    choice.finish(ignored)?;
    Ok((wanted, !is_single))
}

fn no_such_tool(choice: &ObjectReader, field: &str) -> InvalidRequest {
    choice.invalid_field(
        field,
        code::VALUE,
        "there is no such tool in `tools`. Offer it there.",
    )
}
