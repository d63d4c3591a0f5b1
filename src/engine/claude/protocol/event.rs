//! Lines that the CLI writes. Only fields that the server reads are declared; the rest of a line is
//! skipped.
//!
//! A line is parsed to one flat structure, and its payload only if the type requires it. This
//! avoids the copy that a tagged enum would make of every line.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::plan_windows::parse_plan_windows;
use super::stream::{StreamEvent, stream_event};
use crate::domain::PlanWindow;

/// Line of the CLI's standard output.
#[derive(Debug)]
pub enum CliEvent<'line> {
    /// Event of the Messages API's stream.
    Stream(StreamEvent<'line>),
    /// The CLI's own report of a failed call, which must never be taken for the model's text.
    CallFailed(CallFailed),
    /// End of a run.
    Result(ResultLine),
    /// Response to a control request.
    Control(ControlResponse<'line>),
    /// State of a line that was sent with a `uuid`.
    Lifecycle(Cow<'line, str>, LineLifecycle),
    /// Start of a call upstream.
    Call,
    /// Failed call that the CLI will retry.
    ApiRetry(ApiRetry),
    /// State of the subscription's limit. Written when it changes, and for subscriptions only.
    Limit(LimitReport),
    /// Any other line.
    Other,
}

/// Report of the CLI about a failed call.
#[derive(Debug, PartialEq, Eq)]
pub struct CallFailed {
    /// Error word of the CLI: `rate_limit`, `authentication_failed`, `overloaded`, ...
    pub kind: String,
    /// Text of the report.
    pub text: String,
}

/// Failed call that the CLI will retry.
#[derive(Debug, PartialEq, Eq)]
pub struct ApiRetry {
    /// Report about the failed call.
    pub call: CallFailed,
    /// Status of the upstream response that failed it.
    pub status: Option<u16>,
    /// Delay before the retry, which upstream may have asked for.
    pub delay: Option<Duration>,
    /// Set if the retries allowed to the process are used up.
    pub exceeds_limit: bool,
}

/// Line of the type `result`, which ends a run.
#[derive(Debug, PartialEq)]
pub struct ResultLine {
    /// Outcome of the run: `success`, `error_during_execution`, ...
    pub subtype: String,
    /// Set if the run failed.
    pub is_error: bool,
    /// Status of the upstream response that failed the run.
    pub api_error_status: Option<u16>,
    /// Report of the failure; empty if the run did not fail.
    pub report: String,
    /// Cost of the process since its start, in US dollars.
    pub total_cost_usd: Option<f64>,
}

/// State of the subscription's most relevant limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LimitReport {
    /// Set if calls are refused; not set by a warning.
    pub is_reached: bool,
    /// Unix time in seconds at which the limit is lifted.
    pub resets_at: Option<u64>,
    /// Windows of the plan whose use is known.
    pub windows: Vec<PlanWindow>,
}

/// Response to a control request.
#[derive(Debug, Deserialize)]
pub struct ControlResponse<'line> {
    /// Id of the request.
    #[serde(borrow)]
    pub request_id: Cow<'line, str>,
    /// Payload of a successful response.
    #[serde(default, borrow)]
    pub response: Option<&'line RawValue>,
    /// Error text if the request was refused.
    #[serde(default, borrow)]
    pub error: Option<Cow<'line, str>>,
}

/// State of a line that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineLifecycle {
    /// The run of the line has begun. An earlier interrupt has no effect on it.
    Started,
    /// The line is in the transcript, or answered.
    Completed,
    /// The run of the line was interrupted or failed.
    Cancelled,
    /// Any other state, in which the line is still being processed.
    Other,
}

#[derive(Deserialize)]
struct CliLine<'line> {
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
    #[serde(default)]
    total_cost_usd: Option<f64>,
    #[serde(default)]
    attempt: Option<u32>,
    #[serde(default)]
    max_retries: Option<u32>,
    #[serde(default, borrow)]
    retry_delay_ms: Option<&'line RawValue>,
    #[serde(default, borrow)]
    error_status: Option<&'line RawValue>,
    #[serde(default, borrow)]
    rate_limit_info: Option<&'line RawValue>,
}

#[derive(Deserialize)]
struct CallReport {
    #[serde(default)]
    content: Vec<CallReportBlock>,
}

#[derive(Deserialize)]
struct CallReportBlock {
    #[serde(default)]
    text: String,
}

/// Parses one line.
///
/// # Errors
/// Fails if the line is not a JSON object with a `type`, or lacks a required field of its type.
pub fn parse(line: &[u8]) -> Result<CliEvent<'_>, serde_json::Error> {
    parse_with_session(line).map(|(_, event)| event)
}

/// Parses one line, and the JSON of its session id; responses to control requests have none.
///
/// # Errors
/// As for [`parse`].
pub fn parse_with_session(line: &[u8]) -> Result<(Option<&str>, CliEvent<'_>), serde_json::Error> {
    if line.starts_with(CALL_PREFIX) {
        return Ok((None, CliEvent::Call));
    }
    if is_ignored_line(line) {
        return Ok((None, CliEvent::Other));
    }
    let line: CliLine<'_> = serde_json::from_slice(line)?;
    Ok((line.session_id.map(RawValue::get), event(line)?))
}

/// Beginning of the line by which the CLI reports a call upstream.
const CALL_PREFIX: &[u8] = br#"{"type":"system","subtype":"status","status":"requesting","#;

/// True if the first bytes of a line show that its type is ignored. These are the longest lines of
/// a turn, and parsing them took a tenth of the CPU time of a request.
fn is_ignored_line(line: &[u8]) -> bool {
    const IGNORED_PREFIXES: [&[u8]; 3] = [
        br#"{"type":"system","subtype":"init","#,
        br#"{"type":"system","subtype":"status","#,
        br#"{"type":"user","#,
    ];
    IGNORED_PREFIXES.iter().any(|head| line.starts_with(head))
        || (line.starts_with(br#"{"type":"assistant","#)
            && memchr::memmem::find(line, br#""error":"#).is_none())
}

fn event(line: CliLine<'_>) -> Result<CliEvent<'_>, serde_json::Error> {
    Ok(match &*line.r#type {
        "stream_event" => match line.event {
            // Events of a tool's own run are not part of the answer.
            Some(event) if is_null(line.parent_tool_use_id) => {
                CliEvent::Stream(stream_event(event.get())?)
            }
            _ => CliEvent::Other,
        },
        "control_response" => match line.response {
            Some(response) => CliEvent::Control(serde_json::from_str(response.get())?),
            None => CliEvent::Other,
        },
        "command_lifecycle" => match line.command_uuid {
            Some(uuid) => CliEvent::Lifecycle(uuid, lifecycle(line.state)),
            None => CliEvent::Other,
        },
        "assistant" => match text_of(line.error) {
            Some(kind) => CliEvent::CallFailed(CallFailed {
                kind,
                text: report_text(line.message),
            }),
            None => CliEvent::Other,
        },
        "result" => CliEvent::Result(ResultLine {
            subtype: line.subtype.map(Cow::into_owned).unwrap_or_default(),
            is_error: line.is_error.unwrap_or(false),
            api_error_status: line.api_error_status,
            total_cost_usd: line.total_cost_usd,
            report: if line.is_error == Some(true) {
                text_of(line.result).unwrap_or_default()
            } else {
                String::new()
            },
        }),
        "system" if line.subtype.as_deref() == Some("api_retry") => CliEvent::ApiRetry(ApiRetry {
            call: CallFailed {
                kind: text_of(line.error).unwrap_or_default(),
                text: String::new(),
            },
            status: line
                .error_status
                .and_then(|status| serde_json::from_str(status.get()).ok()),
            delay: milliseconds(line.retry_delay_ms),
            // The CLI retries a rate limit or an overload without end, see
            // `CLAUDE_CODE_RETRY_WATCHDOG`.
            exceeds_limit: line
                .attempt
                .zip(line.max_retries)
                .is_some_and(|(attempt, max_retries)| attempt > max_retries),
        }),
        "rate_limit_event" => CliEvent::Limit(limit_report(line.rate_limit_info)),
        _ => CliEvent::Other,
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

/// Parses the state of a limit. An unknown form counts as no limit.
fn limit_report(info: Option<&RawValue>) -> LimitReport {
    let info = info.and_then(|info| serde_json::from_str::<serde_json::Value>(info.get()).ok());
    info.map_or_else(LimitReport::default, |info| LimitReport {
        is_reached: info["status"] == "rejected",
        resets_at: info["resetsAt"].as_u64(),
        windows: parse_plan_windows(&info),
    })
}

fn lifecycle(state: Option<&RawValue>) -> LineLifecycle {
    match state.map(RawValue::get) {
        Some("\"started\"") => LineLifecycle::Started,
        Some("\"completed\"") => LineLifecycle::Completed,
        Some("\"cancelled\"") => LineLifecycle::Cancelled,
        _ => LineLifecycle::Other,
    }
}

fn report_text(message: Option<&RawValue>) -> String {
    let report: Option<CallReport> =
        message.and_then(|message| serde_json::from_str(message.get()).ok());
    report
        .map(|report| report.content.into_iter().map(|block| block.text).collect())
        .unwrap_or_default()
}
