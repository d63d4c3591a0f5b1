//! Translation of output lines of an agent process to events.

use std::collections::HashMap;
use std::collections::VecDeque;

use serde_json::Value;

use crate::domain::Money;
use crate::domain::Usage;
use crate::engine::agent::AgentEvent;
use crate::engine::agent::AgentReport;
use crate::engine::agent::AgentStop;
use crate::engine::agent::FileChange;
use crate::engine::agent::PermissionRequest;
use crate::engine::claude::failure::classify;
use crate::engine::claude::protocol::{
    AgentControlRequest, AgentLine, AgentResultLine, PlainAgentLine, StreamEvent,
};

/// Action that a line requires of the agent.
#[derive(Debug)]
pub(super) enum Reaction {
    /// Line without an action beyond the queued events.
    None,
    /// Control request with this id, of an unsupported kind.
    Refuse(String),
    /// Response to the control request with this id, and its error.
    Answered(String, Option<String>),
    /// End of the run.
    End(Box<AgentReport>),
}

/// Translator of the lines of one run.
#[derive(Debug, Default)]
pub(super) struct AgentTranslator {
    /// Events not delivered yet.
    pub(super) events: VecDeque<AgentEvent>,
    /// Inputs of the permission requests that are unanswered.
    pub(super) open_requests: HashMap<String, Value>,
    /// Tokens of the finished calls; those of the running one are in `call`.
    finished_usage: Usage,
    current_usage: Usage,
}

impl AgentTranslator {
    pub(super) fn translate(&mut self, line: AgentLine<'_>) -> Reaction {
        match line {
            AgentLine::Stream(event) => self.stream(event),
            AgentLine::Plain(PlainAgentLine::Assistant {
                message,
                error: None,
                parent_tool_use_id: None,
            }) => {
                self.assistant(&message.content);
            }
            AgentLine::Plain(PlainAgentLine::User {
                message,
                tool_use_result,
                parent_tool_use_id: None,
            }) => {
                self.results(&message.content, &tool_use_result);
            }
            AgentLine::Plain(PlainAgentLine::ControlRequest {
                request_id,
                request,
            }) => {
                if request.subtype != "can_use_tool" {
                    return Reaction::Refuse(request_id);
                }
                self.push_permission_request(request_id, request);
            }
            AgentLine::Plain(PlainAgentLine::ControlCancelRequest { request_id }) => {
                if self.open_requests.remove(&request_id).is_some() {
                    self.events
                        .push_back(AgentEvent::PermissionWithdrawn(request_id));
                }
            }
            AgentLine::Plain(PlainAgentLine::ControlResponse { response }) => {
                return Reaction::Answered(response.request_id, response.error);
            }
            AgentLine::Plain(PlainAgentLine::System { status }) if status == "requesting" => {
                self.events.push_back(AgentEvent::CallSent);
            }
            AgentLine::Plain(PlainAgentLine::Result(result)) => {
                return Reaction::End(Box::new(to_report(*result)));
            }
            AgentLine::Plain(_) => {}
        }
        Reaction::None
    }

    fn stream(&mut self, event: StreamEvent<'_>) {
        match event {
            StreamEvent::MessageStart { model, usage, .. } => {
                self.finished_usage = self.finished_usage + self.current_usage;
                self.current_usage = Usage::default();
                usage.merge_into(&mut self.current_usage);
                self.events.push_back(AgentEvent::AnswerStarted {
                    model: model.into_owned(),
                });
            }
            StreamEvent::MessageDelta { usage, .. } => {
                usage.merge_into(&mut self.current_usage);
                self.events.push_back(AgentEvent::UsageUpdated(
                    self.finished_usage + self.current_usage,
                ));
            }
            _ => {}
        }
    }

    fn assistant(&mut self, content: &Value) {
        for block in content.as_array().into_iter().flatten() {
            match block["type"].as_str() {
                Some("text") => self
                    .events
                    .push_back(AgentEvent::Message(text(&block["text"]))),
                Some("tool_use") => self.events.push_back(AgentEvent::ToolUse {
                    id: text(&block["id"]),
                    name: text(&block["name"]),
                    input: block["input"].to_string(),
                }),
                _ => {}
            }
        }
    }

    fn results(&mut self, content: &Value, did: &Value) {
        for block in content
            .as_array()
            .into_iter()
            .flatten()
            .filter(|block| block["type"] == "tool_result")
        {
            self.events.push_back(AgentEvent::ToolResult {
                id: text(&block["tool_use_id"]),
                content: result_text(&block["content"]),
                is_error: block["is_error"] == true,
                change: file_change(did),
            });
        }
    }

    fn push_permission_request(&mut self, id: String, request: AgentControlRequest) {
        self.events
            .push_back(AgentEvent::PermissionRequested(PermissionRequest {
                id: id.clone(),
                tool: request.tool_name,
                tool_use_id: request.tool_use_id,
                input: request.input.to_string(),
                reason: request.decision_reason,
            }));
        self.open_requests.insert(id, request.input);
    }
}

/// Returns the change that a tool made to a file. A `Write` says whether it created the file; the
/// other tools only change one.
fn file_change(did: &Value) -> Option<FileChange> {
    let path = ["filePath", "notebook_path"]
        .into_iter()
        .find_map(|name| did[name].as_str())?;
    let is_new = match did["type"].as_str() {
        Some("create") => true,
        Some("update") => false,
        _ if did.get("structuredPatch").is_some() || did.get("new_source").is_some() => false,
        _ => return None,
    };
    Some(FileChange {
        path: path.into(),
        is_new,
    })
}

fn to_report(result: AgentResultLine) -> AgentReport {
    let mut usage = Usage::default();
    result.usage.merge_into(&mut usage);
    let reason = stop_reason(&result);
    let words = result.result.unwrap_or_else(|| result.errors.join("\n"));
    let (reason, words) = match reason {
        Some(reason) => (reason, words),
        None => {
            // The report of a failed call names the host and more, so it is replaced by the message
            // of a failed turn.
            let failure = classify(None, result.api_error_status, &words, None);
            (AgentStop::Failed(failure.kind), failure.message)
        }
    };
    AgentReport {
        reason,
        result: words,
        usage,
        session_cost: result.total_cost_usd.and_then(Money::from_dollars),
    }
}

/// Returns the reason of the end; `None` for a failed call.
fn stop_reason(result: &AgentResultLine) -> Option<AgentStop> {
    match (result.terminal_reason.as_deref(), result.subtype.as_str()) {
        (Some("aborted_tools" | "aborted_streaming"), _) => Some(AgentStop::Interrupted),
        (Some("max_turns"), _) | (_, "error_max_turns") => Some(AgentStop::MaxTurns),
        (Some("budget_exhausted"), _) | (_, "error_max_budget_usd") => Some(AgentStop::MaxBudget),
        _ if !result.is_error => Some(AgentStop::Completed),
        _ if result
            .errors
            .iter()
            .any(|error| error.starts_with("No conversation found")) =>
        {
            Some(AgentStop::NoSession)
        }
        _ => None,
    }
}

/// Returns the text of a tool result: a string, or the texts of its blocks.
fn result_text(content: &Value) -> String {
    match content {
        Value::Array(blocks) => blocks
            .iter()
            .filter_map(|block| block["text"].as_str())
            .collect(),
        content => text(content),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;
