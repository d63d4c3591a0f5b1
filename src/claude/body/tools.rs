//! Tools of the caller in the body of a call.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::Format;
use crate::domain::Tool;
use crate::domain::ToolChoice;
use crate::domain::Tools;
use crate::domain::Turn;

use super::cache::CacheControl;
use super::server_tools;
use super::server_tools::ServerToolBlock;

/// The tool whose input is the answer when any JSON object is wanted. A call of a tool is the one form of answer that
/// is an object whatever the model makes of the prompt, without a schema that names its fields.
const ANSWER_TOOL: &str = "answer_with_json";
const ANSWER_TOOL_USE: &str =
    "Gives the answer. Its input is the whole answer: a JSON object of the form asked for.";

/// A tool.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum ToolBlock<'a> {
    /// A tool of the caller.
    Function(FunctionBlock<'a>),
    /// A tool that Anthropic runs.
    Server(ServerToolBlock<'a>),
}

#[derive(Serialize)]
pub(super) struct FunctionBlock<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: Box<RawValue>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strict: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

impl ToolBlock<'_> {
    fn mark(&mut self, mark: Option<CacheControl>) {
        match self {
            Self::Function(block) => block.cache_control = mark,
            Self::Server(block) => block.mark(mark),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Choice<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disable_parallel_tool_use: bool,
}

/// The name of the tool by which the model answers, where the answer must be a JSON object. It differs from the names of the
/// caller's tools.
pub(in crate::claude) fn answer_tool(turn: &Turn) -> Option<String> {
    if turn.sampling.format != Format::JsonObject {
        return None;
    }
    let mut name = ANSWER_TOOL.to_owned();
    while turn.tools.list.iter().any(|tool| tool.name == name) {
        name.push('_');
    }
    Some(name)
}

/// The tools of the caller, those that Anthropic runs, and the tool by which the model answers, where there are such. `None` if a
/// schema is no JSON.
pub(super) fn tools<'a>(
    tools: &'a Tools,
    answer_tool: Option<&'a str>,
    mark: Option<CacheControl>,
) -> Option<Vec<ToolBlock<'a>>> {
    let mut blocks: Vec<_> = tools.list.iter().map(function).collect::<Option<_>>()?;
    blocks.extend(server_tools::blocks(tools).into_iter().map(ToolBlock::Server));
    if let Some(name) = answer_tool {
        let input_schema = RawValue::from_string(r#"{"type":"object"}"#.to_owned()).ok()?;
        let description = Some(ANSWER_TOOL_USE);
        let block = FunctionBlock { name, description, input_schema, strict: false, cache_control: None };
        blocks.push(ToolBlock::Function(block));
    }
    if let Some(last) = blocks.last_mut() {
        last.mark(mark);
    }
    Some(blocks)
}

fn function(tool: &Tool) -> Option<ToolBlock<'_>> {
    Some(ToolBlock::Function(FunctionBlock {
        name: &tool.name,
        description: tool.description.as_deref(),
        input_schema: RawValue::from_string(tool.schema.clone()).ok()?,
        strict: tool.strict,
        cache_control: None,
    }))
}

/// The tool choice of the call; `None` leaves it to the model.
pub(super) fn choice<'a>(turn: &'a Turn, answer_tool: Option<&'a str>) -> Option<Choice<'a>> {
    let tools = &turn.tools;
    let has_written = turn.native.tools.as_ref().is_some_and(|written| !written.is_empty());
    let offers_tools = !tools.is_empty() || has_written;
    let one = |r#type, name| Choice { r#type, name, disable_parallel_tool_use: true };
    let may_call = offers_tools && tools.choice != ToolChoice::None;
    match answer_tool {
        // A call or the answer, but not both.
        Some(_) if may_call && !matches!(tools.choice, ToolChoice::Named(_)) => {
            return Some(one("any", None));
        }
        Some(name) if !may_call => return Some(one("tool", Some(name))),
        _ => {}
    }
    if !offers_tools {
        return None;
    }
    let (r#type, name) = match &tools.choice {
        ToolChoice::Auto if tools.parallel => return None,
        ToolChoice::Auto => ("auto", None),
        ToolChoice::None => {
            return Some(Choice { r#type: "none", name: None, disable_parallel_tool_use: false });
        }
        ToolChoice::Required => ("any", None),
        ToolChoice::Named(name) => ("tool", Some(name.as_str())),
    };
    Some(Choice { r#type, name, disable_parallel_tool_use: !tools.parallel })
}
