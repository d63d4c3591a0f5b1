use serde_json::Value;
use serde_json::json;

use super::create::SessionFields;
use super::message::NEW;
use super::*;
use crate::api::openai::chat::ChatAnswer;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Policy;
use crate::api::request_schema::document;
use crate::domain::Role;
use crate::domain::ToolUse;

#[test]
fn session_fields_match_the_document() {
    document::check_struct::<SessionFields>(&CREATE);
    document::check_own("session fields", &[&CREATE]);
    document::check("session message fields", &[&NEW]);
}

fn stored_messages() -> Vec<Value> {
    vec![
        json!({"role": "user", "content": "hi"}),
        json!({"role": "assistant", "content": "ho"}),
    ]
}

fn decode_after(stored_messages: &[Value], body: &Value) -> Result<MessageRequest, InvalidRequest> {
    let messages: Vec<_> = stored_messages.iter().collect();
    let earlier = SessionContext {
        model: Some("sonnet"),
        instructions: Some("brief"),
        messages: &messages,
    };
    decode_session_message(body.to_string().as_bytes(), &earlier, Policy::Strict)
}

#[test]
fn message_continues_the_stored_conversation() {
    let request = decode_after(
        &stored_messages(),
        &json!({"content": "and?", "temperature": 0.5, "stream": true}),
    )
    .unwrap();
    let turn = request.chat.turn;
    assert_eq!(
        (turn.model.as_str(), &turn.system),
        ("sonnet", &vec!["brief".to_owned()])
    );
    let roles: Vec<_> = turn.history.iter().map(|message| message.role).collect();
    assert_eq!(
        (roles, turn.sampling.temperature),
        (vec![Role::User, Role::Assistant], Some(0.5))
    );
    assert!(request.chat.stream);
    assert_eq!(
        request.new_messages,
        [json!({"role": "user", "content": "and?"})]
    );
    let other = decode_after(
        &stored_messages(),
        &json!({"content": "and?", "model": "haiku"}),
    )
    .unwrap();
    assert_eq!(other.chat.turn.model.as_str(), "haiku");
}

#[test]
fn tool_results_are_accepted_as_messages() {
    let call = ToolUse {
        id: "c".into(),
        name: "look".into(),
        input: String::new(),
    };
    let answer = ChatAnswer {
        calls: vec![call],
        ..ChatAnswer::default()
    };
    let stored_messages = [
        json!({"role": "user", "content": "hi"}),
        assistant_message(&answer),
    ];
    let result = json!({"role": "tool", "tool_call_id": "c", "content": "seen"});
    assert!(decode_after(&stored_messages, &json!({"messages": [result]})).is_ok());
    let other = decode_after(&stored_messages, &json!({"content": "never mind"})).unwrap_err();
    assert_eq!(other.param.as_deref(), Some("content"), "{}", other.message);
}

#[test]
fn messages_of_a_conversation_that_began_elsewhere_are_accepted() {
    let messages = json!([
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "ho"},
        {"role": "user", "content": "and?"},
    ]);
    let request = decode_after(&[], &json!({"messages": messages})).unwrap();
    let turn = request.chat.turn;
    let roles: Vec<_> = turn.history.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant]);
    assert_eq!(json!(request.new_messages), messages);
}

#[test]
fn errors_use_the_paths_of_the_client() {
    for (body, param) in [
        (json!({}), "content"),
        (json!({"content": " "}), "content"),
        (
            json!({"content": [{"type": "text", "text": 1}]}),
            "content[0].text",
        ),
        (json!({"content": "x", "messages": []}), "messages"),
        (json!({"messages": []}), "content"),
        (
            json!({"messages": [{"role": "user", "content": 1}]}),
            "messages[0].content",
        ),
        (
            json!({"messages": [{"role": "assistant", "content": "x"}]}),
            "messages[0].role",
        ),
        (
            json!({"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "y"}]}),
            "messages[0].role",
        ),
        (json!({"content": "x", "n": 2}), "n"),
        (json!({"content": "x", "temperature": 9}), "temperature"),
        (json!({"content": "x", "new": 9}), "new"),
    ] {
        let error = decode_after(&stored_messages(), &body).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(param), "{body}");
        assert!(!error.message.contains("messages[3]"), "{}", error.message);
    }
}

#[test]
fn tool_schemas_are_kept_verbatim() {
    let body = br#"{"content":"x","tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"z":{},"a":{}}}}}]}"#;
    let earlier = SessionContext {
        model: Some("m"),
        instructions: None,
        messages: &[],
    };
    let request = decode_session_message(body, &earlier, Policy::Strict).unwrap();
    let tools = format!("{:?}", request.chat.turn.tools);
    assert!(tools.contains(r#"{\"z\":{},\"a\":{}}"#), "{tools}");
}

#[test]
fn create_body_is_decoded_or_refused() {
    let made =
        decode_create_session(br#"{"model":"haiku","system_prompt":"brief","metadata":{"a":"b"}}"#)
            .unwrap();
    assert_eq!(
        (made.model.as_deref(), made.instructions.as_deref()),
        (Some("haiku"), Some("brief"))
    );
    assert!(decode_create_session(b"").is_ok());
    for (body, param) in [
        (r#"{"model":" "}"#, "model"),
        (
            r#"{"instructions":"a","system_prompt":"b"}"#,
            "system_prompt",
        ),
        (r#"{"metadata":{"a":1}}"#, "metadata.a"),
        (r#"{"ttl":1}"#, "ttl"),
    ] {
        assert_eq!(
            decode_create_session(body.as_bytes())
                .unwrap_err()
                .param
                .as_deref(),
            Some(param),
            "{body}"
        );
    }
}
