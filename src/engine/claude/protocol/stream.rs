//! Events of the Messages API's stream, as the CLI passes them on.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::NativeFields;
use crate::domain::Usage;

/// Event of the Messages API's stream.
#[derive(Debug)]
pub enum StreamEvent<'line> {
    /// The call was accepted.
    MessageStart {
        /// Id of the model that answers.
        model: Cow<'line, str>,
        /// Token counts of the prompt.
        usage: ApiUsage,
        /// Other fields of the message.
        native: NativeFields,
    },
    /// Start of a text block.
    TextStart,
    /// Piece of text.
    Text(Cow<'line, str>),
    /// Piece of thinking.
    Thinking(Cow<'line, str>),
    /// Signature of the thinking before it.
    Signature(Cow<'line, str>),
    /// Encrypted thinking that only upstream can read.
    Redacted(Cow<'line, str>),
    /// Start of a tool call.
    ToolUse {
        /// Id of the call.
        id: Cow<'line, str>,
        /// Name of the tool.
        name: Cow<'line, str>,
        /// Originator of the call as JSON, if given.
        caller: Option<&'line RawValue>,
    },
    /// Piece of the input of the call begun last.
    Input(Cow<'line, str>),
    /// Start of any other block, as JSON.
    ServerBlock(&'line RawValue),
    /// Any other delta, as JSON.
    OtherDelta(&'line RawValue),
    /// End of a block.
    BlockEnd,
    /// End of the message.
    MessageDelta {
        /// Stop reason: `end_turn`, `max_tokens`, `stop_sequence`, `tool_use`, `refusal`, ...
        stop_reason: Option<Cow<'line, str>>,
        /// Stop sequence that ended the message.
        stop_sequence: Option<Cow<'line, str>>,
        /// Token counts of the whole message.
        usage: ApiUsage,
        /// Other fields of the message.
        native: NativeFields,
    },
    /// Any other event.
    Other,
}

/// Token counts of the Messages API. A count that is missing or not a whole number is read as
/// `None`.
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
    /// Tokens of the answer by purpose.
    pub output_tokens_details: Option<CliOutputDetails>,
    /// Number of uses of server tools.
    pub server_tool_use: Option<CliServerToolUse>,
}

/// Number of uses of each server tool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CliServerToolUse {
    /// Number of web searches.
    #[serde(deserialize_with = "count")]
    pub web_search_requests: Option<u64>,
}

/// Tokens of the answer by purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CliOutputDetails {
    /// Tokens spent on thinking.
    #[serde(deserialize_with = "count")]
    pub thinking_tokens: Option<u64>,
}

impl ApiUsage {
    /// Overwrites the counts in `usage` that are present here. The counts of a `message_delta`
    /// cover the whole message, so they replace earlier ones.
    pub fn merge_into(&self, usage: &mut Usage) {
        let pairs = [
            (&mut usage.input_tokens, self.input_tokens),
            (
                &mut usage.cache_write_tokens,
                self.cache_creation_input_tokens,
            ),
            (&mut usage.cache_read_tokens, self.cache_read_input_tokens),
            (&mut usage.output_tokens, self.output_tokens),
            (
                &mut usage.thinking_tokens,
                self.output_tokens_details
                    .and_then(|details| details.thinking_tokens),
            ),
            (
                &mut usage.web_searches,
                self.server_tool_use
                    .and_then(|used| used.web_search_requests),
            ),
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
    message: Option<RawFields<'line>>,
    #[serde(default, borrow)]
    content_block: Option<&'line RawValue>,
    #[serde(default, borrow)]
    delta: Option<&'line RawValue>,
    #[serde(default, borrow)]
    usage: Option<&'line RawValue>,
}

type RawFields<'line> = BTreeMap<Cow<'line, str>, &'line RawValue>;

/// Fields of a message, including its end, that the server writes itself.
const KNOWN_MESSAGE_FIELDS: &[&str] = &[
    "id",
    "type",
    "role",
    "model",
    "content",
    "stop_reason",
    "stop_sequence",
    "usage",
];

/// Fields of the usage that the server writes itself.
const KNOWN_USAGE_FIELDS: &[&str] = &[
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
    "output_tokens_details",
];

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
    #[serde(default, borrow)]
    caller: Option<&'line RawValue>,
}

#[derive(Deserialize)]
struct CliDelta<'line> {
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
}

#[derive(Deserialize)]
struct MessageEnd<'line> {
    #[serde(default, borrow)]
    stop_reason: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    stop_sequence: Option<Cow<'line, str>>,
}

/// Parses an event.
///
/// # Errors
/// Fails if it has no type, or lacks a required field of its type.
pub(super) fn stream_event(line: &str) -> Result<StreamEvent<'_>, serde_json::Error> {
    let event: StreamLine<'_> = serde_json::from_str(line)?;
    Ok(
        match (
            &*event.r#type,
            event.message,
            event.delta,
            event.content_block,
        ) {
            ("message_start", Some(message), ..) => message_start(&message)?,
            ("content_block_delta", _, Some(delta), _) => block_delta(delta)?,
            ("content_block_start", .., Some(block)) => block_start(block)?,
            ("content_block_stop", ..) => StreamEvent::BlockEnd,
            ("message_delta", _, Some(delta), _) => message_delta(line, delta, event.usage)?,
            _ => StreamEvent::Other,
        },
    )
}

fn message_start<'line>(
    message: &RawFields<'line>,
) -> Result<StreamEvent<'line>, serde_json::Error> {
    let field = |name: &str| message.get(name).map_or("null", |json| json.get());
    let usage = message.get("usage").copied();
    Ok(StreamEvent::MessageStart {
        model: serde_json::from_str(field("model"))?,
        usage: usage_of(usage)?,
        native: NativeFields {
            message: unknown_fields(message, KNOWN_MESSAGE_FIELDS),
            usage: other_usage(usage)?,
            ..NativeFields::default()
        },
    })
}

/// Reads the end of the message in the event `line`.
fn message_delta<'line>(
    line: &'line str,
    delta: &'line RawValue,
    usage: Option<&'line RawValue>,
) -> Result<StreamEvent<'line>, serde_json::Error> {
    let MessageEnd {
        stop_reason,
        stop_sequence,
    } = serde_json::from_str(delta.get())?;
    let native = NativeFields {
        message: unknown_fields(&serde_json::from_str(delta.get())?, KNOWN_MESSAGE_FIELDS),
        beside: unknown_fields(&serde_json::from_str(line)?, &["type", "delta", "usage"]),
        usage: other_usage(usage)?,
        stop_reason: None,
    };
    Ok(StreamEvent::MessageDelta {
        stop_reason,
        stop_sequence,
        usage: usage_of(usage)?,
        native,
    })
}

fn usage_of(usage: Option<&RawValue>) -> Result<ApiUsage, serde_json::Error> {
    usage.map_or(Ok(ApiUsage::default()), |usage| {
        serde_json::from_str(usage.get())
    })
}

fn other_usage(usage: Option<&RawValue>) -> Result<Vec<(String, String)>, serde_json::Error> {
    let fields: RawFields<'_> = usage.map_or(Ok(RawFields::new()), |usage| {
        serde_json::from_str(usage.get())
    })?;
    Ok(unknown_fields(&fields, KNOWN_USAGE_FIELDS))
}

/// Returns the fields that are not `known`.
fn unknown_fields(fields: &RawFields<'_>, known: &[&str]) -> Vec<(String, String)> {
    let others = fields.iter().filter(|(name, _)| !known.contains(&&***name));
    others
        .map(|(name, value)| (name.to_string(), value.get().to_owned()))
        .collect()
}

fn block_delta(json: &RawValue) -> Result<StreamEvent<'_>, serde_json::Error> {
    let delta: CliDelta<'_> = serde_json::from_str(json.get())?;
    let event = match delta.r#type.as_deref().unwrap_or_default() {
        "text_delta" => delta.text.map(StreamEvent::Text),
        "thinking_delta" => delta.thinking.map(StreamEvent::Thinking),
        "signature_delta" => delta.signature.map(StreamEvent::Signature),
        "input_json_delta" => delta.partial_json.map(StreamEvent::Input),
        _ => None,
    };
    Ok(event.unwrap_or(StreamEvent::OtherDelta(json)))
}

fn block_start(json: &RawValue) -> Result<StreamEvent<'_>, serde_json::Error> {
    let block: StartedBlock<'_> = serde_json::from_str(json.get())?;
    Ok(match (&*block.r#type, block.id, block.name, block.data) {
        ("tool_use", Some(id), Some(name), _) => StreamEvent::ToolUse {
            id,
            name,
            caller: block.caller,
        },
        ("redacted_thinking", .., Some(data)) => StreamEvent::Redacted(data),
        ("text", ..) => StreamEvent::TextStart,
        ("thinking", ..) => StreamEvent::Other,
        _ => StreamEvent::ServerBlock(json),
    })
}
