//! Lines of a process that works with tools of its own: what of them tells how far it has come.
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
        /// It.
        message: AgentMessage,
        /// Set where the text is the CLI's own report of a failed call.
        #[serde(default)]
        error: Option<Value>,
        /// The call of a tool that it belongs to; none for the agent's own words.
        #[serde(default)]
        parent_tool_use_id: Option<String>,
    },
    /// Results of tools.
    User {
        /// They.
        message: AgentMessage,
        /// What the tool did, in a form of its own.
        #[serde(default)]
        tool_use_result: Value,
        /// As above.
        #[serde(default)]
        parent_tool_use_id: Option<String>,
    },
    /// The CLI asks something.
    ControlRequest {
        /// By what it is answered.
        request_id: String,
        /// What is asked.
        request: AgentRequest,
    },
    /// The CLI no longer asks something.
    ControlCancelRequest {
        /// By what it would have been answered.
        request_id: String,
    },
    /// An answer to something that was asked of the CLI.
    ControlResponse {
        /// It.
        response: AgentResponse,
    },
    /// The end.
    Result(Box<AgentResult>),
    /// Any other line.
    #[serde(other)]
    Other,
}

/// A message of the conversation.
#[derive(Debug, Deserialize)]
pub struct AgentMessage {
    /// Its blocks, or a text.
    #[serde(default)]
    pub content: Value,
}

/// What the CLI asks.
#[derive(Debug, Deserialize)]
pub struct AgentRequest {
    /// `can_use_tool`, ...
    pub subtype: String,
    /// The tool.
    #[serde(default)]
    pub tool_name: String,
    /// The id of its call.
    #[serde(default)]
    pub tool_use_id: String,
    /// Its input.
    #[serde(default)]
    pub input: Value,
    /// Why it is asked.
    #[serde(default)]
    pub decision_reason: Option<String>,
}

/// What the CLI answers.
#[derive(Debug, Deserialize)]
pub struct AgentResponse {
    /// The id of what was asked.
    #[serde(default)]
    pub request_id: String,
    /// Why it was refused.
    #[serde(default)]
    pub error: Option<String>,
}

/// The `result` line.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AgentResult {
    /// `success`, `error_max_turns`, ...
    pub subtype: String,
    /// Whether it failed.
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
    /// It may be used.
    #[serde(rename_all = "camelCase")]
    Allow {
        /// With this input.
        updated_input: &'a Value,
    },
    /// It may not.
    Deny {
        /// What the model is told.
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

/// The line that refuses what was asked by `request_id`.
pub fn refusal_line(request_id: &str) -> Vec<u8> {
    let error = "the server does not know this request";
    to_line(&json!({
        "type": "control_response",
        "response": {"subtype": "error", "request_id": request_id, "error": error},
    }))
}
