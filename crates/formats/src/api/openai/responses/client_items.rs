//! Items of client tool calls and their outputs in the input, converted to function calls, the only
//! form that Claude knows.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::client_tool::EXECUTED_BY_CLIENT;
use super::client_tool::claude_name;
use crate::api::openai::custom_input;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectPath;
use crate::api::request_schema::code;

const CALL: &str = "function_call";
const OUTPUT: &str = "function_call_output";

/// Converts the item at `place` to a function call or its output, if it belongs to another kind of
/// client tool; returns any other item unchanged.
pub(super) fn as_function(item: Value, place: &ObjectPath) -> Result<Value, InvalidRequest> {
    let Value::Object(fields) = item else {
        return Ok(item);
    };
    let mut item = ClientToolItem { fields, place };
    match item
        .fields
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default()
    {
        CALL if item.fields.contains_key("namespace") => item.rename()?,
        "custom_tool_call" => item.custom_call()?,
        "local_shell_call" => item.shell_call("local_shell")?,
        "shell_call" => item.shell_call("shell")?,
        "apply_patch_call" => item.patch_call()?,
        "tool_search_call" if item.is_clients_search() => item.search_call()?,
        "tool_search_output" if item.is_clients_search() => item.search_output()?,
        "custom_tool_call_output" => item.set("type", OUTPUT),
        "local_shell_call_output" => item.local_shell_output(),
        "shell_call_output" => item.shell_output()?,
        "apply_patch_call_output" => item.patch_output(),
        _ => {}
    }
    Ok(Value::Object(item.fields))
}

struct ClientToolItem<'a> {
    fields: Map<String, Value>,
    place: &'a ObjectPath,
}

impl ClientToolItem<'_> {
    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.fields.insert(name.to_owned(), value.into());
    }

    /// Takes a required field and converts it with `read`; `expected` names the type in the error.
    fn take<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Result<T, InvalidRequest> {
        let path = self.place.field(name);
        let Some(value) = self.fields.remove(name).filter(|value| !value.is_null()) else {
            return Err(InvalidRequest::at(
                &path,
                code::MISSING,
                format!("`{path}` is missing."),
            ));
        };
        read(value).ok_or_else(|| {
            InvalidRequest::at(&path, code::TYPE, format!("`{path}`: expected {expected}."))
        })
    }

    fn take_object(&mut self, name: &str) -> Result<Map<String, Value>, InvalidRequest> {
        self.take(name, "an object", |value| {
            if let Value::Object(fields) = value {
                Some(fields)
            } else {
                None
            }
        })
    }

    fn take_array(&mut self, name: &str) -> Result<Vec<Value>, InvalidRequest> {
        self.take(name, "an array", |value| {
            if let Value::Array(items) = value {
                Some(items)
            } else {
                None
            }
        })
    }

    /// Replaces namespace and name by the name under which Claude knows the tool.
    fn rename(&mut self) -> Result<(), InvalidRequest> {
        let Some(namespace) = self
            .fields
            .remove("namespace")
            .filter(|namespace| !namespace.is_null())
        else {
            return Ok(());
        };
        let Value::String(namespace) = namespace else {
            let path = self.place.field("namespace");
            return Err(InvalidRequest::at(
                &path,
                code::TYPE,
                format!("`{path}`: expected a string."),
            ));
        };
        let name = self.take("name", "a string", into_text)?;
        self.set("name", claude_name(Some(&namespace), &name));
        Ok(())
    }

    fn custom_call(&mut self) -> Result<(), InvalidRequest> {
        let input = self.take("input", "a string", into_text)?;
        self.set("type", CALL);
        self.set("arguments", custom_input::wrap_text(&input));
        self.rename()
    }

    fn shell_call(&mut self, name: &str) -> Result<(), InvalidRequest> {
        let mut action = self.take_object("action")?;
        action.retain(|name, value| name != "type" && !value.is_null());
        self.fields.remove("environment");
        self.call(name, &Value::Object(action));
        Ok(())
    }

    fn patch_call(&mut self) -> Result<(), InvalidRequest> {
        let operation = self.take_object("operation")?;
        self.call("apply_patch", &json!({"operation": operation}));
        Ok(())
    }

    fn call(&mut self, name: &str, arguments: &Value) {
        self.set("type", CALL);
        self.set("name", name);
        self.set("arguments", arguments.to_string());
    }

    /// True if the client executed the search, not OpenAI.
    fn is_clients_search(&self) -> bool {
        self.fields
            .get("execution")
            .is_some_and(|execution| execution == EXECUTED_BY_CLIENT)
    }

    fn search_call(&mut self) -> Result<(), InvalidRequest> {
        let arguments = self.take_object("arguments")?;
        self.fields.remove("execution");
        self.call("tool_search", &Value::Object(arguments));
        Ok(())
    }

    /// Converts the output of a tool search to the names of the found tools; the tools themselves
    /// are read with those of the request.
    fn search_output(&mut self) -> Result<(), InvalidRequest> {
        let tools = self.take_array("tools")?;
        self.fields.remove("execution");
        self.set("type", OUTPUT);
        let names: Vec<_> = tools.iter().flat_map(claude_names).collect();
        let found = match names.as_slice() {
            [] => "No tool was found.".to_owned(),
            names => format!("These tools can be called now: {}.", names.join(", ")),
        };
        self.set("output", found);
        Ok(())
    }

    /// Converts the output of a local shell call. Some clients put the id of the call in `id`.
    fn local_shell_output(&mut self) {
        self.set("type", OUTPUT);
        if let (false, Some(id)) = (
            self.fields.contains_key("call_id"),
            self.fields.get("id").cloned(),
        ) {
            self.set("call_id", id);
        }
    }

    fn shell_output(&mut self) -> Result<(), InvalidRequest> {
        let chunks = self.take_array("output")?;
        self.fields.remove("max_output_length");
        self.set("type", OUTPUT);
        let chunks: Vec<_> = chunks.iter().map(format_shell_chunk).collect();
        self.set("output", chunks.join("\n"));
        Ok(())
    }

    fn patch_output(&mut self) {
        self.set("type", OUTPUT);
        let output = self
            .fields
            .remove("output")
            .and_then(into_text)
            .unwrap_or_default();
        let is_failed = self
            .fields
            .get("status")
            .is_some_and(|status| status == "failed");
        let word = if is_failed {
            "The patch failed."
        } else {
            "The patch is applied."
        };
        self.set(
            "output",
            if output.is_empty() {
                word.to_owned()
            } else {
                format!("{word}\n{output}")
            },
        );
    }
}

/// Returns the names under which Claude knows `tool`, or the tools of the namespace that it is.
fn claude_names(tool: &Value) -> Vec<String> {
    let name = |tool: &Value| {
        tool["name"]
            .as_str()
            .or(tool["type"].as_str())
            .unwrap_or_default()
            .to_owned()
    };
    match (&tool["tools"], tool["name"].as_str()) {
        (Value::Array(inner), Some(namespace)) => inner
            .iter()
            .map(|tool| claude_name(Some(namespace), &name(tool)))
            .collect(),
        _ => vec![name(tool)],
    }
}

/// Formats one entry of a shell output and its exit status as text.
fn format_shell_chunk(chunk: &Value) -> String {
    let outputs = ["stdout", "stderr"].map(|name| chunk[name].as_str().unwrap_or_default());
    let end = match (&chunk["outcome"]["type"], &chunk["outcome"]["exit_code"]) {
        (kind, _) if kind == "timeout" => "[timed out]".to_owned(),
        (_, Value::Number(code)) => format!("[exit code {code}]"),
        _ => String::new(),
    };
    let parts = outputs
        .into_iter()
        .chain([end.as_str()])
        .filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("\n")
}

fn into_text(value: Value) -> Option<String> {
    if let Value::String(text) = value {
        Some(text)
    } else {
        None
    }
}

#[cfg(test)]
#[path = "client_items_tests.rs"]
mod tests;
