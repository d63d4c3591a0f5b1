//! Tools of a turn in the body of a call.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::Tool;
use crate::domain::ToolChoice;
use crate::domain::Tools;
use crate::domain::Turn;

use super::cache_breakpoints::EphemeralBreakpoint;
use super::server_tools;
use super::server_tools::ServerToolBlock;

/// Tool in the body.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum ToolBlock<'a> {
    /// Tool that the caller runs.
    Function(FunctionBlock<'a>),
    /// Tool that Anthropic runs.
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
    cache_control: Option<EphemeralBreakpoint>,
}

impl ToolBlock<'_> {
    fn set_breakpoint(&mut self, mark: Option<EphemeralBreakpoint>) {
        match self {
            Self::Function(block) => block.cache_control = mark,
            Self::Server(block) => block.set_breakpoint(mark),
        }
    }
}

#[derive(Serialize)]
pub(super) struct BodyToolChoice<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disable_parallel_tool_use: bool,
}

/// Returns the tools of the caller and the server tools. `None` if a schema is not JSON.
pub(super) fn tools(
    tools: &Tools,
    mark: Option<EphemeralBreakpoint>,
) -> Option<Vec<ToolBlock<'_>>> {
    let mut blocks: Vec<_> = tools.list.iter().map(function).collect::<Option<_>>()?;
    blocks.extend(
        server_tools::blocks(tools)
            .into_iter()
            .map(ToolBlock::Server),
    );
    if let Some(last) = blocks.last_mut() {
        last.set_breakpoint(mark);
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

/// Returns the tool choice of the call; `None` leaves the choice to the model.
pub(super) fn choice(turn: &Turn) -> Option<BodyToolChoice<'_>> {
    let tools = &turn.tools;
    let has_written = turn
        .native
        .tools
        .as_ref()
        .is_some_and(|written| !written.is_empty());
    let offers_tools = !tools.is_empty() || has_written;
    if !offers_tools {
        return None;
    }
    let (r#type, name) = match &tools.choice {
        ToolChoice::Auto if tools.parallel => return None,
        ToolChoice::Auto => ("auto", None),
        ToolChoice::None => {
            return Some(BodyToolChoice {
                r#type: "none",
                name: None,
                disable_parallel_tool_use: false,
            });
        }
        ToolChoice::Required => ("any", None),
        ToolChoice::Named(name) => ("tool", Some(name.as_str())),
    };
    Some(BodyToolChoice {
        r#type,
        name,
        disable_parallel_tool_use: !tools.parallel,
    })
}
