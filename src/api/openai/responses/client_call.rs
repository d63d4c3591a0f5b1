//! Calls of client tools, as output items and their stream events.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::client_tool::BY_CLIENT;
use super::client_tool::ClientTool;
use super::client_tool::Form;
use super::events::Body;
use super::events::Told;
use super::types::Item;
use super::types::Status;
use crate::api::openai::custom::InputText;

/// Client tool call in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientCall {
    call_id: String,
    tool: ClientTool,
    /// JSON arguments that Claude has written so far.
    arguments: String,
    /// Text parsed from the arguments, for a custom tool.
    input: InputText,
}

impl ClientCall {
    /// Creates a call without arguments.
    pub(super) fn new(call_id: &str, tool: ClientTool) -> Self {
        Self {
            call_id: call_id.to_owned(),
            tool,
            arguments: String::new(),
            input: InputText::default(),
        }
    }

    /// Returns the id prefix of items of this type.
    pub(super) fn prefix(&self) -> &'static str {
        match self.tool.form {
            Form::Function => "fc",
            Form::Custom => "ctc",
            Form::LocalShell => "lsh",
            Form::Shell => "sh",
            Form::ApplyPatch => "apc",
            Form::ToolSearch => "tsc",
        }
    }

    /// Appends a piece of the arguments; returns its event, if the item type has one.
    pub(super) fn push(&mut self, piece: &str) -> Option<Told> {
        self.arguments.push_str(piece);
        match self.tool.form {
            Form::Function => {
                let delta = piece.to_owned();
                Some((
                    "response.function_call_arguments.delta",
                    Body::Delta { delta },
                ))
            }
            Form::Custom => input_delta(self.input.push(piece)),
            Form::LocalShell | Form::Shell | Form::ApplyPatch | Form::ToolSearch => None,
        }
    }

    /// Ends the call; returns its final events. `status` is `Completed`, or the status of an answer
    /// that was cut short.
    pub(super) fn end(&mut self, status: Status) -> Vec<Told> {
        let is_empty = self.arguments.is_empty() && status == Status::Completed;
        let mut told: Vec<_> = is_empty
            .then(|| self.push("{}"))
            .flatten()
            .into_iter()
            .collect();
        match self.tool.form {
            Form::Function => {
                let (name, arguments) = (self.tool.name.clone(), self.arguments.clone());
                told.push((
                    "response.function_call_arguments.done",
                    Body::Call { name, arguments },
                ));
            }
            Form::Custom => {
                told.extend(input_delta(self.input.end()));
                let input = self.input.text().to_owned();
                told.push((
                    "response.custom_tool_call_input.done",
                    Body::Input { input },
                ));
            }
            Form::LocalShell | Form::Shell | Form::ApplyPatch | Form::ToolSearch => {}
        }
        told
    }

    /// Builds the output item with the id `id`.
    pub(super) fn item(&self, id: String, status: Status) -> Item {
        let (
            call_id,
            ClientTool {
                form,
                namespace,
                name,
            },
        ) = (self.call_id.clone(), self.tool.clone());
        match form {
            Form::Function => {
                let arguments = self.arguments.clone();
                Item::FunctionCall {
                    id,
                    status,
                    call_id,
                    name,
                    namespace,
                    arguments,
                }
            }
            Form::Custom => {
                let input = self.input.text().to_owned();
                Item::CustomToolCall {
                    id,
                    status,
                    call_id,
                    name,
                    namespace,
                    input,
                }
            }
            Form::LocalShell => Item::LocalShellCall {
                id,
                status,
                call_id,
                action: local_shell_action(self.fields()),
            },
            Form::Shell => Item::ShellCall {
                id,
                status,
                call_id,
                action: shell_action(self.fields()),
            },
            Form::ToolSearch => {
                let (execution, arguments) = (BY_CLIENT.to_owned(), Value::Object(self.fields()));
                Item::ToolSearchCall {
                    id,
                    status,
                    call_id,
                    execution,
                    arguments,
                }
            }
            Form::ApplyPatch => Item::ApplyPatchCall {
                id,
                status,
                call_id,
                operation: operation(self.fields()),
            },
        }
    }

    /// Parses the arguments; empty while they are incomplete.
    fn fields(&self) -> Map<String, Value> {
        serde_json::from_str(&self.arguments).unwrap_or_default()
    }
}

fn input_delta(delta: String) -> Option<Told> {
    (!delta.is_empty()).then_some((
        "response.custom_tool_call_input.delta",
        Body::Delta { delta },
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

fn operation(mut fields: Map<String, Value>) -> Value {
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
