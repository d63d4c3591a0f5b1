//! Events of the Messages API's stream, as the CLI passes them on.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::Usage;

/// An event of the Messages API's stream.
#[derive(Debug)]
pub enum StreamEvent<'line> {
    /// The call was accepted.
    MessageStart {
        /// The id of the model that answers.
        model: Cow<'line, str>,
        /// Counts of the prompt.
        usage: ApiUsage,
    },
    /// A text begins.
    TextStart,
    /// A piece of text.
    Text(Cow<'line, str>),
    /// A piece of thinking.
    Thinking(Cow<'line, str>),
    /// The seal of the thinking before it.
    Signature(Cow<'line, str>),
    /// Thinking that only upstream can read.
    Redacted(Cow<'line, str>),
    /// A call of a tool begins.
    ToolUse {
        /// The id of the call.
        id: Cow<'line, str>,
        /// The tool.
        name: Cow<'line, str>,
    },
    /// A piece of the input of the call begun last.
    Input(Cow<'line, str>),
    /// A block begins that is none of the above, as JSON.
    ServerBlock(&'line RawValue),
    /// A delta that is none of the above, as JSON.
    OtherDelta(&'line RawValue),
    /// The end of a block.
    BlockEnd,
    /// The end of the message.
    MessageDelta {
        /// `end_turn`, `max_tokens`, `stop_sequence`, `tool_use`, `refusal`, ...
        stop_reason: Option<Cow<'line, str>>,
        /// The stop text that ended it.
        stop_sequence: Option<Cow<'line, str>>,
        /// Counts of the whole message.
        usage: ApiUsage,
    },
    /// Any other event.
    Other,
}

/// Token counts as the Messages API gives them. A count that is missing or no whole number reads as `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ApiUsage {
    /// Prompt tokens outside the prompt cache.
    #[serde(deserialize_with = "count")]
    pub input_tokens: Option<u64>,
    /// Prompt tokens written to the cache.
    #[serde(deserialize_with = "count")]
    pub cache_creation_input_tokens: Option<u64>,
    /// Prompt tokens read from the cache.
    #[serde(deserialize_with = "count")]
    pub cache_read_input_tokens: Option<u64>,
    /// Tokens of the answer.
    #[serde(deserialize_with = "count")]
    pub output_tokens: Option<u64>,
    /// The answer's tokens by what they were for.
    pub output_tokens_details: Option<OutputDetails>,
    /// What tools that Anthropic runs were used for.
    pub server_tool_use: Option<ServerToolUse>,
}

/// How often tools were used that Anthropic runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ServerToolUse {
    /// Searches of the web.
    #[serde(deserialize_with = "count")]
    pub web_search_requests: Option<u64>,
}

/// The answer's tokens by what they were for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct OutputDetails {
    /// Tokens of thinking.
    #[serde(deserialize_with = "count")]
    pub thinking_tokens: Option<u64>,
}

impl ApiUsage {
    /// Sets in `usage` what is counted here. The counts of a `message_delta` are of the whole message: what it names replaces what
    /// was said before.
    pub fn count_into(&self, usage: &mut Usage) {
        let pairs = [
            (&mut usage.input_tokens, self.input_tokens),
            (&mut usage.cache_write_tokens, self.cache_creation_input_tokens),
            (&mut usage.cache_read_tokens, self.cache_read_input_tokens),
            (&mut usage.output_tokens, self.output_tokens),
            (
                &mut usage.thinking_tokens,
                self.output_tokens_details.and_then(|details| details.thinking_tokens),
            ),
            (&mut usage.web_searches, self.server_tool_use.and_then(|used| used.web_search_requests)),
        ];
        for (total, counted) in pairs {
            *total = counted.unwrap_or(*total);
        }
    }
}

fn count<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(serde_json::Value::deserialize(deserializer)?.as_u64())
}

#[derive(Deserialize)]
struct StreamLine<'line> {
    #[serde(borrow)]
    r#type: Cow<'line, str>,
    #[serde(default, borrow)]
    message: Option<StartedMessage<'line>>,
    #[serde(default, borrow)]
    content_block: Option<&'line RawValue>,
    #[serde(default, borrow)]
    delta: Option<&'line RawValue>,
    #[serde(default)]
    usage: Option<ApiUsage>,
}

#[derive(Deserialize)]
struct StartedMessage<'line> {
    #[serde(borrow)]
    model: Cow<'line, str>,
    #[serde(default)]
    usage: ApiUsage,
}

#[derive(Deserialize)]
struct StartedBlock<'line> {
    #[serde(borrow)]
    r#type: Cow<'line, str>,
    #[serde(default, borrow)]
    id: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    name: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    data: Option<Cow<'line, str>>,
}

#[derive(Deserialize)]
struct Delta<'line> {
    #[serde(default, borrow)]
    r#type: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    text: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    thinking: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    signature: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    partial_json: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    stop_reason: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    stop_sequence: Option<Cow<'line, str>>,
}

/// Reads an event.
///
/// # Errors
/// When it has no type, or lacks what the server needs of it.
pub(super) fn stream_event(event: &str) -> Result<StreamEvent<'_>, serde_json::Error> {
    let event: StreamLine<'_> = serde_json::from_str(event)?;
    Ok(match (&*event.r#type, event.message, event.delta, event.content_block) {
        ("message_start", Some(message), ..) => {
            StreamEvent::MessageStart { model: message.model, usage: message.usage }
        }
        ("content_block_delta", _, Some(delta), _) => content(delta)?,
        ("content_block_start", .., Some(block)) => begin(block)?,
        ("content_block_stop", ..) => StreamEvent::BlockEnd,
        ("message_delta", _, Some(delta), _) => {
            let delta: Delta<'_> = serde_json::from_str(delta.get())?;
            StreamEvent::MessageDelta {
                stop_reason: delta.stop_reason,
                stop_sequence: delta.stop_sequence,
                usage: event.usage.unwrap_or_default(),
            }
        }
        _ => StreamEvent::Other,
    })
}

fn content(json: &RawValue) -> Result<StreamEvent<'_>, serde_json::Error> {
    let delta: Delta<'_> = serde_json::from_str(json.get())?;
    let event = match delta.r#type.as_deref().unwrap_or_default() {
        "text_delta" => delta.text.map(StreamEvent::Text),
        "thinking_delta" => delta.thinking.map(StreamEvent::Thinking),
        "signature_delta" => delta.signature.map(StreamEvent::Signature),
        "input_json_delta" => delta.partial_json.map(StreamEvent::Input),
        _ => None,
    };
    Ok(event.unwrap_or(StreamEvent::OtherDelta(json)))
}

fn begin(json: &RawValue) -> Result<StreamEvent<'_>, serde_json::Error> {
    let block: StartedBlock<'_> = serde_json::from_str(json.get())?;
    Ok(match (&*block.r#type, block.id, block.name, block.data) {
        ("tool_use", Some(id), Some(name), _) => StreamEvent::ToolUse { id, name },
        ("redacted_thinking", .., Some(data)) => StreamEvent::Redacted(data),
        ("text", ..) => StreamEvent::TextStart,
        ("thinking", ..) => StreamEvent::Other,
        _ => StreamEvent::ServerBlock(json),
    })
}
