//! Client tool calls and outputs in the input.

use super::*;
use crate::api::openai::responses::item_fields;

fn read(item: Value) -> Result<Value, InvalidRequest> {
    as_function(item, &ObjectPath::at("input[0]", &item_fields::ITEM))
}

#[test]
fn client_tool_calls_become_function_calls() {
    for (item, name, arguments) in [
        (
            json!({"type": "function_call", "namespace": "n", "name": "f", "arguments": "{}"}),
            "n__f",
            json!({}),
        ),
        (
            json!({"type": "custom_tool_call", "namespace": null, "name": "c", "input": "a\n\"b"}),
            "c",
            json!({"input": "a\n\"b"}),
        ),
        (
            json!({"type": "local_shell_call", "action": {"type": "exec", "command": ["ls"], "env": {}, "user": null}}),
            "local_shell",
            json!({"command": ["ls"], "env": {}}),
        ),
        (
            json!({"type": "shell_call", "environment": {"type": "local"}, "action": {"commands": ["ls"], "timeout_ms": 5}}),
            "shell",
            json!({"commands": ["ls"], "timeout_ms": 5}),
        ),
        (
            json!({"type": "apply_patch_call", "operation": {"type": "delete_file", "path": "a"}}),
            "apply_patch",
            json!({"operation": {"type": "delete_file", "path": "a"}}),
        ),
        (
            json!({"type": "tool_search_call", "execution": "client", "arguments": {"query": "x"}}),
            "tool_search",
            json!({"query": "x"}),
        ),
    ] {
        let call = read(item).unwrap();
        assert_eq!(
            (&call["type"], &call["name"]),
            (&json!("function_call"), &json!(name))
        );
        let written: Value = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
        assert_eq!(written, arguments);
        assert_eq!(call.as_object().unwrap().len(), 3, "{call}");
    }
}

#[test]
fn client_tool_outputs_become_texts() {
    let chunks = json!([
        {"stdout": "a", "stderr": "b", "outcome": {"type": "exit", "exit_code": 1}},
        {"stdout": "", "stderr": "", "outcome": {"type": "timeout"}},
    ]);
    for (item, expected) in [
        (
            json!({"type": "custom_tool_call_output", "output": "x"}),
            "x",
        ),
        (
            json!({"type": "tool_search_output", "execution": "client", "tools": [
                {"type": "namespace", "name": "n", "tools": [{"name": "f"}]}, {"type": "function", "name": "g"},
            ]}),
            "These tools can be called now: n__f, g.",
        ),
        (
            json!({"type": "tool_search_output", "execution": "client", "tools": []}),
            "No tool was found.",
        ),
        (
            json!({"type": "local_shell_call_output", "output": "x"}),
            "x",
        ),
        (
            json!({"type": "shell_call_output", "output": chunks, "max_output_length": 9}),
            "a\nb\n[exit code 1]\n[timed out]",
        ),
        (
            json!({"type": "apply_patch_call_output", "status": "failed", "output": "no"}),
            "The patch failed.\nno",
        ),
        (
            json!({"type": "apply_patch_call_output", "status": "completed"}),
            "The patch is applied.",
        ),
    ] {
        let output = read(item).unwrap();
        assert_eq!(
            (&output["type"], &output["output"]),
            (&json!("function_call_output"), &json!(expected))
        );
    }
    assert_eq!(
        read(json!({"type": "local_shell_call_output", "id": "c"})).unwrap()["call_id"],
        "c"
    );
}

#[test]
fn missing_item_fields_are_named() {
    for (item, param) in [
        (
            json!({"type": "custom_tool_call", "name": "c"}),
            "input[0].input",
        ),
        (
            json!({"type": "shell_call", "action": []}),
            "input[0].action",
        ),
        (
            json!({"type": "shell_call_output", "output": "x"}),
            "input[0].output",
        ),
        (json!({"type": "apply_patch_call"}), "input[0].operation"),
        (
            json!({"type": "function_call", "name": "f", "namespace": 1}),
            "input[0].namespace",
        ),
    ] {
        assert_eq!(read(item).unwrap_err().param.as_deref(), Some(param));
    }
}
