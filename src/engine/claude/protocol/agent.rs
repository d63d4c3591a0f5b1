//! Lines of a process that works with tools of its own.
//!
//! Such a process writes some lines a second at most, so they are read for clearness and not for speed.

use std::borrow::Cow;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;
use serde_json::value::RawValue;

use super::line::to_line;
use super::stream::{ApiUsage, StreamEvent, stream_event};

/// One line of an agent's standard output.
#[derive(Debug)]
pub enum AgentLine<'line> {
    /// A raw event of the Messages API's stream.
    Stream(StreamEvent<'line>),
    /// A line of another kind.
    Told(Told),
}

/// A line that holds no event of the stream.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Told {
    /// A block of the model's answer, whole.
    Assistant {
        /// The message that holds the block.
        message: AgentMessage,
        /// Set where the text is the CLI's own report of a failed call.
        #[serde(default)]
        error: Option<Value>,
        /// The id of the tool call that the block belongs to; none for the agent's own words.
        #[serde(default)]
        parent_tool_use_id: Option<String>,
    },
    /// Results of tools.
    User {
        /// The message that holds the results.
        message: AgentMessage,
        /// What the tool did, in a form of its own.
        #[serde(default)]
        tool_use_result: Value,
        /// The id of the tool call that the results belong to; none for the agent's own calls.
        #[serde(default)]
        parent_tool_use_id: Option<String>,
    },
    /// The CLI asks something.
    ControlRequest {
        /// The id of the question.
        request_id: String,
        /// The question.
        request: AgentRequest,
    },
    /// The CLI no longer asks something.
    ControlCancelRequest {
        /// The id of the question.
        request_id: String,
    },
    /// An answer to something that was asked of the CLI.
    ControlResponse {
        /// It.
        response: AgentResponse,
    },
    /// A status report of the process.
    System {
        /// `requesting` where it makes a call; null or anything else in other lines.
        #[serde(default)]
        status: Value,
    },
    /// The end of the run.
    Result(Box<AgentResult>),
    /// Any other line.
    #[serde(other)]
    Other,
}

/// A message of the conversation.
#[derive(Debug, Deserialize)]
pub struct AgentMessage {
    /// The blocks of the message, or a text.
    #[serde(default)]
    pub content: Value,
}

/// A question of the CLI.
#[derive(Debug, Deserialize)]
pub struct AgentRequest {
    /// `can_use_tool`, ...
    pub subtype: String,
    /// The name of the tool.
    #[serde(default)]
    pub tool_name: String,
    /// The id of the tool call.
    #[serde(default)]
    pub tool_use_id: String,
    /// The input of the tool call.
    #[serde(default)]
    pub input: Value,
    /// The reason for the question.
    #[serde(default)]
    pub decision_reason: Option<String>,
}

/// The CLI's answer to a control request.
#[derive(Debug, Deserialize)]
pub struct AgentResponse {
    /// The id of the request.
    #[serde(default)]
    pub request_id: String,
    /// The reason for a refusal.
    #[serde(default)]
    pub error: Option<String>,
}

/// The `result` line.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AgentResult {
    /// `success`, `error_max_turns`, ...
    pub subtype: String,
    /// Whether the run failed.
    pub is_error: bool,
    /// `completed`, `aborted_tools`, ...
    pub terminal_reason: Option<String>,
    /// The last words, or the report of a failed call.
    pub result: Option<String>,
    /// Reports of other failures.
    pub errors: Vec<String>,
    /// The status of the upstream answer that failed it.
    pub api_error_status: Option<u16>,
    /// US dollars that the conversation has cost since it began, in whichever processes.
    pub total_cost_usd: Option<f64>,
    /// Tokens of this process.
    pub usage: ApiUsage,
}

/// Reads one line.
///
/// # Errors
/// When it is no JSON object with a `type`, or a known type lacks what the server needs of it.
pub fn parse_agent(line: &[u8]) -> Result<AgentLine<'_>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Line<'line> {
        #[serde(borrow)]
        r#type: Cow<'line, str>,
        #[serde(default, borrow)]
        event: Option<&'line RawValue>,
        #[serde(default, borrow)]
        parent_tool_use_id: Option<Cow<'line, str>>,
    }
    let head: Line<'_> = serde_json::from_slice(line)?;
    match head.event.filter(|_| head.r#type == "stream_event") {
        Some(_) if head.parent_tool_use_id.is_some() => Ok(AgentLine::Told(Told::Other)),
        Some(event) => stream_event(event.get()).map(AgentLine::Stream),
        None => serde_json::from_slice(line).map(AgentLine::Told),
    }
}

/// The answer to a question about a tool.
#[derive(Debug, Serialize)]
#[serde(tag = "behavior", rename_all = "snake_case")]
pub enum Decision<'a> {
    /// The tool may be used.
    #[serde(rename_all = "camelCase")]
    Allow {
        /// The input that the tool gets.
        updated_input: &'a Value,
    },
    /// The tool may not be used.
    Deny {
        /// The reason that the model reads.
        message: &'a str,
    },
}

/// The line that answers the question called `request_id`.
pub fn decision_line(request_id: &str, decision: &Decision<'_>) -> Vec<u8> {
    to_line(&json!({
        "type": "control_response",
        "response": {"subtype": "success", "request_id": request_id, "response": decision},
    }))
}

/// The line that refuses the question called `request_id`.
pub fn refusal_line(request_id: &str) -> Vec<u8> {
    let error = "the server does not know this request";
    to_line(&json!({
        "type": "control_response",
        "response": {"subtype": "error", "request_id": request_id, "error": error},
    }))
}
