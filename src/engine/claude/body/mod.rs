//! Body of the call to the Messages API, built from a turn.
//!
//! The CLI merges it over its own body, field by field (`CLAUDE_CODE_EXTRA_BODY`). It contains the
//! instructions, the tools and the whole conversation, so that the call is exactly the caller's and
//! does not depend on what the process did before.

mod blocks;
mod cache_breakpoints;
mod server_tools;
mod tools;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::Effort;
use crate::domain::Format;
use crate::domain::NativeBlock;
use crate::domain::NativeMedium;
use crate::domain::NativeRole;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::Tool;
use crate::domain::ToolChoice;
use crate::domain::Turn;

use super::SignIn;
use blocks::BodyBlock;
use blocks::blocks;
use cache_breakpoints::EphemeralBreakpoint;
use server_tools::McpServerBlock;
use tools::BodyToolChoice;
use tools::ToolBlock;

/// First block of every system prompt, as the CLI itself sends it; Anthropic requires it for the
/// CLI's sign-ins.
pub(super) const IDENTITY: &str = "You are a Claude agent, built on Anthropic's Claude Agent SDK.";

#[derive(Serialize)]
struct MessagesApiBody<'a> {
    system: Vec<BodyItem<'a, SystemBlock<'a>>>,
    tools: Vec<BodyItem<'a, ToolBlock<'a>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mcp_servers: Vec<McpServerBlock<'a>>,
    messages: Vec<MessageBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<BodyToolChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<BodyThinking>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig>,
    /// Further fields as the caller wrote them; disjoint from the fields above.
    #[serde(flatten)]
    native: BTreeMap<&'a str, &'a RawValue>,
}

/// Item of a list: built by the server, or as the caller wrote it.
#[derive(Serialize)]
#[serde(untagged)]
enum BodyItem<'a, T> {
    Made(T),
    Written(&'a RawValue),
}

#[derive(Serialize)]
struct MessageBody<'a> {
    role: &'static str,
    content: Vec<BodyBlock<'a>>,
}

#[derive(Serialize)]
struct BodyThinking {
    r#type: &'static str,
    budget_tokens: u32,
}

/// Field `output_config` of the body. It replaces that of the CLI, so it repeats the effort.
#[derive(Serialize)]
struct OutputConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    format: SchemaFormat,
}

#[derive(Serialize)]
struct SchemaFormat {
    r#type: &'static str,
    schema: Box<RawValue>,
}

#[derive(Serialize)]
struct SystemBlock<'a> {
    r#type: &'static str,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<EphemeralBreakpoint>,
}

/// Returns the body for `turn` as JSON; `None` if a schema of the turn is not JSON, which the
/// decoders prevent.
pub(super) fn request_body(turn: &Turn, sign_in: SignIn) -> Option<String> {
    let sampling = &turn.sampling;
    let mut messages = messages(turn);
    let mark = cache_breakpoints::set_breakpoints(turn, &mut messages, sign_in);
    let body = MessagesApiBody {
        system: system(turn, mark)?,
        tools: tools(turn, mark)?,
        mcp_servers: server_tools::servers(&turn.tools),
        messages,
        max_tokens: sampling.max_output_tokens,
        tool_choice: tools::choice(turn),
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        stop_sequences: &sampling.stop,
        thinking: thinking_field(turn),
        output_config: output_config(turn),
        native: native(turn)?,
    };
    serde_json::to_string(&body).ok()
}

/// Returns the content of one user message, as JSON, with about as many tokens as the prompt of
/// `turn`. Instructions, tools, tool calls and tool results are included as text. The few tokens by
/// which upstream separates messages are missing.
pub(super) fn content_to_count(turn: &Turn) -> String {
    let history = turn.history.iter().flat_map(|message| &message.parts);
    let mut parts: Vec<Part> = history.chain(&turn.prompt).flat_map(countable).collect();
    parts.extend(instructions_as_text(turn).map(Part::Text));
    serde_json::to_string(&blocks(&parts)).unwrap_or_default()
}

/// Returns the parts that represent `part` in the user message.
fn countable(part: &Part) -> Vec<Part> {
    match part {
        Part::Text(_) | Part::Image(_) | Part::Document { .. } => vec![part.clone()],
        Part::Instruction(text) => vec![Part::instruction_as_text(text)],
        // Upstream does not count earlier thinking.
        Part::Thinking(_) | Part::Continue | Part::CacheBreakpoint(_) => Vec::new(),
        Part::ToolUse(call) => vec![Part::Text(format!("{}\n{}", call.name, call.input))],
        Part::ToolResult(result) => result.parts.clone(),
        Part::Native(block) => block.pieces().into_iter().map(countable_piece).collect(),
    }
}

fn countable_piece((medium, json): (NativeMedium, &str)) -> Part {
    let json = json.to_owned();
    match medium {
        NativeMedium::Image | NativeMedium::Document => Part::Native(NativeBlock {
            json,
            role: NativeRole::Other,
        }),
        NativeMedium::Text => Part::Text(json),
    }
}

/// Returns the instructions and the tools of `turn` as one text; `None` if there are neither.
fn instructions_as_text(turn: &Turn) -> Option<String> {
    let tool = |tool: &Tool| {
        let description = tool.description.as_deref().unwrap_or_default();
        format!("{}\n{description}\n{}", tool.name, tool.schema)
    };
    let functions = turn.tools.list.iter().map(tool);
    let texts: Vec<String> = turn
        .system
        .iter()
        .cloned()
        .chain(functions)
        .chain(anthropic_tools(turn))
        .collect();
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}

/// Returns the tools of `turn` that Anthropic defines, as JSON.
fn anthropic_tools(turn: &Turn) -> Vec<String> {
    let is_anthropics = |json: &String| {
        let tool = serde_json::from_str::<serde_json::Value>(json).unwrap_or_default();
        tool["type"].as_str().is_some_and(|kind| kind != "custom")
    };
    match &turn.native.tools {
        Some(written) => written
            .iter()
            .filter(|json| is_anthropics(json))
            .cloned()
            .collect(),
        None => server_tools::blocks(&turn.tools)
            .iter()
            .filter_map(|block| serde_json::to_string(block).ok())
            .collect(),
    }
}

/// True if the model may think in `turn`: the Messages API rejects thinking together with sampling
/// parameters, a forced tool call, or a prefill.
pub(super) fn may_think(turn: &Turn) -> bool {
    let sampling = &turn.sampling;
    let is_sampled =
        sampling.temperature.is_some() || sampling.top_p.is_some() || sampling.top_k.is_some();
    let is_made_to_call = matches!(
        turn.tools.choice,
        ToolChoice::Required | ToolChoice::Named(_)
    );
    !is_sampled && !is_made_to_call && !turn.is_continuation()
}

/// Returns the CLI's name for an effort.
pub(super) fn effort_level(effort: Effort) -> Option<&'static str> {
    match effort {
        Effort::None | Effort::NotRequested => None,
        Effort::Low => Some("low"),
        Effort::Medium => Some("medium"),
        Effort::High => Some("high"),
        Effort::XHigh => Some("xhigh"),
    }
}

fn system(
    turn: &Turn,
    mark: Option<EphemeralBreakpoint>,
) -> Option<Vec<BodyItem<'_, SystemBlock<'_>>>> {
    let block = |text| SystemBlock {
        r#type: "text",
        text,
        cache_control: None,
    };
    if let Some(written) = &turn.native.system {
        return std::iter::once(Some(BodyItem::Made(block(IDENTITY))))
            .chain(written_items(written))
            .collect();
    }
    let mut system: Vec<_> = std::iter::once(IDENTITY)
        .chain(turn.system.iter().map(String::as_str))
        .map(block)
        .collect();
    if let Some(last) = system.last_mut() {
        last.cache_control = mark;
    }
    Some(system.into_iter().map(BodyItem::Made).collect())
}

/// Returns the tools as the caller wrote them, or else those of the turn.
fn tools(
    turn: &Turn,
    mark: Option<EphemeralBreakpoint>,
) -> Option<Vec<BodyItem<'_, ToolBlock<'_>>>> {
    if let Some(written) = &turn.native.tools {
        return written_items(written).collect();
    }
    let built = tools::tools(&turn.tools, mark)?;
    Some(built.into_iter().map(BodyItem::Made).collect())
}

fn written_items<T>(items: &[String]) -> impl Iterator<Item = Option<BodyItem<'_, T>>> {
    items
        .iter()
        .map(|item| serde_json::from_str(item).ok().map(BodyItem::Written))
}

fn native(turn: &Turn) -> Option<BTreeMap<&str, &RawValue>> {
    let fields = turn.native.fields.iter();
    fields
        .map(|(name, value)| Some((name.as_str(), serde_json::from_str(value).ok()?)))
        .collect()
}

/// Returns the history and the prompt. Messages without content are left out, because upstream
/// rejects them; the prompt is empty if the model continues its last answer.
fn messages(turn: &Turn) -> Vec<MessageBody<'_>> {
    let body = |role, parts| MessageBody {
        role,
        content: blocks(parts),
    };
    let earlier = turn
        .history
        .iter()
        .map(|message| (message.role, message.parts.as_slice()));
    let messages = earlier
        .chain([(Role::User, turn.prompt.as_slice())])
        .flat_map(|(role, parts)| match role {
            Role::User => {
                let (content, instructions) = parts.split_at(instructions_at(parts));
                vec![body("user", content), body("system", instructions)]
            }
            Role::Assistant => vec![body("assistant", parts)],
        });
    messages
        .filter(|message| !message.content.is_empty())
        .collect()
}

/// Returns the index of the first instruction; instructions are the last parts of a message.
fn instructions_at(parts: &[Part]) -> usize {
    parts
        .iter()
        .position(|part| matches!(part, Part::Instruction(_)))
        .unwrap_or(parts.len())
}

fn thinking_field(turn: &Turn) -> Option<BodyThinking> {
    if turn.native.has_field("thinking") {
        return None;
    }
    let budget_tokens = turn.sampling.thinking_budget.filter(|_| may_think(turn))?;
    Some(BodyThinking {
        r#type: "enabled",
        budget_tokens,
    })
}

fn output_config(turn: &Turn) -> Option<OutputConfig> {
    let sampling = &turn.sampling;
    let Format::Schema(schema) = &sampling.format else {
        return None;
    };
    if turn.native.has_field("output_config") {
        return None;
    }
    let schema = RawValue::from_string(schema.json.clone()).ok()?;
    let effort = sampling.effort.and_then(effort_level);
    Some(OutputConfig {
        effort,
        format: SchemaFormat {
            r#type: "json_schema",
            schema,
        },
    })
}
