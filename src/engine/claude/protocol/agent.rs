//! Output lines of an agent process.
//!
//! An agent writes at most a few lines a second, so parsing favours clarity over speed.

use std::borrow::Cow;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;
use serde_json::value::RawValue;

use super::line::to_line;
use super::stream::{ApiUsage, StreamEvent, stream_event};

/// Line of an agent's standard output.
#[derive(Debug)]
pub enum AgentLine<'line> {
    /// Event of the Messages API's stream.
    Stream(StreamEvent<'line>),
    /// Line of any other kind.
    Plain(PlainAgentLine),
}

/// Line of an agent that is not a stream event.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PlainAgentLine {
    /// Complete block of the model's answer.
    Assistant {
        /// Message that contains the block.
        message: AgentMessage,
        /// Set if the text is the CLI's own report of a failed call.
        #[serde(default)]
        error: Option<Value>,
        /// Id of the tool call that the block belongs to; `None` for the agent's own text.
        #[serde(default)]
        parent_tool_use_id: Option<String>,
    },
    /// Results of tools.
    User {
        /// Message that contains the results.
        message: AgentMessage,
        /// Structured result of the tool.
        #[serde(default)]
        tool_use_result: Value,
        /// Id of the tool call that the results belong to; `None` for the agent's own calls.
        #[serde(default)]
        parent_tool_use_id: Option<String>,
    },
    /// Control request of the CLI to the server.
    ControlRequest {
        /// Id of the request.
        request_id: String,
        /// Payload of the request.
        request: AgentControlRequest,
    },
    /// Withdrawal of a control request.
    ControlCancelRequest {
        /// Id of the request.
        request_id: String,
    },
    /// Response to a control request of the server.
    ControlResponse {
        /// Payload of the response.
        response: AgentControlResponse,
    },
    /// Status report of the process.
    System {
        /// `requesting` when it makes a call; null or anything else in other lines.
        #[serde(default)]
        status: Value,
    },
    /// End of the run.
    Result(Box<AgentResultLine>),
    /// Any other line.
    #[serde(other)]
    Other,
}

/// Message of the conversation.
#[derive(Debug, Deserialize)]
pub struct AgentMessage {
    /// Blocks of the message, or a text.
    #[serde(default)]
    pub content: Value,
}

/// Control request of the CLI.
#[derive(Debug, Deserialize)]
pub struct AgentControlRequest {
    /// Kind of the request: `can_use_tool`, ...
    pub subtype: String,
    /// Name of the tool.
    #[serde(default)]
    pub tool_name: String,
    /// Id of the tool call.
    #[serde(default)]
    pub tool_use_id: String,
    /// Input of the tool call.
    #[serde(default)]
    pub input: Value,
    /// Reason why permission is requested.
    #[serde(default)]
    pub decision_reason: Option<String>,
}

/// Response of the CLI to a control request.
#[derive(Debug, Deserialize)]
pub struct AgentControlResponse {
    /// Id of the request.
    #[serde(default)]
    pub request_id: String,
    /// Error text if the request was refused.
    #[serde(default)]
    pub error: Option<String>,
}

/// Line of the type `result`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AgentResultLine {
    /// Outcome of the run: `success`, `error_max_turns`, ...
    pub subtype: String,
    /// Set if the run failed.
    pub is_error: bool,
    /// Reason of the end: `completed`, `aborted_tools`, ...
    pub terminal_reason: Option<String>,
    /// Final text, or the report of a failed call.
    pub result: Option<String>,
    /// Messages of other failures.
    pub errors: Vec<String>,
    /// Status of the upstream response that failed the run.
    pub api_error_status: Option<u16>,
    /// Cost of the conversation since it began, in US dollars, across processes.
    pub total_cost_usd: Option<f64>,
    /// Tokens of this process.
    pub usage: ApiUsage,
}

/// Parses one line.
///
/// # Errors
/// Fails if it is not a JSON object with a `type`, or lacks a required field of its type.
pub fn parse_agent(line: &[u8]) -> Result<AgentLine<'_>, serde_json::Error> {
    #[derive(Deserialize)]
    struct AgentLineHead<'line> {
        #[serde(borrow)]
        r#type: Cow<'line, str>,
        #[serde(default, borrow)]
        event: Option<&'line RawValue>,
        #[serde(default, borrow)]
        parent_tool_use_id: Option<Cow<'line, str>>,
    }
    let head: AgentLineHead<'_> = serde_json::from_slice(line)?;
    match head.event.filter(|_| head.r#type == "stream_event") {
        Some(_) if head.parent_tool_use_id.is_some() => Ok(AgentLine::Plain(PlainAgentLine::Other)),
        Some(event) => stream_event(event.get()).map(AgentLine::Stream),
        None => serde_json::from_slice(line).map(AgentLine::Plain),
    }
}

/// Response to a permission request for a tool.
#[derive(Debug, Serialize)]
#[serde(tag = "behavior", rename_all = "snake_case")]
pub enum PermissionResponse<'a> {
    /// Permission granted.
    #[serde(rename_all = "camelCase")]
    Allow {
        /// Input that the tool gets.
        updated_input: &'a Value,
    },
    /// Permission denied.
    Deny {
        /// Reason that the model reads.
        message: &'a str,
    },
}

/// Returns the line that answers the permission request `request_id`.
pub fn permission_line(request_id: &str, decision: &PermissionResponse<'_>) -> Vec<u8> {
    to_line(&json!({
        "type": "control_response",
        "response": {"subtype": "success", "request_id": request_id, "response": decision},
    }))
}

/// Returns the line that rejects the unsupported control request `request_id`.
pub fn refusal_line(request_id: &str) -> Vec<u8> {
    let error = "the server does not support this request";
    to_line(&json!({
        "type": "control_response",
        "response": {"subtype": "error", "request_id": request_id, "error": error},
    }))
}
