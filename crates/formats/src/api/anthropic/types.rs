//! Wire format of answers, with the fields in Anthropic's order.

use serde::Serialize;
use serde::Serializer;
use serde::ser::SerializeMap as _;
use serde_json::value::RawValue;

use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::NativeFields;
use crate::domain::Usage;

/// Identity of an answer, common to all its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageHead {
    /// Id of the message: `msg_` and 32 random hexadecimal digits.
    pub id: String,
    /// Name of the model, as the client wrote it.
    pub model: String,
}

impl MessageHead {
    /// Creates a reply with a new id, from the model that the client called `model`.
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            id: format!("msg_{}", uuid::Uuid::new_v4().simple()),
            model: model.into(),
        }
    }

    /// Builds the complete message with `content` and the native fields of the answer.
    pub(super) fn message<'a>(
        &'a self,
        content: &'a [AnthropicBlock],
        finish: &'a Finish,
        native: &'a NativeFields,
    ) -> AnthropicMessage<'a> {
        self.build_message(content, Some(finish), &finish.usage, native)
    }

    /// Builds the start of the message, with the tokens known so far.
    pub(super) fn started_message<'a>(
        &'a self,
        usage: &Usage,
        native: &'a NativeFields,
    ) -> AnthropicMessage<'a> {
        self.build_message(&[], None, usage, native)
    }

    fn build_message<'a>(
        &'a self,
        content: &'a [AnthropicBlock],
        finish: Option<&'a Finish>,
        usage: &Usage,
        native: &'a NativeFields,
    ) -> AnthropicMessage<'a> {
        AnthropicMessage {
            id: &self.id,
            r#type: "message",
            role: "assistant",
            model: &self.model,
            content,
            end: MessageStop::from_finish(finish),
            usage: MessageUsage::new(usage, native),
            native: &native.message,
            beside: &native.beside,
        }
    }
}

#[derive(Serialize)]
pub(super) struct AnthropicMessage<'a> {
    id: &'a str,
    r#type: &'static str,
    role: &'static str,
    model: &'a str,
    content: &'a [AnthropicBlock],
    #[serde(flatten)]
    end: MessageStop<'a>,
    usage: MessageUsage<'a>,
    #[serde(flatten, serialize_with = "as_fields")]
    native: &'a [(String, String)],
    #[serde(flatten, serialize_with = "as_fields")]
    beside: &'a [(String, String)],
}

/// Serializes fields whose values are JSON text already.
pub(super) fn as_fields<S: Serializer>(
    fields: &[(String, String)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(fields.len()))?;
    for (name, value) in fields {
        if let Ok(value) = serde_json::from_str::<&RawValue>(value) {
            map.serialize_entry(name, value)?;
        }
    }
    map.end()
}

/// Content block of an answer.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum AnthropicBlock {
    Thinking {
        thinking: String,
        signature: String,
    },
    RedactedThinking {
        data: String,
    },
    Text {
        text: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        citations: Vec<Box<RawValue>>,
    },
    ToolUse {
        id: String,
        name: String,
        #[serde(serialize_with = "as_object")]
        input: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        caller: Option<Box<RawValue>>,
    },
    /// Block that only Anthropic's API has, as it was received.
    #[serde(untagged)]
    Server(Box<RawValue>),
}

impl AnthropicBlock {
    /// Creates a call without its input.
    pub(super) fn call(id: String, name: String, caller: Option<String>) -> Self {
        let caller = caller.and_then(|caller| RawValue::from_string(caller).ok());
        Self::ToolUse {
            id,
            name,
            input: String::new(),
            caller,
        }
    }
}

/// Serializes the input of a call, which is JSON text already. Empty or truncated input becomes
/// `{}`.
fn as_object<S: Serializer>(input: &str, serializer: S) -> Result<S::Ok, S::Error> {
    match serde_json::from_str::<&RawValue>(input) {
        Ok(input) => input.serialize(serializer),
        Err(_) => serializer.serialize_map(Some(0))?.end(),
    }
}

/// Stop reason and stop sequence of an answer; both null while it is running.
#[derive(Serialize)]
pub(super) struct MessageStop<'a> {
    stop_reason: Option<&'a str>,
    stop_sequence: Option<&'a str>,
}

impl<'a> MessageStop<'a> {
    pub(super) fn from_finish(finish: Option<&'a Finish>) -> Self {
        Self {
            stop_reason: finish.map(stop_reason),
            stop_sequence: finish.and_then(|finish| finish.stop_sequence.as_deref()),
        }
    }
}

fn stop_reason(finish: &Finish) -> &str {
    if let Some(reason) = &finish.native.stop_reason {
        return reason;
    }
    match finish.reason {
        FinishReason::Stop if finish.stop_sequence.is_some() => "stop_sequence",
        FinishReason::Stop => "end_turn",
        FinishReason::Length => "max_tokens",
        FinishReason::ToolCalls => "tool_use",
        FinishReason::ContentFilter => "refusal",
        FinishReason::Paused => "pause_turn",
    }
}

#[derive(Serialize)]
pub(super) struct MessageUsage<'a> {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    output_tokens: u64,
    output_tokens_details: AnthropicOutputDetails,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_tool_use: Option<AnthropicServerToolUse>,
    #[serde(flatten, serialize_with = "as_fields")]
    native: &'a [(String, String)],
}

#[derive(Serialize)]
struct AnthropicServerToolUse {
    web_search_requests: u64,
}

#[derive(Serialize)]
struct AnthropicOutputDetails {
    thinking_tokens: u64,
}

impl<'a> MessageUsage<'a> {
    pub(super) fn new(usage: &Usage, native: &'a NativeFields) -> Self {
        let has_native_count = native
            .usage
            .iter()
            .any(|(name, _)| name == "server_tool_use");
        Self {
            input_tokens: usage.input_tokens,
            cache_creation_input_tokens: usage.cache_write_tokens,
            cache_read_input_tokens: usage.cache_read_tokens,
            output_tokens: usage.output_tokens,
            output_tokens_details: AnthropicOutputDetails {
                thinking_tokens: usage.thinking_tokens,
            },
            server_tool_use: (usage.web_searches > 0 && !has_native_count).then_some(
                AnthropicServerToolUse {
                    web_search_requests: usage.web_searches,
                },
            ),
            native: &native.usage,
        }
    }
}
