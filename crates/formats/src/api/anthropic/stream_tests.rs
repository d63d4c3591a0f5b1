//! Streams as clients receive them.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::api::anthropic::MessageBuilder;
use crate::api::anthropic::testing::call;
use crate::api::anthropic::testing::finish;
use crate::api::anthropic::testing::input;
use crate::api::anthropic::testing::native;
use crate::api::anthropic::testing::text;
use crate::domain::FinishReason;
use crate::domain::Usage;

fn encoder(shows_thinking: bool) -> MessageStreamEncoder {
    let reply = MessageHead {
        id: "msg_1".into(),
        model: "a \"model\"".into(),
    };
    MessageStreamEncoder::new(reply, shows_thinking)
}

fn encode(shows_thinking: bool, events: Vec<TurnEvent>) -> Vec<MessageStreamEvent> {
    let mut encoder = encoder(shows_thinking);
    events
        .into_iter()
        .flat_map(|event| encoder.encode_event(event))
        .collect()
}

fn finished() -> TurnEvent {
    TurnEvent::Finished(finish(FinishReason::Stop, Some("END")))
}

#[test]
fn stream_sends_native_fields_where_upstream_did() {
    let (start, ended) = native();
    let started = TurnEvent::Started {
        model: "m".to_owned(),
        usage: Usage::default(),
        native: start,
    };
    let finish = Finish {
        native: ended,
        ..finish(FinishReason::Stop, None)
    };
    let events = encode(true, vec![started, TurnEvent::Finished(finish)]);
    let data: Vec<_> = events.iter().map(|event| event.data.as_str()).collect();
    insta::assert_snapshot!(data.join("\n"), @r#"
    {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"a \"model\"","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0,"output_tokens_details":{"thinking_tokens":0},"service_tier":"standard"},"container":null}}
    {"type":"ping"}
    {"type":"message_delta","delta":{"stop_reason":"new_reason","stop_sequence":null,"container":{"id":"c"}},"usage":{"input_tokens":2,"cache_creation_input_tokens":3,"cache_read_input_tokens":4,"output_tokens":5,"output_tokens_details":{"thinking_tokens":1},"cache_creation":{"a":1}},"context_management":{}}
    {"type":"message_stop"}
    "#);
}

#[test]
fn stream_has_blocks_of_thinking_text_and_tool_calls() {
    let events = encode(
        true,
        vec![
            TurnEvent::started("claude-sonnet", Usage::default()),
            TurnEvent::Thinking("hm".into()),
            TurnEvent::ThinkingSignature("seal".into()),
            TurnEvent::ThinkingRedacted("xyz".into()),
            text("Hé\n"),
            text("!"),
            call("t1", "look"),
            input(r#"{"a":"#),
            input("1}"),
            call("t2", "wait"),
            finished(),
        ],
    );
    let lines: Vec<_> = events
        .iter()
        .map(|event| format!("{}: {}", event.name, event.data))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
message_start: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"a \"model\"","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0,"output_tokens_details":{"thinking_tokens":0}}}}
ping: {"type":"ping"}
content_block_start: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}
content_block_delta: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}
content_block_delta: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"seal"}}
content_block_stop: {"type":"content_block_stop","index":0}
content_block_start: {"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"xyz"}}
content_block_stop: {"type":"content_block_stop","index":1}
content_block_start: {"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}
content_block_delta: {"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"Hé\n"}}
content_block_delta: {"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"!"}}
content_block_stop: {"type":"content_block_stop","index":2}
content_block_start: {"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"t1","name":"look","input":{}}}
content_block_delta: {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}
content_block_delta: {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"1}"}}
content_block_stop: {"type":"content_block_stop","index":3}
content_block_start: {"type":"content_block_start","index":4,"content_block":{"type":"tool_use","id":"t2","name":"wait","input":{}}}
content_block_stop: {"type":"content_block_stop","index":4}
message_delta: {"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"END"},"usage":{"input_tokens":2,"cache_creation_input_tokens":3,"cache_read_input_tokens":4,"output_tokens":5,"output_tokens_details":{"thinking_tokens":1}}}
message_stop: {"type":"message_stop"}
"#);
}

#[test]
fn hidden_thinking_keeps_its_signature() {
    let events = encode(
        false,
        vec![
            TurnEvent::Thinking("hm".into()),
            TurnEvent::ThinkingSignature("seal".into()),
        ],
    );
    let data: Vec<_> = events[2..]
        .iter()
        .map(|event| event.data.as_str())
        .collect();
    assert_eq!(
        data,
        [
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"seal"}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
        ]
    );
}

#[test]
fn no_event_follows_a_failure() {
    let mut encoder = encoder(true);
    encoder.encode_event(text("a"));
    let envelope = AnthropicError {
        kind: "overloaded_error",
        message: "gone",
        param: None,
        request_id: "req_1",
    };
    let event = encoder.error_event(&envelope);
    assert_eq!(
        (event.name, event.data.as_str()),
        (
            "error",
            r#"{"type":"error","error":{"type":"overloaded_error","message":"gone"},"request_id":"req_1"}"#
        )
    );
    assert!(encoder.is_over());
    assert!(
        encoder.encode_event(text("b")).is_empty() && encoder.encode_event(finished()).is_empty()
    );
}

fn event() -> impl Strategy<Value = TurnEvent> {
    prop_oneof![
        1 => Just(TurnEvent::started("claude-sonnet", Usage::default())),
        3 => any::<String>().prop_map(TurnEvent::Thinking),
        2 => "[a-z]{1,3}".prop_map(TurnEvent::ThinkingSignature),
        1 => any::<String>().prop_map(TurnEvent::ThinkingRedacted),
        4 => any::<String>().prop_map(TurnEvent::Text),
        3 => ("[a-z]{1,2}", "[a-z]{1,2}").prop_map(|(id, name)| call(&id, &name)),
        3 => prop_oneof![Just("{\"a\":"), Just("1}"), Just("{}"), Just("\"\n")].prop_map(input),
        1 => Just(finished()),
    ]
}

/// Appends a delta to a block. The input of a call is a string until its block is closed.
fn append(block: &mut Value, delta: &Value) {
    let (field, piece) = match delta["type"].as_str().unwrap() {
        "text_delta" => ("text", &delta["text"]),
        "thinking_delta" => ("thinking", &delta["thinking"]),
        "signature_delta" => ("signature", &delta["signature"]),
        "input_json_delta" => ("input", &delta["partial_json"]),
        other => panic!("{other}"),
    };
    let before = block[field].as_str().unwrap();
    block[field] = [before, piece.as_str().unwrap()].concat().into();
}

/// Accumulates a stream to a message, as an SDK does. Asserts that each event is allowed in its
/// place.
fn accumulated(events: &[MessageStreamEvent]) -> Option<Value> {
    let mut message: Option<Value> = None;
    let mut open = None;
    let mut is_over = false;
    for event in events {
        assert!(!event.data.contains('\n') && !is_over);
        let data: Value = serde_json::from_str(&event.data).unwrap();
        assert_eq!(data["type"], event.name);
        let Some(message) = &mut message else {
            assert_eq!(event.name, "message_start");
            message = Some(data["message"].clone());
            continue;
        };
        let index = data["index"]
            .as_u64()
            .map(|index| usize::try_from(index).unwrap());
        let content = message["content"].as_array_mut().unwrap();
        match event.name {
            "ping" => {}
            "content_block_start" => {
                assert_eq!((open, index), (None, Some(content.len())));
                open = index;
                let mut block = data["content_block"].clone();
                if block["type"] == "tool_use" {
                    block["input"] = "".into();
                }
                content.push(block);
            }
            "content_block_delta" => {
                assert!(open.is_some() && open == index);
                append(content.last_mut().unwrap(), &data["delta"]);
            }
            "content_block_stop" => {
                assert!(open.take().is_some_and(|open| Some(open) == index));
            }
            "message_delta" => {
                assert_eq!(open, None);
                for field in ["stop_reason", "stop_sequence"] {
                    message[field] = data["delta"][field].clone();
                }
                message["usage"] = data["usage"].clone();
            }
            "message_stop" => is_over = true,
            other => panic!("{other}"),
        }
    }
    let mut message = message.filter(|_| is_over)?;
    for block in message["content"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .filter(|block| block["type"] == "tool_use")
    {
        let input = block["input"]
            .as_str()
            .and_then(|input| serde_json::from_str(input).ok());
        block["input"] = input.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    }
    Some(message)
}

proptest! {
    #[test]
    fn any_events_give_a_well_formed_and_complete_stream(
        events in proptest::collection::vec(event(), 0..16),
        shows_thinking in any::<bool>(),
    ) {
        let mut answer = MessageBuilder::new(shows_thinking);
        let end = events.iter().cloned().find_map(|event| answer.add_event(event));
        let reply = MessageHead { id: "msg_1".into(), model: "a \"model\"".into() };
        let whole = end.map(|end| serde_json::from_str::<Value>(&answer.body(&reply, &end)).unwrap());
        prop_assert_eq!(accumulated(&encode(shows_thinking, events)), whole);
    }
}
