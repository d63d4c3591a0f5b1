//! Decoding of input items into conversations.

use serde_json::json;

use super::*;
use crate::domain::Thinking;

fn decode_input(earlier: &Value, input: &Value) -> Result<ResponseConversation, InvalidRequest> {
    let mut ignored = RemarkCollector::new(Policy::Strict);
    decode_conversation(
        None,
        ("previous_response_id", earlier.as_array().unwrap()),
        input.as_array().unwrap(),
        &mut ignored,
    )
}

fn call(id: &str) -> Value {
    json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{\"b\": 1, \"a\": 2}", "status": "completed"})
}

fn output(id: &str) -> Value {
    json!({"type": "function_call_output", "call_id": id, "output": "out"})
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

/// Formats a conversation as `user:text assistant:thinking,call`, and so on.
fn outline(conversation: &ResponseConversation) -> String {
    let part = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::ToolUse(call) => format!("call {}", call.id),
        Part::ToolResult(result) => format!("result {}", result.id),
        Part::Thinking(_) => "thinking".into(),
        Part::Native(block) => block.json.clone(),
        Part::CacheBreakpoint(mark) => mark.clone(),
        Part::Image(_) | Part::Document { .. } => "media".into(),
        Part::Instruction(text) => format!("[{text}]"),
        Part::Continue => "go on".into(),
    };
    let parts = |parts: &[Part]| parts.iter().map(part).collect::<Vec<_>>().join(", ");
    let message = |message: &Message| format!("{:?}: {}; ", message.role, parts(&message.parts));
    let history: String = conversation.history.iter().map(message).collect();
    format!("{history}prompt: {}", parts(&conversation.prompt))
}

#[test]
fn conversation_continues_with_call_outputs() {
    let seal = EncryptedContent::Thinking {
        text: "hm".into(),
        signature: "s".into(),
    }
    .to_text();
    let earlier = json!([
        user("hi"),
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": seal},
        {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": "let me see", "annotations": [], "logprobs": []}]},
        call("c1"), call("c2"),
    ]);
    let conversation = decode_input(&earlier, &json!([output("c2"), output("c1")])).unwrap();
    let expected =
        "User: hi; Assistant: thinking, let me see, call c1, call c2; prompt: result c2, result c1";
    assert_eq!(outline(&conversation), expected);
    let mut sent = earlier.as_array().unwrap().clone();
    sent.extend([output("c2"), output("c1")]);
    // The strict policy accepts own answers sent back.
    assert_eq!(
        decode_input(&json!([]), &json!(sent)).as_ref(),
        Ok(&conversation)
    );
    let thinking = Thinking::Open {
        text: "hm".into(),
        signature: "s".into(),
    };
    assert_eq!(conversation.history[1].parts[0], Part::Thinking(thinking));
    let more = decode_input(&earlier, &json!([output("c1"), output("c2"), user("and?")])).unwrap();
    assert!(outline(&more).ends_with("; User: result c1, result c2; prompt: and?"));
}

#[test]
fn instructions_come_first_or_stay_in_place() {
    let items = json!([
        {"role": "developer", "content": "a"}, user("hi"),
        {"role": "system", "content": [{"type": "input_text", "text": "b"}]},
    ]);
    let conversation = decode_input(&json!([]), &items).unwrap();
    assert_eq!(
        (conversation.system, conversation.prompt),
        (vec!["a".into()], vec![Part::Instruction("b".into())])
    );
}

#[test]
fn incomplete_call_is_dropped_with_its_output() {
    let cut = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{\"a", "status": "incomplete"});
    let conversation = decode_input(
        &json!([user("hi"), cut]),
        &json!([output("c"), user("again")]),
    )
    .unwrap();
    assert_eq!(outline(&conversation), "User: hi; prompt: again");
}

#[test]
fn compaction_expands_to_its_items() {
    let sealed = EncryptedContent::Conversation(vec![
        user("one"),
        json!({"role": "assistant", "content": "two"}),
        call("c"),
    ]);
    let compaction = json!({"type": "compaction", "encrypted_content": sealed.to_text()});
    let conversation = decode_input(&json!([]), &json!([compaction, output("c")])).unwrap();
    assert_eq!(
        outline(&conversation),
        "User: one; Assistant: two, call c; prompt: result c"
    );
}

#[test]
fn server_tool_items_are_dropped() {
    let skipped = [
        json!({"type": "web_search_call", "id": "ws_1", "status": "failed", "action": {}}),
        json!({"type": "code_interpreter_call", "id": "ci_1", "status": "completed", "code": "1", "container_id": "",
            "outputs": [{"type": "logs", "logs": "1"}]}),
        json!({"type": "mcp_call", "id": "mcp_1", "status": "completed", "server_label": "s", "name": "look",
            "arguments": "{}", "output": "o", "error": null, "approval_request_id": null}),
        json!({"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "s", "tools": [], "error": "x"}),
    ];
    let items: Vec<_> = std::iter::once(user("hi"))
        .chain(skipped)
        .chain([user("and?")])
        .collect();
    assert_eq!(
        outline(&decode_input(&json!([]), &json!(items)).unwrap()),
        "User: hi; prompt: and?"
    );
}

#[test]
fn unsupported_items_are_dropped_and_reported() {
    let items = json!([
        user("hi"), {"type": "image_generation_call", "id": "ig_1", "result": "x"}, {"type": "tool_search_output", "tools": []},
        {"type": "web_search_call", "action": {}}, {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}, user("and?"),
    ]);
    let mut ignored = RemarkCollector::new(Policy::Lenient);
    let conversation = decode_conversation(
        None,
        ("previous_response_id", &[]),
        items.as_array().unwrap(),
        &mut ignored,
    )
    .unwrap();
    assert_eq!(outline(&conversation), "User: hi; prompt: and?");
    assert_eq!(
        ignored.into_remarks().ignored,
        [
            "input[] (image_generation_call)",
            "input[] (tool_search_output)",
            "input[] (web_search_call)",
            "input[].encrypted_content",
        ]
    );
}

#[test]
fn invalid_conversations_are_refused_with_a_reason() {
    for (items, param, expected) in [
        (json!([]), "input", "no message for Claude"),
        (json!([user(" ")]), "input[0].content", "is blank"),
        (
            json!([user("hi"), call("c")]),
            "input[1].arguments",
            "has no result",
        ),
        (
            json!([user("hi"), call("c"), user("x")]),
            "input[1].arguments",
            "has no result",
        ),
        (
            json!([user("hi"), call("c"), call("d"), output("c"), call("e")]),
            "input[2].arguments",
            "no result",
        ),
        (
            json!([output("c")]),
            "input[0].call_id",
            "no call `c` that waits",
        ),
        (
            json!([user("hi"), call("c"), output("c"), output("c")]),
            "input[3].call_id",
            "each result once",
        ),
        (
            json!([user("hi"), call("c"), user("x"), output("c")]),
            "input[3].call_id",
            "Move it there",
        ),
        (
            json!([user("hi"), call("c"), call("c")]),
            "input[2].arguments",
            "the same id `c`",
        ),
        (
            json!([{"type": "function_call", "call_id": "a b"}]),
            "input[0].call_id",
            "letters, digits",
        ),
        (
            json!([user("hi"), {"type": "function_call", "call_id": "a", "name": "f", "arguments": "[]"}]),
            "input[1].arguments",
            "a JSON object",
        ),
        (
            json!([{"type": "reasoning", "encrypted_content": "x"}]),
            "input[0].encrypted_content",
            "value that this server returned",
        ),
        (
            json!([{"type": "compaction", "encrypted_content": "x"}]),
            "input[0].encrypted_content",
            "value that this server returned",
        ),
        (
            json!([{"type": "item_reference"}]),
            "input[0].id",
            "is missing",
        ),
        (
            json!([{"type": "file_search_call"}]),
            "input[0].type",
            "`file_search_call`",
        ),
        (
            json!([{"role": "user", "content": "x", "output": "y"}]),
            "input[0].output",
            "does not belong",
        ),
        (
            json!([{"role": "user", "content": "x", "action": {}}]),
            "input[0].action",
            "does not belong",
        ),
        (
            json!([{"type": "mcp_call", "code": "x"}]),
            "input[0].code",
            "does not belong",
        ),
        (
            json!([{"role": "robot", "content": "x"}]),
            "input[0].role",
            "expected `user`",
        ),
    ] {
        let error = decode_input(&json!([]), &items).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(param), "{}", error.message);
        assert!(error.message.contains(expected), "{}", error.message);
    }
}

#[test]
fn broken_conversations_are_repaired_and_reported() {
    let repaired = |items: Value| {
        let mut ignored = RemarkCollector::new(Policy::Lenient);
        let conversation = decode_conversation(
            Some("Sing.".into()),
            ("previous_response_id", &[]),
            items.as_array().unwrap(),
            &mut ignored,
        )
        .unwrap();
        (
            conversation.system.join(" "),
            outline(&conversation),
            ignored.into_remarks().repaired,
        )
    };
    let sing = || "Sing.".to_owned();
    for (items, expected, name) in [
        (
            json!([user("hi"), call("c"), user("x"), output("c")]),
            "User: hi; Assistant: call c; User: result c; prompt: x",
            "results_moved",
        ),
        (
            json!([user("hi"), call("c"), user("x")]),
            "User: hi; Assistant: call c; User: result c; prompt: x",
            "calls_without_results",
        ),
        (
            json!([output("c")]),
            "prompt: Result of the tool call `c`:, out",
            "results_without_calls",
        ),
        (
            json!([user("hi"), user(" ")]),
            "prompt: hi",
            "empty_messages",
        ),
    ] {
        assert_eq!(repaired(items), (sing(), expected.to_owned(), vec![name]));
    }
    assert_eq!(
        repaired(json!([])),
        (
            String::new(),
            "prompt: Sing.".into(),
            vec!["no_user_message"]
        )
    );
}

#[test]
fn outputs_match_calls_in_any_order() {
    const CALLS: usize = 1000;
    let ids = || (0..CALLS).map(|number| format!("c{number}"));
    let calls = ids().map(|id| call(&id));
    let outputs = ids().rev().map(|id| output(&id));
    let items: Vec<_> = std::iter::once(user("hi"))
        .chain(calls)
        .chain(outputs)
        .collect();
    assert_eq!(
        decode_input(&json!([]), &json!(items))
            .unwrap()
            .prompt
            .len(),
        CALLS
    );
}
