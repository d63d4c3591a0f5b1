//! The tools of the callers, as one process sees them: those of an MCP server at the other end of its pipe.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::domain::Part;
use crate::domain::ToolResult;

use super::protocol::{McpRequest, acknowledgement_line, call_line, initialize_line, tools_line};

/// The server, for one process.
#[derive(Debug, Default)]
pub(super) struct ToolServer {
    /// The tools the process knows.
    names: Vec<String>,
    /// Calls that wait for their results.
    calls: Vec<Call>,
    /// Results whose calls have not come yet, by the ids of the calls.
    results: BTreeMap<String, Vec<Part>>,
}

#[derive(Debug)]
struct Call {
    /// The id of the call in the conversation.
    tool_use_id: String,
    request_id: String,
    id: Option<Box<RawValue>>,
}

impl ToolServer {
    /// Whether the process knows all of `names`.
    pub(super) fn offers(&self, names: &[String]) -> bool {
        names.iter().all(|name| self.names.contains(name))
    }

    /// From now on the tools are `names`, once the process has asked for them.
    pub(super) fn set(&mut self, names: &[String]) {
        self.names = names.to_vec();
    }

    /// What is to be written in answer to `request`; nothing yet to a call whose result is still to come.
    pub(super) fn receive(&mut self, request: &McpRequest<'_>) -> Option<Vec<u8>> {
        let (request_id, id) = (&*request.request_id, request.message.id);
        match &*request.message.method {
            "initialize" => Some(initialize_line(request_id, id)),
            "tools/list" => Some(tools_line(request_id, id, &self.names)),
            "tools/call" => {
                let tool_use_id = request.message.params.meta.tool_use_id.as_deref().unwrap_or_default();
                if let Some(parts) = self.results.remove(tool_use_id) {
                    return Some(call_line(request_id, id, &parts));
                }
                self.calls.push(Call {
                    tool_use_id: tool_use_id.to_owned(),
                    request_id: request_id.to_owned(),
                    id: id.map(ToOwned::to_owned),
                });
                None
            }
            _ => Some(acknowledgement_line(request_id, id)),
        }
    }

    /// Takes the results of calls, and gives what is to be written for those that have come.
    pub(super) fn give(&mut self, results: &[&ToolResult]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for result in results {
            match self.calls.iter().position(|call| call.tool_use_id == result.id) {
                Some(index) => {
                    let call = self.calls.remove(index);
                    lines.push(call_line(&call.request_id, call.id.as_deref(), &result.parts));
                }
                None => {
                    self.results.insert(result.id.clone(), result.parts.clone());
                }
            }
        }
        lines
    }

    /// Forgets the calls of a conversation.
    pub(super) fn forget_calls(&mut self) {
        self.calls.clear();
        self.results.clear();
    }
}

#[cfg(test)]
#[path = "tools_tests.rs"]
mod tests;
