use std::sync::Arc;

use serde_json::Value;
use serde_json::json;

use super::super::wire::HookContent;
use super::super::wire::HookInput;
use super::super::wire::HookKey;
use super::super::wire::RequestFacts;
use super::super::wire::WIRE_VERSION;
use super::super::wire::WireContent;
use super::super::wire::WirePart;
use super::super::wire::WireRole;
use super::*;

fn read(json: &str, point: HookPoint, op: HookOperation) -> Result<HookReply, HookFailure> {
    HookReply::read(json.as_bytes(), point, op)
}

#[test]
fn input_has_the_documented_members_and_lacks_what_is_not_granted() {
    let facts = RequestFacts {
        request_id: "req_1".into(),
        surface: "chat",
        model: "sonnet".to_owned(),
        key: HookKey {
            name: "key-1".to_owned(),
        },
        project: "default".to_owned(),
        stream: true,
    };
    let text = WireContent::Text {
        text: "Hi".to_owned(),
    };
    let input = HookInput {
        v: WIRE_VERSION,
        point: HookPoint::Before,
        op: HookOperation::Transform,
        hook: "mask".into(),
        request: Some(Arc::new(facts)),
        content: HookContent {
            messages: Some(vec![WireMessage {
                role: WireRole::User,
                content: vec![WirePart {
                    content: text,
                    place: Some(0),
                }],
            }]),
            ..HookContent::default()
        },
    };
    let expected = json!({
        "v": 1, "point": "before", "op": "transform", "hook": "mask", "request_id": "req_1", "surface": "chat",
        "model": "sonnet", "key": {"name": "key-1"}, "project": "default", "stream": true,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "ref": 0}]}],
    });
    let written: Value = serde_json::from_slice(&input.to_json().unwrap()).unwrap();
    assert_eq!(written, expected);
}

#[test]
fn answers_are_read_by_point_and_operation() {
    let before = HookPoint::Before;
    let after = HookPoint::After;
    let decide = HookOperation::Decide;
    let transform = HookOperation::Transform;
    let passed = read(
        r#"{"action":"annotate","metadata":{"a":"b"}}"#,
        before,
        decide,
    )
    .unwrap();
    assert_eq!(passed.verdict, HookVerdict::Pass);
    assert_eq!(passed.metadata["a"], "b");
    let refused = read(
        r#"{"action":"refuse","code":"pii","message":"No.","new":1}"#,
        after,
        decide,
    );
    let expected = HookVerdict::Refuse {
        code: Some("pii".to_owned()),
        message: "No.".to_owned(),
    };
    assert_eq!(refused.unwrap().verdict, expected);
    let messages = r#"{"action":"replace","messages":[{"role":"user","content":[{"type":"text","text":"x"}]}]}"#;
    assert!(matches!(
        read(messages, before, transform).unwrap().verdict,
        HookVerdict::Messages(messages) if messages.len() == 1
    ));
    let answer = r#"{"action":"replace","answer":{"text":"x"}}"#;
    assert!(matches!(
        read(answer, after, transform).unwrap().verdict,
        HookVerdict::Answer(answer) if answer.text == "x"
    ));
    for reworded in [
        r#"{"action":"replace","message":"Sorry."}"#,
        r#"{"action":"replace","error":{"message":"Sorry."}}"#,
        r#"{"action":"refuse","message":"Sorry."}"#,
    ] {
        let reply = read(reworded, HookPoint::Error, transform).unwrap();
        assert_eq!(reply.verdict, HookVerdict::Message("Sorry.".to_owned()));
        let reply = read(reworded, HookPoint::Error, HookOperation::Notify);
        assert_eq!(reply, Ok(HookReply::pass()), "the client has its answer");
    }
    let notice = read("", HookPoint::Event, HookOperation::Notify).unwrap();
    assert_eq!(notice, HookReply::pass());
}

#[test]
fn garbage_and_what_is_not_granted_are_failures() {
    let many: BTreeMap<String, String> = (0..17).map(|n| (n.to_string(), String::new())).collect();
    let many = json!({"action": "pass", "metadata": many}).to_string();
    let long = json!({"action": "refuse", "message": "x".repeat(2001)}).to_string();
    let messages = r#"{"action":"replace","messages":[]}"#;
    for (json, op) in [
        ("", HookOperation::Decide),
        ("nonsense", HookOperation::Decide),
        ("[]", HookOperation::Decide),
        (r#"{"action":"explode"}"#, HookOperation::Decide),
        (r#"{"action":"refuse"}"#, HookOperation::Decide),
        (
            r#"{"action":"refuse","message":" "}"#,
            HookOperation::Decide,
        ),
        (
            r#"{"action":"replace","answer":{}}"#,
            HookOperation::Transform,
        ),
        (
            r#"{"action":"pass","metadata":{"a":1}}"#,
            HookOperation::Decide,
        ),
        (messages, HookOperation::Decide),
        (
            r#"{"action":"refuse","message":"No."}"#,
            HookOperation::Notify,
        ),
        (many.as_str(), HookOperation::Decide),
        (long.as_str(), HookOperation::Decide),
    ] {
        let read = read(json, HookPoint::Before, op);
        assert!(matches!(read, Err(HookFailure::InvalidAnswer(_))), "{json}");
    }
    let huge = vec![b' '; MAX_BODY_BYTES + 1];
    let read = HookReply::read(&huge, HookPoint::Before, HookOperation::Decide);
    assert_eq!(read, Err(ANSWER_TOO_LARGE));
}
