//! Shared helpers of this module's tests.

use serde_json::Value;
use serde_json::json;

use super::MessagesRequest;
use super::decode;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Policy;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::NativeFields;
use crate::domain::TurnEvent;
use crate::domain::Usage;

/// Builds a valid request with `fields` added or replaced.
pub(super) fn with(fields: Value) -> Value {
    let mut request = json!({"model": "sonnet", "max_tokens": 4096, "messages": [{"role": "user", "content": "Hi"}]});
    let (Value::Object(into), Value::Object(fields)) = (&mut request, fields) else {
        unreachable!()
    };
    into.extend(fields);
    request
}

/// Builds a valid request with other `messages`.
pub(super) fn messages(messages: Value) -> Value {
    with(Value::Object(
        [("messages".to_owned(), messages)].into_iter().collect(),
    ))
}

pub(super) fn decoded(request: &Value) -> MessagesRequest {
    decode(request.to_string().as_bytes(), Policy::Lenient).unwrap()
}

pub(super) fn refused(request: &Value) -> InvalidRequest {
    decode(request.to_string().as_bytes(), Policy::Lenient).unwrap_err()
}

/// Asserts errors; each row has a request, the path of the invalid field, and a part of the
/// message.
pub(super) fn assert_refused<const ROWS: usize>(rows: [(Value, &str, &str); ROWS]) {
    for (request, param, words) in rows {
        let error = refused(&request);
        assert_eq!(error.param.as_deref(), Some(param), "{request}\n{error}");
        assert!(error.message.contains(words), "{request}\n{error}");
    }
}

/// Asserts repairs; each row is as for [`assert_refused`] under the strict policy, with the names
/// of the repairs.
pub(super) fn assert_repaired<const ROWS: usize>(rows: [(Value, &str, &str, &str); ROWS]) {
    for (request, param, words, repaired) in rows {
        let error = decode(request.to_string().as_bytes(), Policy::Strict).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(param), "{request}\n{error}");
        assert!(error.message.contains(words), "{request}\n{error}");
        assert_eq!(
            decoded(&request).remarks.repaired.join(", "),
            repaired,
            "{request}"
        );
    }
}

pub(super) fn text(text: &str) -> TurnEvent {
    TurnEvent::Text(text.into())
}

pub(super) fn call(id: &str, name: &str) -> TurnEvent {
    TurnEvent::tool_call(id, name)
}

pub(super) fn input(piece: &str) -> TurnEvent {
    TurnEvent::ToolInput(piece.into())
}

pub(super) fn finish(reason: FinishReason, stop_sequence: Option<&str>) -> Finish {
    let usage = Usage {
        input_tokens: 2,
        cache_write_tokens: 3,
        cache_read_tokens: 4,
        output_tokens: 5,
        thinking_tokens: 1,
        ..Usage::default()
    };
    Finish {
        stop_sequence: stop_sequence.map(str::to_owned),
        ..Finish::new(reason, usage)
    }
}

/// Returns fields of the start and of the end of an answer. One of the end replaces one of the
/// start.
pub(super) fn native() -> (NativeFields, NativeFields) {
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let start = NativeFields {
        message: vec![field("container", "null")],
        usage: vec![field("service_tier", "\"standard\"")],
        ..NativeFields::default()
    };
    let ended = NativeFields {
        stop_reason: Some("new_reason".to_owned()),
        message: vec![field("container", r#"{"id":"c"}"#)],
        beside: vec![field("context_management", "{}")],
        usage: vec![field("cache_creation", r#"{"a":1}"#)],
    };
    (start, ended)
}
