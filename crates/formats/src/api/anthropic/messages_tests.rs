//! Valid and invalid messages.

use serde_json::Value;
use serde_json::json;

use super::*;
use crate::api::anthropic::testing::assert_refused;
use crate::api::anthropic::testing::assert_repaired;
use crate::api::anthropic::testing::decoded;
use crate::api::anthropic::testing::messages;
use crate::domain::MediaSource;
use crate::domain::Thinking;
use crate::domain::ToolResult;
use crate::domain::ToolUse;
use crate::domain::Turn;

const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGP4z8AARAwQCgAf7gP9i18U1AAAAABJRU5ErkJggg==";
const PDF: &str = "JVBERi0xLjQK";

fn turn(value: Value) -> Turn {
    decoded(&messages(value)).turn
}

fn user(content: &Value) -> Value {
    json!({"role": "user", "content": content})
}

fn assistant(content: &Value) -> Value {
    json!({"role": "assistant", "content": content})
}

fn call(id: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": "look", "input": {}})
}

fn result(id: &str) -> Value {
    json!({"type": "tool_result", "tool_use_id": id})
}

fn words(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn tool_result(id: &str) -> Part {
    Part::ToolResult(ToolResult {
        id: id.into(),
        parts: vec![],
        is_error: false,
    })
}

#[test]
fn messages_are_split_into_history_and_prompt() {
    let turn = turn(json!([
        user(&json!("a")),
        user(&json!([words("b"), words(" "), words("c")])),
        {"role": "system", "content": "Be brief."},
        assistant(&json!("d")),
        assistant(&json!([words("e")])),
        {"role": "system", "content": [words("And kind.")]},
        user(&json!(" f\n")),
    ]));
    let texts = |texts: &[&str]| {
        texts
            .iter()
            .map(|&text| Part::text(text))
            .collect::<Vec<_>>()
    };
    assert_eq!(turn.system, Vec::<String>::new());
    let instruction = |text: &str| Part::Instruction(text.to_owned());
    assert_eq!(
        turn.history,
        [
            Message {
                role: Role::User,
                parts: [texts(&["a", "b", "c"]), vec![instruction("Be brief.")]].concat(),
            },
            Message {
                role: Role::Assistant,
                parts: texts(&["d", "e"])
            },
        ]
    );
    assert_eq!(turn.prompt, [instruction("And kind."), Part::text(" f\n")]);
}

#[test]
fn anthropic_images_and_documents_are_decoded() {
    let source = |media_type: &str, data: &str| MediaSource::Base64 {
        media_type: media_type.into(),
        data: data.into(),
    };
    let rows = [
        (
            json!({"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": PNG}}),
            Part::Image(source("image/png", PNG)),
        ),
        (
            json!({"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}}),
            Part::Image(MediaSource::Url("https://x.example/a.png".into())),
        ),
        (
            json!({
                "type": "document", "title": "T",
                "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
            }),
            Part::Document {
                source: source("application/pdf", PDF),
                title: Some("T".into()),
            },
        ),
        (
            json!({"type": "document", "source": {"type": "url", "url": "https://x.example/a.pdf"}}),
            Part::Document {
                source: MediaSource::Url("https://x.example/a.pdf".into()),
                title: None,
            },
        ),
    ];
    for (block, expected) in rows {
        let result = json!({"type": "tool_result", "tool_use_id": "t", "content": [block], "is_error": true});
        assert_eq!(
            turn(json!([user(&json!([block]))])).prompt,
            std::slice::from_ref(&expected)
        );
        let answered = turn(json!([
            user(&json!("x")),
            assistant(&json!([call("t")])),
            user(&json!([result]))
        ]));
        let expected = ToolResult {
            id: "t".into(),
            parts: vec![expected],
            is_error: true,
        };
        assert_eq!(answered.prompt, [Part::ToolResult(expected)]);
    }
}

#[test]
fn thinking_and_tool_calls_are_decoded() {
    let body = r#"{"model": "m", "max_tokens": 9, "messages": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "", "signature": "s"},
            {"type": "redacted_thinking", "data": "d"},
            {"type": "text", "text": "Look.", "citations": null},
            {"type": "tool_use", "id": "t_1", "name": "look", "input": {"z": 1.0, "a": "b c"}}
        ]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t_1", "content": "seen"}]}
    ]}"#;
    let request =
        crate::api::anthropic::decode(body.as_bytes(), crate::api::request_schema::Policy::Strict)
            .unwrap();
    assert_eq!(
        request.turn.history[1].parts,
        [
            Part::Thinking(Thinking::Open {
                text: String::new(),
                signature: "s".into()
            }),
            Part::Thinking(Thinking::Redacted("d".into())),
            Part::text("Look."),
            Part::ToolUse(ToolUse {
                id: "t_1".into(),
                name: "look".into(),
                input: r#"{"z":1.0,"a":"b c"}"#.into()
            }),
        ]
    );
    let seen = ToolResult {
        id: "t_1".into(),
        parts: vec![Part::text("seen")],
        is_error: false,
    };
    assert_eq!(request.turn.prompt, [Part::ToolResult(seen)]);
}

#[test]
fn results_of_several_calls_become_one_prompt() {
    let calls = assistant(&json!([call("a"), call("b")]));
    let turn = turn(json!([
        user(&json!("x")),
        calls,
        user(&json!([result("b")])),
        user(&json!([result("a"), words("y")]))
    ]));
    assert_eq!(
        turn.prompt,
        [tool_result("b"), tool_result("a"), Part::text("y")]
    );
}

#[test]
fn anthropic_results_in_reverse_order_are_matched() {
    const CALLS: usize = 1000;
    let ids = || (0..CALLS).map(|number| format!("c{number}"));
    let calls: Vec<_> = ids().map(|id| call(&id)).collect();
    let results: Vec<_> = ids().rev().map(|id| result(&id)).collect();
    let turn = turn(json!([
        user(&json!("hi")),
        assistant(&json!(calls)),
        user(&json!(results))
    ]));
    assert_eq!(turn.prompt.len(), CALLS);
}

#[test]
fn mismatched_calls_and_results_are_repaired() {
    let hi = user(&json!("x"));
    let ask = assistant(&json!([call("a")]));
    let none = "calls_without_results";
    let stray = "results_without_calls";
    assert_repaired([
        (
            messages(json!([hi, ask, user(&json!([words("y"), result("a")]))])),
            "messages[2].content[1]",
            "Move it there",
            "results_moved",
        ),
        (
            messages(json!([hi, ask, hi])),
            "messages[1].content[0]",
            "has no result",
            none,
        ),
        (
            messages(json!([
                hi,
                assistant(&json!([call("a"), call("b")])),
                user(&json!([result("a")]))
            ])),
            "messages[1].content[1]",
            "has no result",
            none,
        ),
        (
            messages(json!([hi, ask, user(&json!([result("a"), result("b")]))])),
            "messages[2].content[1]",
            "no call `b`",
            stray,
        ),
        (
            messages(json!([hi, ask, user(&json!([result("a"), result("a")]))])),
            "messages[2].content[1]",
            "each result once",
            stray,
        ),
        (
            messages(json!([
                hi,
                assistant(&json!([call("a"), call("a")])),
                user(&json!([result("a"), result("a")]))
            ])),
            "messages[1].content[1]",
            "the same id `a`",
            "call_ids",
        ),
        (
            messages(json!([user(&json!([result("a"), words("x")]))])),
            "messages[0].content[0]",
            "no call",
            stray,
        ),
        (
            messages(json!([
                hi,
                assistant(&json!([{"type": "tool_use", "id": "a", "name": "f", "input": "x"}])),
                user(&json!([result("a")]))
            ])),
            "messages[1].content[0]",
            "a JSON object",
            "arguments",
        ),
    ]);
    let moved = turn(json!([hi, ask, user(&json!([words("y"), result("a")]))]));
    assert_eq!(moved.prompt, [tool_result("a"), Part::text("y")]);
}

#[test]
fn paused_answer_may_be_the_last_message() {
    let search = json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}});
    let found = json!({"type": "web_search_tool_result", "tool_use_id": "s", "content": []});
    let turn = turn(json!([
        user(&json!("x")),
        assistant(&json!([words("y"), search, found, words("z")]))
    ]));
    assert!(turn.prompt.is_empty());
    assert_eq!(
        (turn.history[1].role, turn.history[1].parts.len()),
        (Role::Assistant, 4)
    );
    let with_call = messages(json!([
        user(&json!("x")),
        assistant(&json!([found, call("a")]))
    ]));
    let with_call = decoded(&with_call);
    assert_eq!(with_call.remarks.repaired, ["calls_without_results"]);
    assert!(matches!(&*with_call.turn.prompt, [Part::ToolResult(result)] if result.is_error));
}

#[test]
fn message_errors_name_the_invalid_field() {
    let hi = user(&json!("x"));
    assert_refused([
        (messages(json!([])), "messages", "no message"),
        (messages(json!(["x"])), "messages[0]", "expected an object"),
        (
            messages(json!([{"content": "x"}])),
            "messages[0].role",
            "missing",
        ),
        (
            messages(json!([{"role": "tool", "content": "x"}])),
            "messages[0].role",
            "got `tool`",
        ),
        (
            messages(json!([{"role": "user"}])),
            "messages[0].content",
            "missing",
        ),
        (
            messages(json!([user(&json!(" "))])),
            "messages",
            "no message",
        ),
        (
            messages(json!([user(&json!({}))])),
            "messages[0].content",
            "a string or an array",
        ),
    ]);
    let only_instructions = messages(json!([{"role": "system", "content": "x"}]));
    let empty = "empty_messages";
    assert_repaired([
        (
            only_instructions,
            "messages",
            "no message",
            "no_user_message",
        ),
        (
            messages(json!([user(&json!(" ")), hi])),
            "messages[0].content",
            "blank",
            empty,
        ),
        (
            messages(json!([hi, user(&json!([]))])),
            "messages[1].content",
            "blank",
            empty,
        ),
        (
            messages(json!([hi, {"role": "system", "content": ""}])),
            "messages[1].content",
            "blank",
            empty,
        ),
    ]);
}

#[test]
fn block_errors_name_the_invalid_block() {
    let source = |source: Value| json!({"type": "image", "source": source});
    let document = |source: Value| json!({"type": "document", "source": source});
    let rows = [
        ("user", json!({"text": "x"}), "type", "missing"),
        ("user", json!({"type": "text"}), "text", "missing"),
        (
            "user",
            json!({"type": "thinking"}),
            "type",
            "got `thinking`",
        ),
        ("assistant", json!({"type": "image"}), "type", "got `image`"),
        (
            "assistant",
            json!({"type": "thinking", "thinking": "x"}),
            "signature",
            "missing",
        ),
        (
            "assistant",
            json!({"type": "thinking", "thinking": "x", "signature": ""}),
            "signature",
            "empty",
        ),
        (
            "assistant",
            json!({"type": "redacted_thinking"}),
            "data",
            "missing",
        ),
        (
            "assistant",
            json!({"type": "tool_use", "name": "x", "input": {}}),
            "id",
            "missing",
        ),
        (
            "assistant",
            json!({"type": "tool_use", "id": "a.b", "name": "x", "input": {}}),
            "id",
            "letters",
        ),
        (
            "assistant",
            json!({"type": "tool_use", "id": "a", "name": "", "input": {}}),
            "name",
            "1 to 128",
        ),
        (
            "assistant",
            json!({"type": "tool_use", "id": "a", "name": "x"}),
            "input",
            "missing",
        ),
        ("user", json!({"type": "image"}), "source", "missing"),
        (
            "user",
            source(json!({"type": "base64", "data": "AAAA"})),
            "source.data",
            "no image",
        ),
        (
            "user",
            source(json!({"type": "base64", "data": "?"})),
            "source.data",
            "not valid base64",
        ),
        (
            "user",
            source(json!({"type": "url", "url": "http://x"})),
            "source.url",
            "https://",
        ),
        (
            "user",
            document(json!({"type": "base64", "data": PNG})),
            "source.data",
            "no PDF",
        ),
    ];
    for (role, block, field, message) in rows {
        let request = messages(json!([
            {"role": role, "content": [words("x"), block]},
            user(&json!("x")),
        ]));
        assert_refused([(request, &format!("messages[0].content[1].{field}"), message)]);
    }
    let nested = json!({"type": "tool_result", "tool_use_id": "a", "content": [result("b")]});
    let request = messages(json!([
        user(&json!("x")),
        assistant(&json!([call("a")])),
        user(&json!([nested]))
    ]));
    assert_refused([(
        request,
        "messages[2].content[0].content[0].type",
        "`text`, `image` or `document`",
    )]);
}
