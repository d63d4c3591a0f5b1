//! Decoding of valid and invalid requests.

use serde_json::Value;
use serde_json::json;

use super::*;
use crate::domain::Effort;
use crate::domain::Format;
use crate::domain::Part;
use crate::domain::Schema;

fn turn(body: &Value) -> Result<(Turn, Remarks), InvalidRequest> {
    decode(body.to_string().as_bytes(), Policy::Lenient)?.into_turn(&[])
}

fn refusal(field: &str, value: &Value) -> String {
    let mut body = json!({"model": "m", "input": "hi"});
    body[field] = value.clone();
    let error = turn(&body).unwrap_err();
    format!(
        "{} {}: {}",
        error.param.unwrap_or_default(),
        error.code.unwrap_or_default(),
        error.message
    )
}

#[test]
fn string_input_is_a_user_message() {
    let (turn, remarks) =
        turn(&json!({"model": "m", "input": "hi", "instructions": "be brief"})).unwrap();
    assert_eq!(
        (turn.model.as_str(), &*turn.system),
        ("m", &["be brief".to_owned()][..])
    );
    assert_eq!(
        (turn.prompt, turn.history),
        (vec![Part::text("hi")], vec![])
    );
    assert_eq!(remarks, Remarks::default());
}

#[test]
fn initial_response_echoes_the_request() {
    let body = json!({
        "model": "m", "input": "hi", "temperature": 1.5, "max_output_tokens": 9, "metadata": {"a": "b"},
        "reasoning": {"effort": "max", "summary": "detailed"}, "background": true,
        "text": {"format": {"type": "json_object"}},
    });
    let request = decode(body.to_string().as_bytes(), Policy::Lenient).unwrap();
    assert!(request.shows_thinking && request.response.store);
    let written = serde_json::to_value(&request.response).unwrap();
    assert_eq!(
        (&written["temperature"], &written["max_output_tokens"]),
        (&json!(1.5), &json!(9))
    );
    assert_eq!(
        written["reasoning"],
        json!({"effort": "max", "summary": "detailed"})
    );
    assert_eq!(
        (&written["status"], &written["metadata"]["a"]),
        (&json!("queued"), &json!("b"))
    );
    assert_eq!(written["text"], json!({"format": {"type": "json_object"}}));
    let (turn, _) = request.into_turn(&[]).unwrap();
    assert_eq!(
        (turn.sampling.temperature, turn.sampling.max_output_tokens),
        (Some(1.0), Some(9))
    );
    assert_eq!(
        (turn.sampling.effort, turn.sampling.format),
        (Some(Effort::XHigh), Format::JsonObject)
    );
}

#[test]
fn schemas_are_kept_verbatim() {
    let body = br#"{"model": "m", "input": "x",
        "text": {"format": {"type": "json_schema", "name": "n", "strict": true, "schema": {"z": 1, "a": 2}}},
        "tools": [{"type": "function", "name": "f", "parameters": {"y": 1, "b": 2}}]}"#;
    let (turn, _) = decode(body, Policy::Strict)
        .unwrap()
        .into_turn(&[])
        .unwrap();
    let schema = Schema {
        json: r#"{"z":1,"a":2}"#.into(),
        is_strict: true,
        is_native: false,
    };
    assert_eq!(turn.sampling.format, Format::Schema(schema));
    assert_eq!(turn.tools.list[0].schema, r#"{"y":1,"b":2}"#);
}

#[test]
fn unsupported_values_are_refused_with_a_reason() {
    for (field, value, expected) in [
        ("model", json!(" "), "model invalid_value"),
        (
            "input",
            json!([]),
            "input invalid_value: `input` has no message",
        ),
        (
            "conversation",
            json!({}),
            "conversation.id missing_required_parameter",
        ),
        ("prompt", json!({"id": "p"}), "prompt unsupported_parameter"),
        (
            "top_logprobs",
            json!(2),
            "top_logprobs unsupported_parameter",
        ),
        (
            "include",
            json!(["message.output_text.logprobs"]),
            "include[0] unsupported_parameter",
        ),
        ("include", json!(["x"]), "include[0] invalid_value"),
        (
            "reasoning",
            json!({"effort": "hard"}),
            "reasoning.effort invalid_value",
        ),
        (
            "reasoning",
            json!({"summary": "all"}),
            "reasoning.summary invalid_value",
        ),
        (
            "text",
            json!({"format": {"type": "xml"}}),
            "text.format.type invalid_value",
        ),
        (
            "text",
            json!({"format": {"type": "json_schema"}}),
            "text.format.schema missing_required_parameter",
        ),
        (
            "text",
            json!({"format": {"type": "json_schema", "schema": {}}}),
            "text.format.name missing_required_parameter",
        ),
        (
            "text",
            json!({"format": {"type": "json_schema", "schema": {}, "name": "a".repeat(65)}}),
            "text.format.name invalid_value",
        ),
        (
            "stream_options",
            json!({}),
            "stream_options invalid_value: `stream_options` is only allowed together with `\"stream\": true`.",
        ),
        (
            "max_output_tokens",
            json!(0),
            "max_output_tokens invalid_value",
        ),
        ("metadata", json!({"a": 1}), "metadata.a invalid_type"),
    ] {
        let refusal = refusal(field, &value);
        assert!(refusal.starts_with(expected), "{refusal}");
    }
    let unstored = json!({"model": "m", "input": "x", "background": true, "store": false});
    assert_eq!(
        turn(&unstored).unwrap_err().param.as_deref(),
        Some("background")
    );
}

#[test]
fn response_ignored_fields_are_reported() {
    let body = json!({
        "model": "m", "truncation": "auto", "text": {"verbosity": "low"}, "max_tool_calls": 3, "personality": "x",
        "input": [{"role": "user", "phase": "x", "content": [{"type": "input_text", "text": "x", "detail": "high"}]}],
    });
    let names = [
        "input[].content[].detail",
        "input[].phase",
        "max_tool_calls",
        "personality",
        "text.verbosity",
        "truncation",
    ];
    assert_eq!(turn(&body).unwrap().1.ignored, names);
}

/// The fields that the Open Responses specification requires, which include those of `OpenAI`'s
/// document.
#[test]
fn response_has_every_required_field() {
    let fields =
        json!({"model": "m", "input": "hi", "safety_identifier": "s", "prompt_cache_key": "k"});
    let request = decode(fields.to_string().as_bytes(), Policy::Lenient).unwrap();
    let response: Value = serde_json::from_str(&request.response.to_json()).unwrap();
    for name in [
        "id",
        "object",
        "created_at",
        "completed_at",
        "status",
        "incomplete_details",
        "model",
        "previous_response_id",
        "instructions",
        "output",
        "error",
        "tools",
        "tool_choice",
        "truncation",
        "parallel_tool_calls",
        "text",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "top_logprobs",
        "temperature",
        "reasoning",
        "usage",
        "max_output_tokens",
        "max_tool_calls",
        "store",
        "background",
        "service_tier",
        "metadata",
        "safety_identifier",
        "prompt_cache_key",
    ] {
        assert!(response.get(name).is_some(), "{name}");
    }
    assert_eq!(
        (
            &response["safety_identifier"],
            &response["prompt_cache_key"]
        ),
        (&json!("s"), &json!("k"))
    );
    let (turn, remarks) = request.into_turn(&[]).unwrap();
    assert_eq!(turn.native.end_user.as_deref(), Some("s"));
    assert_eq!(remarks.ignored, ["prompt_cache_key"]);
}
