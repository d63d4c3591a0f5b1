//! Translation of output lines of an agent process to events.

use std::collections::HashMap;
use std::collections::VecDeque;

use serde_json::Value;

use crate::domain::Money;
use crate::domain::Usage;
use crate::engine::agent::AgentEvent;
use crate::engine::agent::Change;
use crate::engine::agent::EndReason;
use crate::engine::agent::Ending;
use crate::engine::agent::Question;
use crate::engine::claude::failure::classify;
use crate::engine::claude::protocol::{AgentLine, AgentRequest, AgentResult, StreamEvent, Told};

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
    End(Box<Ending>),
}

/// Translator of the lines of one run.
#[derive(Debug, Default)]
pub(super) struct Translator {
    /// Events not delivered yet.
    pub(super) told: VecDeque<AgentEvent>,
    /// Inputs of the permission requests that are unanswered.
    pub(super) asked: HashMap<String, Value>,
    /// Tokens of the finished calls; those of the running one are in `call`.
    spent: Usage,
    call: Usage,
}

impl Translator {
    pub(super) fn read(&mut self, line: AgentLine<'_>) -> Reaction {
        match line {
            AgentLine::Stream(event) => self.stream(event),
            AgentLine::Told(Told::Assistant {
                message,
                error: None,
                parent_tool_use_id: None,
            }) => {
                self.assistant(&message.content);
            }
            AgentLine::Told(Told::User {
                message,
                tool_use_result,
                parent_tool_use_id: None,
            }) => {
                self.results(&message.content, &tool_use_result);
            }
            AgentLine::Told(Told::ControlRequest {
                request_id,
                request,
            }) => {
                if request.subtype != "can_use_tool" {
                    return Reaction::Refuse(request_id);
                }
                self.question(request_id, request);
            }
            AgentLine::Told(Told::ControlCancelRequest { request_id }) => {
                if self.asked.remove(&request_id).is_some() {
                    self.told.push_back(AgentEvent::Withdrawn(request_id));
                }
            }
            AgentLine::Told(Told::ControlResponse { response }) => {
                return Reaction::Answered(response.request_id, response.error);
            }
            AgentLine::Told(Told::System { status }) if status == "requesting" => {
                self.told.push_back(AgentEvent::Calling);
            }
            AgentLine::Told(Told::Result(result)) => {
                return Reaction::End(Box::new(ending(*result)));
            }
            AgentLine::Told(_) => {}
        }
        Reaction::None
    }

    fn stream(&mut self, event: StreamEvent<'_>) {
        match event {
            StreamEvent::MessageStart { model, usage, .. } => {
                self.spent = self.spent + self.call;
                self.call = Usage::default();
                usage.count_into(&mut self.call);
                self.told.push_back(AgentEvent::Turn {
                    model: model.into_owned(),
                });
            }
            StreamEvent::MessageDelta { usage, .. } => {
                usage.count_into(&mut self.call);
                self.told
                    .push_back(AgentEvent::Spent(self.spent + self.call));
            }
            _ => {}
        }
    }

    fn assistant(&mut self, content: &Value) {
        for block in content.as_array().into_iter().flatten() {
            match block["type"].as_str() {
                Some("text") => self
                    .told
                    .push_back(AgentEvent::Message(text(&block["text"]))),
                Some("tool_use") => self.told.push_back(AgentEvent::ToolUse {
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
            self.told.push_back(AgentEvent::ToolResult {
                id: text(&block["tool_use_id"]),
                content: words(&block["content"]),
                is_error: block["is_error"] == true,
                change: change(did),
            });
        }
    }

    fn question(&mut self, id: String, request: AgentRequest) {
        self.told.push_back(AgentEvent::Question(Question {
            id: id.clone(),
            tool: request.tool_name,
            tool_use_id: request.tool_use_id,
            input: request.input.to_string(),
            reason: request.decision_reason,
        }));
        self.asked.insert(id, request.input);
    }
}

/// Returns the change that a tool made to a file. A `Write` says whether it created the file; the
/// other tools only change one.
fn change(did: &Value) -> Option<Change> {
    let path = ["filePath", "notebook_path"]
        .into_iter()
        .find_map(|name| did[name].as_str())?;
    let is_new = match did["type"].as_str() {
        Some("create") => true,
        Some("update") => false,
        _ if did.get("structuredPatch").is_some() || did.get("new_source").is_some() => false,
        _ => return None,
    };
    Some(Change {
        path: path.into(),
        is_new,
    })
}

fn ending(result: AgentResult) -> Ending {
    let mut usage = Usage::default();
    result.usage.count_into(&mut usage);
    let reason = reason(&result);
    let words = result.result.unwrap_or_else(|| result.errors.join("\n"));
    let (reason, words) = match reason {
        Some(reason) => (reason, words),
        None => {
            // The report of a failed call names the host and more, so it is replaced by the message
            // of a failed turn.
            let failure = classify(None, result.api_error_status, &words, None);
            (EndReason::Failed(failure.kind), failure.message)
        }
    };
    Ending {
        reason,
        result: words,
        usage,
        session_cost: result.total_cost_usd.and_then(Money::from_dollars),
    }
}

/// Returns the reason of the end; `None` for a failed call.
fn reason(result: &AgentResult) -> Option<EndReason> {
    match (result.terminal_reason.as_deref(), result.subtype.as_str()) {
        (Some("aborted_tools" | "aborted_streaming"), _) => Some(EndReason::Interrupted),
        (Some("max_turns"), _) | (_, "error_max_turns") => Some(EndReason::MaxTurns),
        (Some("budget_exhausted"), _) | (_, "error_max_budget_usd") => Some(EndReason::MaxBudget),
        _ if !result.is_error => Some(EndReason::Completed),
        _ if result
            .errors
            .iter()
            .any(|error| error.starts_with("No conversation found")) =>
        {
            Some(EndReason::NoSession)
        }
        _ => None,
    }
}

/// Returns the text of a tool result: a string, or the texts of its blocks.
fn words(content: &Value) -> String {
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
