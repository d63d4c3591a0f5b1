use serde_json::json;

use super::*;
use crate::domain::MediaSource;
use crate::domain::Thinking;
use crate::domain::ToolResult;
use crate::domain::ToolUse;
use crate::engine::hooks::testing;

fn text(text: &str) -> Part {
    Part::text(text)
}

fn image() -> Part {
    Part::Image(MediaSource::Url("https://example.com/a.png".to_owned()))
}

fn thinking() -> Part {
    Part::Thinking(Thinking::Redacted("sealed".to_owned()))
}

fn call() -> Part {
    Part::ToolUse(ToolUse {
        id: "call_1".to_owned(),
        name: "look".to_owned(),
        input: r#"{"at":"\u0077ord"}"#.to_owned(),
    })
}

fn result() -> Part {
    Part::ToolResult(ToolResult {
        id: "call_1".to_owned(),
        parts: vec![text("found"), image()],
        is_error: false,
    })
}

/// Turn whose model called a tool with an image before.
fn turn() -> Turn {
    let message = |role, parts| Message { role, parts };
    Turn {
        system: vec!["Be brief.".to_owned(), "Be kind.".to_owned()],
        history: vec![
            message(Role::User, vec![text("What is it?"), image()]),
            message(
                Role::Assistant,
                vec![thinking(), text("Let me see."), call()],
            ),
        ],
        ..testing::turn(vec![result(), text("Go on.")])
    }
}

fn as_json(turn: &Turn) -> Value {
    serde_json::to_value(wire_messages(turn)).unwrap()
}

fn replace(turn: &mut Turn, messages: &Value) -> Result<bool, HookFailure> {
    replace_messages(turn, serde_json::from_value(messages.clone()).unwrap())
}

#[test]
fn conversation_is_shown_without_data_and_thinking() {
    let expected = json!([
        {"role": "user", "content": [{"type": "text", "text": "What is it?", "ref": 0}, {"type": "image", "ref": 1}]},
        {"role": "assistant", "content": [
            {"type": "text", "text": "Let me see.", "ref": 2},
            {"type": "tool_call", "name": "look", "input": {"at": "word"}, "ref": 3},
        ]},
        {"role": "user", "content": [{"type": "tool_result", "text": "found", "ref": 4}, {"type": "text", "text": "Go on.", "ref": 5}]},
    ]);
    assert_eq!(as_json(&turn()), expected);
    assert_eq!(wire_system(&turn()).unwrap(), "Be brief.\n\nBe kind.");
}

#[test]
fn messages_that_are_given_back_change_nothing() {
    let mut same = turn();
    let mut messages = as_json(&same);
    assert_eq!(replace(&mut same, &messages), Ok(false));
    for message in messages.as_array_mut().unwrap() {
        for part in message["content"].as_array_mut().unwrap() {
            part.as_object_mut().unwrap().remove("ref");
        }
    }
    assert_eq!(replace(&mut same, &messages), Ok(true));
    let kept = |part: &Part| !matches!(part, Part::Thinking(_));
    let mut without_thinking = turn();
    without_thinking.history[1].parts.retain(kept);
    same.history[1].parts.retain(kept);
    assert_eq!(same, without_thinking);
}

#[test]
fn replaced_parts_keep_what_is_not_shown_of_them() {
    let mut changed = turn();
    let mut messages = as_json(&changed);
    messages[1]["content"][1]["input"] = json!({"at": "***"});
    messages[2]["content"][0]["text"] = "lost".into();
    messages[2]["content"][1]["text"] = "Stop.".into();
    assert_eq!(replace(&mut changed, &messages), Ok(true));
    assert_eq!(changed.history[0], turn().history[0]);
    let Part::ToolUse(call) = &changed.history[1].parts[2] else {
        panic!("{changed:?}");
    };
    assert_eq!(
        (call.id.as_str(), call.input.as_str()),
        ("call_1", r#"{"at":"***"}"#)
    );
    assert_eq!(changed.history[1].parts[0], thinking());
    let Part::ToolResult(result) = &changed.prompt[0] else {
        panic!("{changed:?}");
    };
    assert_eq!(result.parts, [text("lost"), image()]);
    assert_eq!(changed.prompt[1], text("Stop."));
}

#[test]
fn messages_may_be_added_and_removed() {
    let mut short = turn();
    let messages = json!([
        {"role": "user", "content": [{"type": "text", "text": "First."}]},
        {"role": "user", "content": [{"type": "text", "text": "Second."}, {"type": "text", "text": " "}]},
    ]);
    assert_eq!(replace(&mut short, &messages), Ok(true));
    assert!(short.history.is_empty());
    assert_eq!(short.prompt, [text("First."), text("Second.")]);
}

#[test]
fn native_blocks_keep_their_other_members() {
    let json = json!({"type": "text", "text": "secret", "citations": [1]}).to_string();
    let mut native = turn();
    native.history.clear();
    native.prompt = vec![Part::Native(NativeBlock {
        json,
        role: NativeRole::Other,
    })];
    let mut messages = as_json(&native);
    assert_eq!(messages[0]["content"][0]["text"], "secret");
    messages[0]["content"][0]["text"] = "***".into();
    assert_eq!(replace(&mut native, &messages), Ok(true));
    let [Part::Native(block)] = &native.prompt[..] else {
        panic!("{native:?}");
    };
    let block: Value = serde_json::from_str(&block.json).unwrap();
    assert_eq!(
        block,
        json!({"type": "text", "text": "***", "citations": [1]})
    );
}

#[test]
fn messages_that_are_no_conversation_are_refused() {
    for messages in [
        json!([]),
        json!([{"role": "assistant", "content": [{"type": "text", "text": "x"}]}]),
        json!([{"role": "user", "content": [{"type": "document"}]}]),
        json!([{"role": "user", "content": [{"type": "image"}, {"type": "image"}]}]),
        json!([{"role": "user", "content": [{"type": "tool_call", "name": "a", "input": 1, "ref": 3}]}]),
    ] {
        let refused = replace(&mut turn(), &messages);
        assert!(
            matches!(refused, Err(HookFailure::InvalidAnswer(_))),
            "{messages}"
        );
    }
}

#[test]
fn answer_that_is_continued_stays_the_end_of_the_conversation() {
    let mut continued = turn();
    continued.history.pop();
    continued.history.push(Message {
        role: Role::Assistant,
        parts: vec![text("Once upon")],
    });
    continued.prompt = vec![Part::Continue];
    let mut messages = as_json(&continued);
    messages[0]["content"][0]["text"] = "Tell.".into();
    assert_eq!(replace(&mut continued, &messages), Ok(true));
    assert_eq!(continued.prompt, [Part::Continue]);
    assert_eq!(continued.history[0].parts[0], text("Tell."));
    let messages = json!([{"role": "user", "content": [{"type": "text", "text": "x"}]}]);
    assert!(replace(&mut continued, &messages).is_err());
}
