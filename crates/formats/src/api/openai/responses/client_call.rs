//! Calls of client tools, as output items and their stream events.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::client_tool::ClientTool;
use super::client_tool::ClientToolKind;
use super::client_tool::EXECUTED_BY_CLIENT;
use super::events::ItemEvent;
use super::events::ItemEventBody;
use super::types::ResponseItem;
use super::types::ResponseStatus;
use crate::api::openai::custom_input::CustomInputParser;

/// Client tool call in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientCall {
    call_id: String,
    tool: ClientTool,
    /// JSON arguments that Claude has written so far.
    arguments: String,
    /// Text parsed from the arguments, for a custom tool.
    input: CustomInputParser,
}

impl ClientCall {
    /// Creates a call without arguments.
    pub(super) fn new(call_id: &str, tool: ClientTool) -> Self {
        Self {
            call_id: call_id.to_owned(),
            tool,
            arguments: String::new(),
            input: CustomInputParser::default(),
        }
    }

    /// Returns the id prefix of items of this type.
    pub(super) fn id_prefix(&self) -> &'static str {
        match self.tool.kind {
            ClientToolKind::Function => "fc",
            ClientToolKind::Custom => "ctc",
            ClientToolKind::LocalShell => "lsh",
            ClientToolKind::Shell => "sh",
            ClientToolKind::ApplyPatch => "apc",
            ClientToolKind::ToolSearch => "tsc",
        }
    }

    /// Appends a piece of the arguments; returns its event, if the item type has one.
    pub(super) fn push(&mut self, piece: &str) -> Option<ItemEvent> {
        self.arguments.push_str(piece);
        match self.tool.kind {
            ClientToolKind::Function => {
                let delta = piece.to_owned();
                Some((
                    "response.function_call_arguments.delta",
                    ItemEventBody::Delta { delta },
                ))
            }
            ClientToolKind::Custom => input_delta(self.input.push(piece)),
            ClientToolKind::LocalShell
            | ClientToolKind::Shell
            | ClientToolKind::ApplyPatch
            | ClientToolKind::ToolSearch => None,
        }
    }

    /// Ends the call; returns its final events. `status` is `Completed`, or the status of an answer
    /// that was cut short.
    pub(super) fn end(&mut self, status: ResponseStatus) -> Vec<ItemEvent> {
        let is_empty = self.arguments.is_empty() && status == ResponseStatus::Completed;
        let mut events: Vec<_> = is_empty
            .then(|| self.push("{}"))
            .flatten()
            .into_iter()
            .collect();
        match self.tool.kind {
            ClientToolKind::Function => {
                let name = self.tool.name.clone();
                let arguments = self.arguments.clone();
                events.push((
                    "response.function_call_arguments.done",
                    ItemEventBody::Call { name, arguments },
                ));
            }
            ClientToolKind::Custom => {
                events.extend(input_delta(self.input.finish()));
                let input = self.input.text().to_owned();
                events.push((
                    "response.custom_tool_call_input.done",
                    ItemEventBody::Input { input },
                ));
            }
            ClientToolKind::LocalShell
            | ClientToolKind::Shell
            | ClientToolKind::ApplyPatch
            | ClientToolKind::ToolSearch => {}
        }
        events
    }

    /// Builds the output item with the id `id`.
    pub(super) fn item(&self, id: String, status: ResponseStatus) -> ResponseItem {
        let (
            call_id,
            ClientTool {
                kind: form,
                namespace,
                name,
            },
        ) = (self.call_id.clone(), self.tool.clone());
        match form {
            ClientToolKind::Function => {
                let arguments = self.arguments.clone();
                ResponseItem::FunctionCall {
                    id,
                    status,
                    call_id,
                    name,
                    namespace,
                    arguments,
                }
            }
            ClientToolKind::Custom => {
                let input = self.input.text().to_owned();
                ResponseItem::CustomToolCall {
                    id,
                    status,
                    call_id,
                    name,
                    namespace,
                    input,
                }
            }
            ClientToolKind::LocalShell => ResponseItem::LocalShellCall {
                id,
                status,
                call_id,
                action: local_shell_action(self.fields()),
            },
            ClientToolKind::Shell => ResponseItem::ShellCall {
                id,
                status,
                call_id,
                action: shell_action(self.fields()),
            },
            ClientToolKind::ToolSearch => {
                let execution = EXECUTED_BY_CLIENT.to_owned();
                let arguments = Value::Object(self.fields());
                ResponseItem::ToolSearchCall {
                    id,
                    status,
                    call_id,
                    execution,
                    arguments,
                }
            }
            ClientToolKind::ApplyPatch => ResponseItem::ApplyPatchCall {
                id,
                status,
                call_id,
                operation: patch_operation(self.fields()),
            },
        }
    }

    /// Parses the arguments; empty while they are incomplete.
    fn fields(&self) -> Map<String, Value> {
        serde_json::from_str(&self.arguments).unwrap_or_default()
    }
}

fn input_delta(delta: String) -> Option<ItemEvent> {
    (!delta.is_empty()).then_some((
        "response.custom_tool_call_input.delta",
        ItemEventBody::Delta { delta },
    ))
}

fn local_shell_action(mut fields: Map<String, Value>) -> Value {
    fields.insert("type".to_owned(), json!("exec"));
    fields.entry("command").or_insert_with(|| json!([]));
    fields.entry("env").or_insert_with(|| json!({}));
    Value::Object(fields)
}

fn shell_action(mut fields: Map<String, Value>) -> Value {
    fields.entry("commands").or_insert_with(|| json!([]));
    for name in ["timeout_ms", "max_output_length"] {
        fields.entry(name).or_insert(Value::Null);
    }
    Value::Object(fields)
}

fn patch_operation(mut fields: Map<String, Value>) -> Value {
    let Some(Value::Object(mut operation)) = fields.remove("operation") else {
        return json!({"type": "update_file", "path": "", "diff": ""});
    };
    if operation
        .get("type")
        .is_some_and(|kind| kind != "delete_file")
    {
        operation.entry("diff").or_insert_with(|| json!(""));
    }
    Value::Object(operation)
}

#[cfg(test)]
#[path = "client_call_tests.rs"]
mod tests;
