//! Lines the CLI writes. Only what the server reads is named; the rest of a line is passed over.
//!
//! A line is read into one flat structure and its payload only where the type calls for it, which spares the copy
//! that a tagged enum would make of every line.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

/// One line of the CLI's standard output.
#[derive(Debug)]
pub enum Event<'line> {
    /// A raw event of the Messages API's stream.
    Stream(StreamEvent<'line>),
    /// The CLI's own report of a failed call, which must never pass for the model's words.
    CallFailed(CallFailed),
    /// The end of a run.
    Result(ResultLine),
    /// The answer to a control request.
    Control(ControlAnswer<'line>),
    /// What became of a line that was sent with a `uuid`.
    Lifecycle(Cow<'line, str>, Lifecycle),
    /// The CLI tries a failed call again, after this time where it says so.
    ApiRetry(Option<Duration>),
    /// Any other line.
    Other,
}

/// An event of the Messages API's stream.
#[derive(Debug, PartialEq)]
pub enum StreamEvent<'line> {
    /// The call was accepted.
    MessageStart {
        /// The id of the model that answers.
        model: Cow<'line, str>,
        /// Counts of the prompt.
        usage: ApiUsage,
    },
    /// A piece of text.
    Text(Cow<'line, str>),
    /// A piece of thinking.
    Thinking(Cow<'line, str>),
    /// The end of the message.
    MessageDelta {
        /// `end_turn`, `max_tokens`, `stop_sequence`, `tool_use`, `refusal`, ...
        stop_reason: Option<Cow<'line, str>>,
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
}

/// The answer's tokens by what they were for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct OutputDetails {
    /// Tokens of thinking.
    #[serde(deserialize_with = "count")]
    pub thinking_tokens: Option<u64>,
}

fn count<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(serde_json::Value::deserialize(deserializer)?.as_u64())
}

/// The CLI's report of a failed call.
#[derive(Debug, PartialEq, Eq)]
pub struct CallFailed {
    /// `rate_limit`, `authentication_failed`, `overloaded`, ...
    pub kind: String,
    /// The report's text.
    pub text: String,
}

/// A `result` line: a run has ended.
#[derive(Debug, PartialEq, Eq)]
pub struct ResultLine {
    /// `success`, `error_during_execution`, ...
    pub subtype: String,
    /// Whether it failed.
    pub is_error: bool,
    /// The status of the upstream answer that failed it.
    pub api_error_status: Option<u16>,
    /// The report of the failure; empty when it did not fail.
    pub report: String,
}

/// The answer to a control request.
#[derive(Debug, Deserialize)]
pub struct ControlAnswer<'line> {
    /// The id of the request.
    #[serde(borrow)]
    pub request_id: Cow<'line, str>,
    /// What was asked for.
    #[serde(default, borrow)]
    pub response: Option<&'line RawValue>,
    /// Why it was refused.
    #[serde(default, borrow)]
    pub error: Option<Cow<'line, str>>,
}

/// How far a sent line has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// Its run has begun; before that an interrupt passes it by.
    Started,
    /// It is in the transcript, or answered.
    Completed,
    /// It was interrupted, or its run failed.
    Cancelled,
    /// Not at its end yet.
    Other,
}

#[derive(Deserialize)]
struct Line<'line> {
    #[serde(borrow)]
    r#type: Cow<'line, str>,
    #[serde(default, borrow)]
    session_id: Option<&'line RawValue>,
    #[serde(default, borrow)]
    subtype: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    event: Option<&'line RawValue>,
    #[serde(default, borrow)]
    parent_tool_use_id: Option<&'line RawValue>,
    #[serde(default, borrow)]
    response: Option<&'line RawValue>,
    #[serde(default, borrow)]
    command_uuid: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    state: Option<&'line RawValue>,
    #[serde(default, borrow)]
    message: Option<&'line RawValue>,
    #[serde(default, borrow)]
    error: Option<&'line RawValue>,
    #[serde(default, borrow)]
    result: Option<&'line RawValue>,
    #[serde(default)]
    is_error: Option<bool>,
    #[serde(default)]
    api_error_status: Option<u16>,
    #[serde(default, borrow)]
    retry_delay_ms: Option<&'line RawValue>,
}

#[derive(Deserialize)]
struct StreamLine<'line> {
    #[serde(borrow)]
    r#type: Cow<'line, str>,
    #[serde(default, borrow)]
    message: Option<StartedMessage<'line>>,
    #[serde(default, borrow)]
    delta: Option<Delta<'line>>,
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
struct Delta<'line> {
    #[serde(default, borrow)]
    r#type: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    text: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    thinking: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    stop_reason: Option<Cow<'line, str>>,
}

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    content: Vec<ReportBlock>,
}

#[derive(Deserialize)]
struct ReportBlock {
    #[serde(default)]
    text: String,
}

/// Reads one line.
///
/// # Errors
/// When the line is no JSON object with a `type`, or a known type lacks what the server needs of it.
pub fn parse(line: &[u8]) -> Result<Event<'_>, serde_json::Error> {
    parse_with_session(line).map(|(_, event)| event)
}

/// Reads one line and the session it belongs to, as it stands there; answers to control requests belong to none.
///
/// # Errors
/// As [`parse`].
pub fn parse_with_session(line: &[u8]) -> Result<(Option<&str>, Event<'_>), serde_json::Error> {
    if says_nothing(line) {
        return Ok((None, Event::Other));
    }
    let line: Line<'_> = serde_json::from_slice(line)?;
    Ok((line.session_id.map(RawValue::get), event(line)?))
}

/// Whether a line is of a kind that is passed over, told by its first bytes. These are the longest lines of a turn, and
/// reading them as JSON was a tenth of what a request costs; a line that begins otherwise is read as any other.
fn says_nothing(line: &[u8]) -> bool {
    const PASSED_OVER: [&[u8]; 3] = [
        br#"{"type":"system","subtype":"init","#,
        br#"{"type":"system","subtype":"status","#,
        br#"{"type":"user","#,
    ];
    PASSED_OVER.iter().any(|head| line.starts_with(head))
        || (line.starts_with(br#"{"type":"assistant","#)
            && memchr::memmem::find(line, br#""error":"#).is_none())
}

fn event(line: Line<'_>) -> Result<Event<'_>, serde_json::Error> {
    Ok(match &*line.r#type {
        "stream_event" => match line.event {
            // Events of a tool's own run are no part of the answer.
            Some(event) if is_null(line.parent_tool_use_id) => Event::Stream(stream_event(event.get())?),
            _ => Event::Other,
        },
        "control_response" => match line.response {
            Some(response) => Event::Control(serde_json::from_str(response.get())?),
            None => Event::Other,
        },
        "command_lifecycle" => match line.command_uuid {
            Some(uuid) => Event::Lifecycle(uuid, lifecycle(line.state)),
            None => Event::Other,
        },
        "assistant" => match text_of(line.error) {
            Some(kind) => Event::CallFailed(CallFailed { kind, text: report_text(line.message) }),
            None => Event::Other,
        },
        "result" => Event::Result(ResultLine {
            subtype: line.subtype.map(Cow::into_owned).unwrap_or_default(),
            is_error: line.is_error.unwrap_or(false),
            api_error_status: line.api_error_status,
            report: if line.is_error == Some(true) {
                text_of(line.result).unwrap_or_default()
            } else {
                String::new()
            },
        }),
        "system" if line.subtype.as_deref() == Some("api_retry") => {
            Event::ApiRetry(milliseconds(line.retry_delay_ms))
        }
        _ => Event::Other,
    })
}

fn stream_event(event: &str) -> Result<StreamEvent<'_>, serde_json::Error> {
    let event: StreamLine<'_> = serde_json::from_str(event)?;
    Ok(match (&*event.r#type, event.message, event.delta) {
        ("message_start", Some(message), _) => {
            StreamEvent::MessageStart { model: message.model, usage: message.usage }
        }
        ("content_block_delta", _, Some(Delta { r#type: Some(kind), text: Some(text), .. }))
            if kind == "text_delta" =>
        {
            StreamEvent::Text(text)
        }
        ("content_block_delta", _, Some(Delta { r#type: Some(kind), thinking: Some(thinking), .. }))
            if kind == "thinking_delta" =>
        {
            StreamEvent::Thinking(thinking)
        }
        ("message_delta", _, Some(delta)) => StreamEvent::MessageDelta {
            stop_reason: delta.stop_reason,
            usage: event.usage.unwrap_or_default(),
        },
        _ => StreamEvent::Other,
    })
}

fn is_null(value: Option<&RawValue>) -> bool {
    value.is_none_or(|value| value.get() == "null")
}

fn text_of(value: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(value?.get()).ok()
}

fn milliseconds(value: Option<&RawValue>) -> Option<Duration> {
    let milliseconds: f64 = serde_json::from_str(value?.get()).ok()?;
    Duration::try_from_secs_f64(milliseconds / 1000.0).ok()
}

fn lifecycle(state: Option<&RawValue>) -> Lifecycle {
    match state.map(RawValue::get) {
        Some("\"started\"") => Lifecycle::Started,
        Some("\"completed\"") => Lifecycle::Completed,
        Some("\"cancelled\"") => Lifecycle::Cancelled,
        _ => Lifecycle::Other,
    }
}

fn report_text(message: Option<&RawValue>) -> String {
    let report: Option<Report> = message.and_then(|message| serde_json::from_str(message.get()).ok());
    report.map(|report| report.content.into_iter().map(|block| block.text).collect()).unwrap_or_default()
}
