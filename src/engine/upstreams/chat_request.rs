//! Turn of a conversation as a chat request of an API like OpenAI's.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::domain::Effort;
use crate::domain::Format;
use crate::domain::MediaSource;
use crate::domain::Message;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::ToolChoice;
use crate::domain::ToolResult;
use crate::domain::Turn;

/// Maximum number of stop sequences that such APIs take.
const MAX_STOPS: usize = 4;

/// Part of a turn that a chat request cannot express.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a chat of another server cannot have {0}")]
pub struct InexpressiblePart(&'static str);

/// Checks that a chat request can express `turn`. Returns the names of parameters that it leaves out.
///
/// # Errors
/// Fails for a part of the conversation, or a tool, that it cannot express.
pub fn check_chat(turn: &Turn) -> Result<Vec<String>, InexpressiblePart> {
    if turn.tools.has_server_tools() {
        return Err(InexpressiblePart("tools that Anthropic runs"));
    }
    let native_tools = turn.native.tools.as_ref().map_or(0, Vec::len);
    if native_tools > turn.tools.list.len() {
        return Err(InexpressiblePart("tools of Anthropic's own"));
    }
    if turn.sampling.stop.len() > MAX_STOPS {
        return Err(InexpressiblePart("more than four stop sequences"));
    }
    let history = turn.history.iter().flat_map(|message| &message.parts);
    let mut has_thinking = false;
    for part in history.chain(&turn.prompt) {
        check_part(part)?;
        has_thinking |= matches!(part, Part::Thinking(_));
    }
    if turn.prompt.is_empty() {
        return Err(InexpressiblePart("an answer that was paused"));
    }
    let sampling = &turn.sampling;
    let asks_for_thinking = !matches!(
        sampling.effort,
        None | Some(Effort::None | Effort::NotRequested)
    );
    let left_out = [
        ("top_k", sampling.top_k.is_some()),
        (
            "thinking",
            has_thinking || asks_for_thinking || sampling.thinking_budget.is_some(),
        ),
    ];
    let left_out = left_out.iter().filter(|(_, is_set)| *is_set);
    let native = turn.native.fields.iter().map(|(name, _)| name.as_str());
    let names = left_out.map(|(name, _)| *name).chain(native);
    Ok(names.map(str::to_owned).collect())
}

/// Writes `turn` as the body of a streamed chat request to `model`, which reports its usage. What
/// [`check_chat`] refuses is left out.
pub fn encode_chat(turn: &Turn, model: &str) -> String {
    let mut body = Map::new();
    let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
    set("model", model.into());
    set("messages", Value::Array(messages(turn)));
    set("stream", true.into());
    set("stream_options", json!({"include_usage": true}));
    let sampling = &turn.sampling;
    let numbers = [
        (
            "max_completion_tokens",
            sampling.max_output_tokens.map(Value::from),
        ),
        ("temperature", sampling.temperature.map(Value::from)),
        ("top_p", sampling.top_p.map(Value::from)),
        ("seed", sampling.seed.map(Value::from)),
    ];
    for (name, value) in numbers {
        if let Some(value) = value {
            set(name, value);
        }
    }
    if !sampling.stop.is_empty() {
        set("stop", json!(sampling.stop));
    }
    match &sampling.format {
        Format::Text => {}
        Format::JsonObject => {
            set("response_format", json!({"type": "json_object"}));
        }
        Format::Schema(schema) => {
            let of_answer = json!({
                "name": "answer",
                "schema": parsed(&schema.json),
                "strict": schema.is_strict,
            });
            let format = json!({"type": "json_schema", "json_schema": of_answer});
            set("response_format", format);
        }
    }
    let tools = &turn.tools;
    if !tools.list.is_empty() {
        let list = tools.list.iter().map(|tool| {
            let mut function = json!({"name": tool.name, "parameters": parsed(&tool.schema)});
            if let Some(description) = &tool.description {
                function["description"] = description.as_str().into();
            }
            if tool.strict {
                function["strict"] = true.into();
            }
            json!({"type": "function", "function": function})
        });
        set("tools", list.collect());
        let choice = match &tools.choice {
            ToolChoice::Auto => json!("auto"),
            ToolChoice::None => json!("none"),
            ToolChoice::Required => json!("required"),
            ToolChoice::Named(name) => json!({"type": "function", "function": {"name": name}}),
        };
        set("tool_choice", choice);
        if !tools.parallel {
            set("parallel_tool_calls", false.into());
        }
    }
    Value::Object(body).to_string()
}

fn check_part(part: &Part) -> Result<(), InexpressiblePart> {
    match part {
        Part::Text(_)
        | Part::Instruction(_)
        | Part::Thinking(_)
        | Part::ToolUse(_)
        | Part::CacheBreakpoint(_)
        | Part::Image(MediaSource::Base64 { .. } | MediaSource::Url(_)) => Ok(()),
        Part::Image(MediaSource::Upload { .. }) | Part::Document { .. } => {
            Err(InexpressiblePart("documents"))
        }
        Part::ToolResult(result) => {
            let is_text = |part: &Part| matches!(part, Part::Text(_) | Part::CacheBreakpoint(_));
            if result.parts.iter().all(is_text) {
                Ok(())
            } else {
                Err(InexpressiblePart("results of tools that are no texts"))
            }
        }
        Part::Native(_) => Err(InexpressiblePart("blocks of Anthropic's own")),
        Part::Continue => Err(InexpressiblePart("the beginning of its answer")),
    }
}

/// Returns the messages of the request: instructions, the conversation, and the prompt.
fn messages(turn: &Turn) -> Vec<Value> {
    let mut messages: Vec<Value> = turn
        .system
        .iter()
        .map(|text| json!({"role": "system", "content": text}))
        .collect();
    for Message { role, parts } in &turn.history {
        match role {
            Role::User => add_user_messages(&mut messages, parts),
            Role::Assistant => messages.push(assistant_message(parts)),
        }
    }
    add_user_messages(&mut messages, &turn.prompt);
    messages
}

/// Adds what the caller has sent in one message: results of tools are messages of their own, and so is
/// an instruction.
fn add_user_messages(messages: &mut Vec<Value>, parts: &[Part]) {
    let mut content: Vec<Value> = Vec::new();
    let finish = |content: &mut Vec<Value>, messages: &mut Vec<Value>| {
        if !content.is_empty() {
            let content = std::mem::take(content);
            messages.push(json!({"role": "user", "content": content}));
        }
    };
    for part in parts {
        match part {
            Part::Text(text) => content.push(json!({"type": "text", "text": text})),
            Part::Image(MediaSource::Base64 { media_type, data }) => {
                let url = format!("data:{media_type};base64,{data}");
                content.push(json!({"type": "image_url", "image_url": {"url": url}}));
            }
            Part::Image(MediaSource::Url(url)) => {
                content.push(json!({"type": "image_url", "image_url": {"url": url}}));
            }
            Part::Instruction(text) => {
                finish(&mut content, messages);
                messages.push(json!({"role": "system", "content": text}));
            }
            Part::ToolResult(result) => {
                finish(&mut content, messages);
                messages.push(tool_message(result));
            }
            _ => {}
        }
    }
    finish(&mut content, messages);
}

fn tool_message(result: &ToolResult) -> Value {
    let texts = result.parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(text.as_str()),
        _ => None,
    });
    let content = texts.collect::<Vec<_>>().join("\n");
    json!({"role": "tool", "tool_call_id": result.id, "content": content})
}

/// Returns an earlier answer. The model's thinking is its own, and is left out.
fn assistant_message(parts: &[Part]) -> Value {
    let mut text = String::new();
    let mut calls: Vec<Value> = Vec::new();
    for part in parts {
        match part {
            Part::Text(piece) => text.push_str(piece),
            Part::ToolUse(call) => {
                let arguments = if call.input.is_empty() {
                    "{}"
                } else {
                    &call.input
                };
                let function = json!({"name": call.name, "arguments": arguments});
                calls.push(json!({"id": call.id, "type": "function", "function": function}));
            }
            _ => {}
        }
    }
    let content = if text.is_empty() && !calls.is_empty() {
        Value::Null
    } else {
        Value::from(text)
    };
    let mut message = json!({"role": "assistant", "content": content});
    if !calls.is_empty() {
        message["tool_calls"] = Value::Array(calls);
    }
    message
}

/// Parses a JSON object of a turn, which was checked when it was decoded.
fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_default()
}

#[cfg(test)]
#[path = "chat_request_tests.rs"]
mod tests;
