//! Client tool calls as clients read them and send them back.

use super::*;
use crate::api::openai::responses::ResponseEvent;
use crate::api::openai::responses::ResponseWriter;
use crate::api::openai::responses::decode;
use crate::api::request_schema::Policy;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::Part;
use crate::domain::TurnEvent;
use crate::domain::Usage;

/// Input that Claude writes, by the name under which it knows the tool.
const CALLS: [(&str, &[&str]); 6] = [
    ("n__f", &["{}"]),
    ("c", &["{\"inp", "ut\": \"a\\", "nb", "\"}"]),
    ("local_shell", &[r#"{"command":["ls"]}"#]),
    ("shell", &[r#"{"commands":["ls"]}"#]),
    (
        "apply_patch",
        &[r#"{"operation":{"type":"create_file","path":"p","diff":"+x"}}"#],
    ),
    ("tool_search", &[r#"{"query":"q"}"#]),
];

fn tools() -> Value {
    json!([
        {"type": "namespace", "name": "n", "description": "d", "tools": [{"type": "function", "name": "f"}]},
        {"type": "custom", "name": "c"}, {"type": "local_shell"}, {"type": "shell"}, {"type": "apply_patch"},
        {"type": "tool_search", "execution": "client"},
    ])
}

fn called() -> (ResponseWriter, Vec<ResponseEvent>) {
    let body = json!({"model": "m", "input": "hi", "tools": tools()}).to_string();
    let request = decode(body.as_bytes(), Policy::Strict).unwrap();
    let names = request.tool_names().clone();
    let mut writer = ResponseWriter::new(request.response, names, false);
    let mut events = Vec::new();
    for (number, (name, pieces)) in CALLS.into_iter().enumerate() {
        events.extend(writer.event(&TurnEvent::tool_call(format!("c{number}"), name)));
        for piece in pieces {
            events.extend(writer.event(&TurnEvent::ToolInput((*piece).to_owned())));
        }
    }
    let finish = Finish::new(FinishReason::ToolCalls, Usage::default());
    events.extend(writer.event(&TurnEvent::Finished(finish)));
    (writer, events)
}

#[test]
fn custom_tool_input_streams_as_plain_text() {
    let summarize = |event: &ResponseEvent| {
        let data: Value = serde_json::from_str(&event.data).unwrap();
        let content = ["delta", "input", "arguments"]
            .into_iter()
            .find_map(|name| data[name].as_str());
        event
            .name
            .contains("_call_")
            .then(|| format!("{} {}", event.name, content.unwrap_or_default()))
    };
    assert_eq!(
        called().1.iter().filter_map(summarize).collect::<Vec<_>>(),
        [
            "response.function_call_arguments.delta {}",
            "response.function_call_arguments.done {}",
            "response.custom_tool_call_input.delta a",
            "response.custom_tool_call_input.delta \nb",
            "response.custom_tool_call_input.done a\nb",
        ]
    );
}

#[test]
fn each_client_tool_has_its_own_item_type() {
    let output = json!(called().0.response().output);
    let item = |number: usize, rest: Value| {
        let mut item = output[number].clone();
        let fields = item.as_object_mut().unwrap();
        assert_eq!(fields.remove("call_id"), Some(json!(format!("c{number}"))));
        assert!(
            fields.remove("id").is_some() && fields.remove("status") == Some(json!("completed"))
        );
        assert_eq!(item, rest);
    };
    item(
        0,
        json!({"type": "function_call", "namespace": "n", "name": "f", "arguments": "{}"}),
    );
    item(
        1,
        json!({"type": "custom_tool_call", "name": "c", "input": "a\nb"}),
    );
    item(
        2,
        json!({"type": "local_shell_call", "action": {"type": "exec", "command": ["ls"], "env": {}}}),
    );
    let action = json!({"commands": ["ls"], "timeout_ms": null, "max_output_length": null});
    item(3, json!({"type": "shell_call", "action": action}));
    let operation = json!({"type": "create_file", "path": "p", "diff": "+x"});
    item(
        4,
        json!({"type": "apply_patch_call", "operation": operation}),
    );
    item(
        5,
        json!({"type": "tool_search_call", "execution": "client", "arguments": {"query": "q"}}),
    );
}

#[test]
fn strict_policy_accepts_own_calls_sent_back() {
    let output = json!(called().0.response().output);
    let mut input = vec![json!({"role": "user", "content": "hi"})];
    for call in output.as_array().unwrap() {
        let kind = call["type"].as_str().unwrap();
        let kind = if kind == "tool_search_call" {
            "tool_search"
        } else {
            kind
        };
        let mut output =
            json!({"type": format!("{kind}_output"), "call_id": call["call_id"], "output": "x"});
        match kind {
            "shell_call" => output["output"] = json!([]),
            "tool_search" => {
                output = json!({"type": "tool_search_output", "call_id": "c5", "execution": "client", "tools": []});
            }
            _ => {}
        }
        input.extend([call.clone(), output]);
    }
    let next = json!({"model": "m", "input": input, "tools": tools()}).to_string();
    let (turn, ignored) = decode(next.as_bytes(), Policy::Strict)
        .unwrap()
        .into_turn(&[])
        .unwrap();
    assert_eq!(ignored.ignored, Vec::<String>::new());
    let name = |part: &Part| {
        if let Part::ToolUse(call) = part {
            Some(call.name.clone())
        } else {
            None
        }
    };
    let names: Vec<_> = turn
        .history
        .iter()
        .flat_map(|message| &message.parts)
        .filter_map(name)
        .collect();
    assert_eq!(names, CALLS.map(|(name, _)| name));
    assert!(
        turn.tools
            .list
            .iter()
            .map(|tool| tool.name.as_str())
            .eq(CALLS.map(|(name, _)| name))
    );
}
