//! Lines as CLI 2.1.329 writes them, and malformed lines.

use proptest::prelude::*;

use super::event::parse;
use super::{CliEvent, LineLifecycle};

fn stream(event: &str) -> String {
    format!(
        r#"{{"type":"stream_event","event":{event},"session_id":"s","parent_tool_use_id":null,"uuid":"u"}}"#
    )
}

fn stream_event(event: &str) -> String {
    match parse(stream(event).as_bytes()).unwrap() {
        CliEvent::Stream(event) => format!("{event:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn stream_events_are_parsed() {
    insta::assert_snapshot!(stream_event(r#"{"type":"message_start","message":{"id":"msg_1","model":"claude-haiku-5-5","content":[],"usage":{"input_tokens":10,"cache_creation_input_tokens":3,"cache_read_input_tokens":4,"output_tokens":1}}}"#), @r#"MessageStart { model: "claude-haiku-5-5", usage: ApiUsage { input_tokens: Some(10), cache_creation_input_tokens: Some(3), cache_read_input_tokens: Some(4), output_tokens: Some(1), output_tokens_details: None, server_tool_use: None }, native: NativeFields { stop_reason: None, message: [], beside: [], usage: [] } }"#);
    insta::assert_snapshot!(stream_event(r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\nb"}}"#), @r#"Text("a\nb")"#);
    insta::assert_snapshot!(stream_event(r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#), @r#"Thinking("hm")"#);
    insta::assert_snapshot!(stream_event(r#"{"type":"message_delta","delta":{"stop_reason":"max_tokens"},"usage":{"output_tokens":3}}"#), @r#"MessageDelta { stop_reason: Some("max_tokens"), stop_sequence: None, usage: ApiUsage { input_tokens: None, cache_creation_input_tokens: None, cache_read_input_tokens: None, output_tokens: Some(3), output_tokens_details: None, server_tool_use: None }, native: NativeFields { stop_reason: None, message: [], beside: [], usage: [] } }"#);
    insta::assert_snapshot!(stream_event(r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"look","input":{}}}"#), @r#"ToolUse { id: "toolu_1", name: "look", caller: None }"#);
    insta::assert_snapshot!(stream_event(r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}"#), @r#"Input("{\"a\":")"#);
    insta::assert_snapshot!(stream_event(r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"x"}}"#), @r#"Signature("x")"#);
    insta::assert_snapshot!(stream_event(r#"{"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":"x"}}"#), @r#"Redacted("x")"#);
    insta::assert_snapshot!(stream_event(r#"{"type":"ping"}"#), @"Other");
}

#[test]
fn invalid_token_counts_are_ignored() {
    let event = stream_event(
        r#"{"type":"message_delta","delta":{},"usage":{"input_tokens":-1,"output_tokens":1.5,"cache_read_input_tokens":"9"}}"#,
    );
    assert!(!event.contains("tokens: Some"), "{event}");
}

#[test]
fn events_of_a_tools_own_run_are_ignored() {
    let line = r#"{"type":"stream_event","event":{"type":"content_block_delta","delta":{"type":"text_delta","text":"x"}},"parent_tool_use_id":"toolu_1"}"#;
    assert!(matches!(parse(line.as_bytes()).unwrap(), CliEvent::Other));
}

#[test]
fn report_of_a_failed_call_is_not_an_answer() {
    let answer = r#"{"type":"assistant","message":{"content":[{"type":"text","text":"hello"}]}}"#;
    assert!(matches!(parse(answer.as_bytes()).unwrap(), CliEvent::Other));
    let report = r#"{"type":"assistant","error":"rate_limit","is_api_error_message":true,"message":{"content":[{"type":"text","text":"API Error: 429"}]}}"#;
    insta::assert_snapshot!(format!("{:?}", parse(report.as_bytes()).unwrap()), @r#"CallFailed(CallFailed { kind: "rate_limit", text: "API Error: 429" })"#);
    let result = r#"{"type":"result","subtype":"success","is_error":true,"api_error_status":429,"result":"API Error: 429","total_cost_usd":0}"#;
    insta::assert_snapshot!(format!("{:?}", parse(result.as_bytes()).unwrap()), @r#"Result(ResultLine { subtype: "success", is_error: true, api_error_status: Some(429), report: "API Error: 429", total_cost_usd: Some(0.0) })"#);
}

#[test]
fn control_responses_and_lifecycles_are_parsed() {
    let answer = r#"{"type":"control_response","response":{"subtype":"success","request_id":"1","response":{"model":"m"}}}"#;
    assert!(
        matches!(parse(answer.as_bytes()).unwrap(), CliEvent::Control(answer) if answer.request_id == "1" && answer.response.unwrap().get() == r#"{"model":"m"}"#)
    );
    let done = r#"{"type":"command_lifecycle","command_uuid":"u","state":"completed"}"#;
    assert!(
        matches!(parse(done.as_bytes()).unwrap(), CliEvent::Lifecycle(uuid, LineLifecycle::Completed) if uuid == "u")
    );
    let queued = r#"{"type":"command_lifecycle","command_uuid":"u","state":"queued"}"#;
    assert!(matches!(
        parse(queued.as_bytes()).unwrap(),
        CliEvent::Lifecycle(_, LineLifecycle::Other)
    ));
}

#[test]
fn limit_reports_are_parsed_and_a_warning_is_no_limit() {
    let limit = |info: &str| match parse(
        format!(r#"{{"type":"rate_limit_event","rate_limit_info":{info}}}"#).as_bytes(),
    ) {
        Ok(CliEvent::Limit(report)) => (report.is_reached, report.resets_at),
        other => panic!("{other:?}"),
    };
    let five_hours = r#""resetsAt":1795252704,"rateLimitType":"five_hour","isUsingOverage":false"#;
    assert_eq!(
        limit(&format!(r#"{{"status":"rejected",{five_hours}}}"#)),
        (true, Some(1_795_252_704))
    );
    assert_eq!(
        limit(&format!(r#"{{"status":"allowed_warning",{five_hours}}}"#)),
        (false, Some(1_795_252_704))
    );
    assert_eq!(
        limit(r#"{"status":"rejected","isUsingOverage":false}"#),
        (true, None)
    );
    for unknown in [
        "null",
        "7",
        "[]",
        "{}",
        r#"{"status":7,"resetsAt":"soon"}"#,
        r#"{"resetsAt":-1.5}"#,
    ] {
        assert_eq!(limit(unknown), (false, None), "{unknown}");
    }
    assert!(
        matches!(parse(br#"{"type":"rate_limit_event"}"#).unwrap(), CliEvent::Limit(report) if !report.is_reached)
    );
}

#[test]
fn unknown_lines_are_ignored_and_malformed_ones_are_errors() {
    assert!(matches!(
        parse(br#"{"type":"from_the_future","event":"ui.render"}"#).unwrap(),
        CliEvent::Other
    ));
    assert!(matches!(
        parse(br#"{"type":"system","subtype":"ui_invalidate","event":"ui.render"}"#).unwrap(),
        CliEvent::Other
    ));
    for broken in [
        "",
        "{",
        "[]",
        "7",
        r#"{"type":7}"#,
        r#"{"no":"type"}"#,
        "{\"type\":\"a\u{0}\"}",
    ] {
        assert!(parse(broken.as_bytes()).is_err(), "{broken}");
    }
    assert!(parse(b"{\"type\":\"\xff\"}").is_err());
}

proptest! {
    #[test]
    fn line_parser_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
    }
}
