use serde_json::Value;

use super::*;
use crate::api::openai::chat::ChatTurnMetadata;
use crate::api::openai::chat::SocketEncoder;
use crate::api::request_schema::Remarks;
use crate::domain::Citation;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::TurnEvent;
use crate::domain::Usage;

fn chat(fields: &Value) -> Result<ChatClientMessage, InvalidRequest> {
    let mut message =
        json!({"type": "chat", "model": "m", "messages": [{"role": "user", "content": "hi"}]});
    message
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    parse_message(&message.to_string(), Policy::Strict)
}

#[test]
fn chat_message_carries_id_and_request() {
    let message = chat(
        &json!({"id": "a.1", "stream": false, "stream_options": {"x": 1}, "temperature": 0.5}),
    );
    let ChatClientMessage::Chat { id, request } = message.unwrap() else {
        panic!("no chat")
    };
    assert_eq!((id.as_deref(), request.n), (Some("a.1"), 1));
    assert_eq!(request.turn.sampling.temperature, Some(0.5));
    let ChatClientMessage::Chat { id: None, .. } = chat(&json!({"n": 1})).unwrap() else {
        panic!("no name was given")
    };
}

#[test]
fn cancel_ping_and_auth_are_parsed() {
    let parse = |text: &str| parse_message(text, Policy::Lenient).unwrap();
    assert!(matches!(
        parse(r#"{"type":"ping"}"#),
        ChatClientMessage::Ping
    ));
    assert!(
        matches!(parse(r#"{"type":"cancel","id":"x"}"#), ChatClientMessage::Cancel { id } if id == "x")
    );
    let auth = parse(r#"{"type":"auth","api_key":"secret"}"#);
    assert_eq!(format!("{auth:?}"), "Auth");
    assert!(matches!(auth, ChatClientMessage::Auth { api_key } if api_key == "secret"));
}

#[test]
fn invalid_messages_are_refused_with_their_field() {
    for (message, param, code) in [
        ("{", None, None),
        ("[]", None, None),
        ("{}", Some("type"), Some(code::MISSING)),
        (r#"{"type":1}"#, Some("type"), Some(code::TYPE)),
        (r#"{"type":"steer"}"#, Some("type"), Some(code::VALUE)),
        (r#"{"type":"cancel"}"#, Some("id"), Some(code::MISSING)),
        (
            r#"{"type":"cancel","id":"a b"}"#,
            Some("id"),
            Some(code::VALUE),
        ),
        (
            r#"{"type":"cancel","id":"a","model":"m"}"#,
            Some("model"),
            Some(code::UNKNOWN),
        ),
        (
            r#"{"type":"ping","api_key":"k"}"#,
            Some("api_key"),
            Some(code::UNKNOWN),
        ),
        (r#"{"type":"auth"}"#, Some("api_key"), Some(code::MISSING)),
        (
            r#"{"type":"chat","id":"a"}"#,
            Some("model"),
            Some(code::MISSING),
        ),
    ] {
        let error = parse_message(message, Policy::Lenient).unwrap_err();
        assert_eq!(
            (error.param.as_deref(), error.code),
            (param, code),
            "{message}"
        );
    }
    for (fields, param) in [
        (json!({"n": 2}), "n"),
        (json!({"n": 0}), "n"),
        (json!({"temperature": 9}), "temperature"),
        (json!({"api_key": "k"}), "api_key"),
        (json!({"new": 1}), "new"),
    ] {
        assert_eq!(chat(&fields).unwrap_err().param.as_deref(), Some(param));
    }
}

#[test]
fn error_message_carries_turn_id_if_known() {
    assert_eq!(turn_id(r#"{"id":"a","type":7}"#).as_deref(), Some("a"));
    assert_eq!(
        turn_id(r#"{"id":"a","content":"\ud83d"}"#).as_deref(),
        Some("a")
    );
    for text in ["{", r#"{"id":1}"#, r#"{"id":"a b"}"#, "{}"] {
        assert_eq!(turn_id(text), None, "{text}");
    }
    let envelope = OpenAiErrorEnvelope {
        message: "m".into(),
        r#type: "t",
        param: None,
        code: None,
    };
    let messages = [
        error_message(None, &envelope, 400, None),
        error_message(Some("a"), &envelope, 429, Some(1500)),
    ];
    insta::assert_snapshot!(messages.join("\n"), @r#"
    {"error":{"code":null,"message":"m","param":null,"type":"t"},"id":null,"status":400,"type":"error"}
    {"error":{"code":null,"message":"m","param":null,"type":"t"},"id":"a","retry_after_ms":1500,"status":429,"type":"error"}
    "#);
}

#[test]
fn turn_events_become_messages() {
    let mut encoder = SocketEncoder::new("a".into());
    let remarks = Remarks {
        ignored: vec!["seed".into()],
        repaired: vec!["arguments"],
    };
    let mut messages = vec![
        encoder.started("sonnet", &Remarks::default()),
        encoder.started("sonnet", &remarks),
    ];
    encoder.set_metadata(ChatTurnMetadata {
        model: "claude-sonnet-5-5".into(),
        cache: Some("miss"),
        ..ChatTurnMetadata::default()
    });
    let usage = Usage {
        input_tokens: 3,
        output_tokens: 2,
        ..Usage::default()
    };
    let call = |id: &str| TurnEvent::tool_call(id, "look");
    for event in [
        TurnEvent::started("m", usage),
        TurnEvent::Thinking("why\n".into()),
        TurnEvent::Text("\"Hel".into()),
        call("c1"),
        call("c2"),
        TurnEvent::ToolInput("{\"a\"".into()),
        TurnEvent::ToolInput(":1}".into()),
        TurnEvent::Finished(Finish::new(FinishReason::ToolCalls, usage)),
    ] {
        messages.extend(encoder.event(&event));
    }
    messages.push(encoder.cancelled());
    let refused = Finish::new(FinishReason::ContentFilter, usage);
    messages.extend(SocketEncoder::new("b".into()).event(&TurnEvent::Finished(refused)));
    insta::assert_snapshot!(messages.join("\n"), @r#"
    {"type":"started","id":"a","model":"sonnet"}
    {"type":"started","id":"a","model":"sonnet","ignored":["seed"],"repaired":["arguments"]}
    {"type":"reasoning","id":"a","content":"why\n"}
    {"type":"token","id":"a","content":"\"Hel"}
    {"type":"tool_call","id":"a","index":0,"call_id":"c1","name":"look","arguments":""}
    {"type":"tool_call","id":"a","index":0,"arguments":"{}"}
    {"type":"tool_call","id":"a","index":1,"call_id":"c2","name":"look","arguments":""}
    {"type":"tool_call","id":"a","index":1,"arguments":"{\"a\""}
    {"type":"tool_call","id":"a","index":1,"arguments":":1}"}
    {"type":"done","id":"a","finish_reason":"tool_calls","usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"model":"claude-sonnet-5-5","cache":"miss"}
    {"type":"done","id":"a","finish_reason":"cancelled","model":"claude-sonnet-5-5","cache":"miss"}
    {"type":"done","id":"b","finish_reason":"content_filter","refusal":"Claude refused to answer.","usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}
    "#);
}

#[test]
fn citations_become_annotation_messages() {
    let mut encoder = SocketEncoder::new("a".into());
    let url = Some("https://a.example".to_owned());
    let citation = Citation {
        json: "{}".into(),
        url,
        title: Some("A".into()),
    };
    let events = [TurnEvent::Text("Hi".into()), TurnEvent::Citation(citation)];
    let messages: Vec<String> = events
        .iter()
        .flat_map(|event| encoder.event(event))
        .collect();
    insta::assert_snapshot!(messages[1], @r#"{"type":"annotations","id":"a","annotations":[{"type":"url_citation","url_citation":{"start_index":0,"end_index":2,"title":"A","url":"https://a.example"}}]}"#);
}

#[test]
fn turn_id_is_found_without_parsing_the_message() {
    for (text, id) in [
        (
            r#"{"a": {"id": "no"}, "id": "a", "messages": [[1], {"b": 2}]}"#,
            Some("a"),
        ),
        (r#"{"id": 7}"#, None),
        (r#"{"id": "a""#, None),
        ("[]", None),
    ] {
        assert_eq!(scan_turn_id(text).as_deref(), id, "{text}");
    }
}
