//! The tools that a request offers.

use super::decode::items;
use super::fields;
use crate::domain::Tool;
use crate::domain::ToolChoice;
use crate::domain::Tools;
use crate::fields::Ignored;
use crate::fields::InvalidRequest;
use crate::fields::Object;
use crate::fields::Place;
use crate::fields::Written;
use crate::fields::code;
use crate::fields::printable;

const LONGEST_NAME: usize = 64;

/// Takes `tools` and `tool_choice`.
pub(super) fn decode(
    request: &mut Object,
    written: Written<'_>,
    ignored: &mut Ignored,
) -> Result<Tools, InvalidRequest> {
    let texts = written.field("tools").items();
    let mut list: Vec<Tool> = Vec::new();
    for (index, tool) in items(request.take("tools")?).into_iter().enumerate() {
        let tool = Object::new(tool, Place::at(format!("tools[{index}]"), &fields::TOOL))?;
        let place = tool.place.clone();
        let tool = self::tool(tool, texts.get(index).copied().unwrap_or_default(), ignored)?;
        if list.iter().any(|other| other.name == tool.name) {
            let path = place.field("name");
            let message = format!("`{path}`: two tools are called `{}`. Rename one.", tool.name);
            return Err(InvalidRequest::at(path, code::VALUE, message));
        }
        list.push(tool);
    }
    let (choice, parallel) = choice(request, &list, ignored)?;
    Ok(Tools { list, choice, parallel })
}

fn tool(mut tool: Object, written: Written<'_>, ignored: &mut Ignored) -> Result<Tool, InvalidRequest> {
    let kind = tool.take_text("type")?;
    if let Some(kind) = kind.filter(|kind| kind != "custom") {
        let words = format!(
            "tools of type `{}` are Anthropic's own, and the CLI takes none of them. \
             Remove the tool, or offer one of your own of the type `custom`.",
            printable(&kind)
        );
        return Err(tool.refuse("type", code::UNSUPPORTED, &words));
    }
    let name = name(&mut tool)?;
    let description = tool.take_text("description")?;
    let schema = tool.take("input_schema")?.ok_or_else(|| tool.missing("input_schema"))?;
    if schema.get("type").and_then(|kind| kind.as_str()) != Some("object") {
        let words = "the input of a tool is an object. Add `\"type\": \"object\"` to the schema.";
        return Err(tool.refuse("input_schema", code::VALUE, words));
    }
    let schema = written.field("input_schema").text(&schema);
    let strict = tool.take_bool("strict")?.unwrap_or(false);
    tool.finish(ignored)?;
    Ok(Tool { name, description, schema, strict })
}

/// Takes the name of a tool.
pub(super) fn name(object: &mut Object) -> Result<String, InvalidRequest> {
    let name = object.take_text("name")?.ok_or_else(|| object.missing("name"))?;
    if name.len() > LONGEST_NAME || !is_word(&name) {
        let words = "the name of a tool is 1 to 64 letters, digits, `_` and `-`. Change it.";
        return Err(object.refuse("name", code::VALUE, words));
    }
    Ok(name)
}

/// Whether `text` is made of what names and ids are made of upstream.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// Whether the model must call a tool, and whether it may call several at once.
fn choice(
    request: &mut Object,
    tools: &[Tool],
    ignored: &mut Ignored,
) -> Result<(ToolChoice, bool), InvalidRequest> {
    let Some(choice) = request.take("tool_choice")? else { return Ok((ToolChoice::Auto, true)) };
    let mut choice = Object::new(choice, Place::at("tool_choice", &fields::TOOL_CHOICE))?;
    let kind = choice.take_text("type")?.ok_or_else(|| choice.missing("type"))?;
    let name = choice.take_text("name")?;
    let wanted = match kind.as_str() {
        "auto" => ToolChoice::Auto,
        "none" => ToolChoice::None,
        "any" if tools.is_empty() => return Err(no_such_tool(&choice, "type")),
        "any" => ToolChoice::Required,
        "tool" => {
            let name = name.ok_or_else(|| choice.missing("name"))?;
            if tools.iter().all(|tool| tool.name != name) {
                return Err(no_such_tool(&choice, "name"));
            }
            ToolChoice::Named(name)
        }
        other => {
            let words = format!("expected `auto`, `any`, `tool` or `none`, got `{}`.", printable(other));
            return Err(choice.refuse("type", code::VALUE, &words));
        }
    };
    let is_single = choice.take_bool("disable_parallel_tool_use")?.unwrap_or(false);
    choice.finish(ignored)?;
    Ok((wanted, !is_single))
}

fn no_such_tool(choice: &Object, field: &str) -> InvalidRequest {
    choice.refuse(field, code::VALUE, "there is no such tool in `tools`. Offer it there.")
}
