//! Bodies of answers as clients receive them.

use super::*;
use crate::api::anthropic::testing::call;
use crate::api::anthropic::testing::finish;
use crate::api::anthropic::testing::input;
use crate::api::anthropic::testing::native;
use crate::api::anthropic::testing::text;
use crate::domain::FinishReason;
use crate::domain::ServerBlock;
use crate::domain::ServerTool;
use crate::domain::Usage;

fn body(shows_thinking: bool, events: Vec<TurnEvent>, finish: &Finish) -> String {
    let mut answer = MessageBuilder::new(shows_thinking);
    for event in events {
        assert!(answer.add_event(event).is_none());
    }
    assert!(
        answer
            .add_event(TurnEvent::Finished(finish.clone()))
            .is_some()
    );
    answer.body(
        &MessageHead {
            id: "msg_1".into(),
            model: "a \"model\"".into(),
        },
        finish,
    )
}

fn content(shows_thinking: bool, events: Vec<TurnEvent>) -> String {
    let body = body(shows_thinking, events, &finish(FinishReason::Stop, None));
    let (_, rest) = body.split_once(r#""content":"#).unwrap();
    rest.split_once(r#","stop_reason":"#).unwrap().0.to_owned()
}

#[test]
fn message_body_has_the_format_of_the_messages_api() {
    let started = TurnEvent::started("claude-sonnet", Usage::default());
    let body = body(
        true,
        vec![started, text("Hé"), text("llo\n")],
        &finish(FinishReason::Stop, None),
    );
    assert_eq!(
        body,
        concat!(
            r#"{"id":"msg_1","type":"message","role":"assistant","model":"a \"model\"","#,
            r#""content":[{"type":"text","text":"Héllo\n"}],"stop_reason":"end_turn","stop_sequence":null,"#,
            r#""usage":{"input_tokens":2,"cache_creation_input_tokens":3,"cache_read_input_tokens":4,"#,
            r#""output_tokens":5,"output_tokens_details":{"thinking_tokens":1}}}"#
        )
    );
}

#[test]
fn message_body_includes_native_fields() {
    let (start, ended) = native();
    let started = TurnEvent::Started {
        model: "m".to_owned(),
        usage: Usage::default(),
        native: start,
    };
    let call = TurnEvent::ToolCall {
        id: "a".to_owned(),
        name: "look".to_owned(),
        caller: Some(r#"{"type":"direct"}"#.to_owned()),
    };
    let finish = Finish {
        native: ended,
        ..finish(FinishReason::Stop, None)
    };
    insta::assert_snapshot!(body(true, vec![started, call], &finish), @r#"{"id":"msg_1","type":"message","role":"assistant","model":"a \"model\"","content":[{"type":"tool_use","id":"a","name":"look","input":{},"caller":{"type":"direct"}}],"stop_reason":"new_reason","stop_sequence":null,"usage":{"input_tokens":2,"cache_creation_input_tokens":3,"cache_read_input_tokens":4,"output_tokens":5,"output_tokens_details":{"thinking_tokens":1},"service_tier":"standard","cache_creation":{"a":1}},"container":{"id":"c"},"context_management":{}}"#);
}

#[test]
fn other_deltas_are_merged_into_their_server_block() {
    let block = r#"{"type":"compaction","content":null}"#.to_owned();
    let delta = |piece: &str| {
        let json = format!(r#"{{"type":"compaction_delta","content":"{piece}"}}"#);
        TurnEvent::BlockDelta(BlockDelta { json, input: None })
    };
    let start = TurnEvent::ServerBlock(ServerBlock {
        json: block,
        tool: ServerTool::Other,
    });
    assert_eq!(
        content(true, vec![start, delta("so "), delta("far")]),
        r#"[{"content":"so far","type":"compaction"}]"#
    );
}

#[test]
fn finish_reasons_become_stop_reasons() {
    for (reason, stop_sequence, expected) in [
        (
            FinishReason::Stop,
            None,
            r#""stop_reason":"end_turn","stop_sequence":null"#,
        ),
        (
            FinishReason::Stop,
            Some("END"),
            r#""stop_reason":"stop_sequence","stop_sequence":"END""#,
        ),
        (
            FinishReason::Length,
            None,
            r#""stop_reason":"max_tokens","stop_sequence":null"#,
        ),
        (
            FinishReason::ToolCalls,
            None,
            r#""stop_reason":"tool_use","stop_sequence":null"#,
        ),
        (
            FinishReason::ContentFilter,
            None,
            r#""stop_reason":"refusal","stop_sequence":null"#,
        ),
    ] {
        assert!(
            body(true, vec![], &finish(reason, stop_sequence)).contains(expected),
            "{expected}"
        );
    }
}

#[test]
fn message_body_keeps_the_order_of_blocks() {
    let events = || {
        vec![
            TurnEvent::Thinking("let ".into()),
            TurnEvent::Thinking("me".into()),
            TurnEvent::ThinkingSignature("seal".into()),
            TurnEvent::ThinkingRedacted("xyz".into()),
            TurnEvent::ThinkingSignature("seal 2".into()),
            text("Look."),
            call("t1", "look"),
            input(r#"{"z":1.0,"#),
            input(r#""a":2}"#),
            call("t2", "wait"),
        ]
    };
    let rest = concat!(
        r#"{"type":"redacted_thinking","data":"xyz"},"#,
        r#"{"type":"thinking","thinking":"","signature":"seal 2"},"#,
        r#"{"type":"text","text":"Look."},"#,
        r#"{"type":"tool_use","id":"t1","name":"look","input":{"z":1.0,"a":2}},"#,
        r#"{"type":"tool_use","id":"t2","name":"wait","input":{}}]"#
    );
    let shown = r#"[{"type":"thinking","thinking":"let me","signature":"seal"},"#;
    assert_eq!(content(true, events()), [shown, rest].concat());
    let omitted = r#"[{"type":"thinking","thinking":"","signature":"seal"},"#;
    assert_eq!(content(false, events()), [omitted, rest].concat());
}

#[test]
fn truncated_tool_input_becomes_an_empty_object() {
    let cut = content(true, vec![call("t1", "look"), input(r#"{"a":"#)]);
    assert_eq!(
        cut,
        r#"[{"type":"tool_use","id":"t1","name":"look","input":{}}]"#
    );
}

#[test]
fn count_body_has_the_format_of_count_tokens() {
    assert_eq!(count_tokens_body(7), r#"{"input_tokens":7}"#);
}
