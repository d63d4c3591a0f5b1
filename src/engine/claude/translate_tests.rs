use proptest::collection::vec;
use proptest::prelude::*;

use super::{TurnStep, TurnTranslator};
use crate::domain::FinishReason;
use crate::domain::TurnEvent;
use crate::engine::claude::protocol::parse;

const START: &str = r#"{"type":"stream_event","event":{"type":"message_start","message":{"model":"m","usage":{"input_tokens":10,"cache_creation_input_tokens":3,"cache_read_input_tokens":4,"output_tokens":1}}}}"#;
const TEXT: &str = r#"{"type":"stream_event","event":{"type":"content_block_delta","delta":{"type":"text_delta","text":"w"}}}"#;
const END: &str = r#"{"type":"stream_event","event":{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}}"#;
const LIMIT: &str = r#"{"type":"stream_event","event":{"type":"message_delta","delta":{"stop_reason":"max_tokens"},"usage":{"output_tokens":5}}}"#;
const FAILED: &str = r#"{"type":"assistant","error":"rate_limit","message":{"content":[{"type":"text","text":"API Error"}]}}"#;
const RESULT: &str = r#"{"type":"result","subtype":"success","is_error":false}"#;
const OVER: &str = r#"{"type":"command_lifecycle","command_uuid":"u","state":"completed"}"#;

fn steps(lines: &[&str]) -> (TurnTranslator, Vec<String>) {
    let mut translator = TurnTranslator::new("u".to_owned());
    let steps = lines
        .iter()
        .map(|line| translator.translate(parse(line.as_bytes()).unwrap()))
        .filter(|step| *step != TurnStep::Nothing)
        .map(|step| format!("{step:?}"))
        .collect();
    (translator, steps)
}

#[test]
fn answer_starts_streams_and_finishes() {
    let (translator, steps) = steps(&[START, TEXT, END]);
    insta::assert_snapshot!(steps.join("\n"), @r#"
    Emit(Started { model: "m", usage: Usage { input_tokens: 10, cache_write_tokens: 3, cache_read_tokens: 4, output_tokens: 1, thinking_tokens: 0, web_searches: 0, cost: None }, native: NativeFields { stop_reason: None, message: [], beside: [], usage: [] } })
    Emit(Text("w"))
    Finish(Finish { reason: Stop, stop_sequence: None, usage: Usage { input_tokens: 10, cache_write_tokens: 3, cache_read_tokens: 4, output_tokens: 5, thinking_tokens: 0, web_searches: 0, cost: None }, native: NativeFields { stop_reason: None, message: [], beside: [], usage: [] } })
    "#);
    assert!(!translator.is_silent());
}

#[test]
fn native_fields_of_the_answer_are_passed_on() {
    let start = r#"{"type":"stream_event","event":{"type":"message_start","message":{"id":"i","model":"m","container":null,"usage":{"input_tokens":10,"service_tier":"standard"}}}}"#;
    let call = r#"{"type":"stream_event","event":{"type":"content_block_start","content_block":{"type":"tool_use","id":"t","name":"look","caller":{"type":"direct"}}}}"#;
    let end = r#"{"type":"stream_event","event":{"type":"message_delta","delta":{"stop_reason":"new","container":{"id":"c"}},"usage":{"output_tokens":5,"cache_creation":{"a":1}},"context_management":{}}}"#;
    let events = steps(&[start, call, end]).1;
    insta::assert_snapshot!(events.join("\n"), @r#"
    Emit(Started { model: "m", usage: Usage { input_tokens: 10, cache_write_tokens: 0, cache_read_tokens: 0, output_tokens: 0, thinking_tokens: 0, web_searches: 0, cost: None }, native: NativeFields { stop_reason: None, message: [("container", "null")], beside: [], usage: [("service_tier", "\"standard\"")] } })
    Emit(ToolCall { id: "t", name: "look", caller: Some("{\"type\":\"direct\"}") })
    Finish(Finish { reason: Stop, stop_sequence: None, usage: Usage { input_tokens: 10, cache_write_tokens: 0, cache_read_tokens: 0, output_tokens: 5, thinking_tokens: 0, web_searches: 0, cost: None }, native: NativeFields { stop_reason: Some("new"), message: [("container", "{\"id\":\"c\"}")], beside: [("context_management", "{}")], usage: [("cache_creation", "{\"a\":1}")] } })
    "#);
}

#[test]
fn answer_without_text_or_tool_call_is_silent() {
    assert!(steps(&[START, END]).0.is_silent());
    assert!(!steps(&[START, CALL, CALLED]).0.is_silent());
}

#[test]
fn second_call_is_a_failure_only_after_text() {
    assert!(
        steps(&[START, START, TEXT])
            .1
            .iter()
            .all(|step| !step.contains("Fail"))
    );
    assert!(steps(&[START, TEXT, START]).1[2].contains("cut off upstream"));
}

#[test]
fn report_of_a_failed_call_fails_the_turn() {
    insta::assert_snapshot!(steps(&[FAILED, RESULT]).1.join("\n"), @r#"Fail(Failure { kind: RateLimited, message: "Anthropic's limit for the sign-in of this server is reached. Try again later.", retry_after: Some(5s) })"#);
}

#[test]
fn long_retry_delay_fails_the_turn() {
    let retry = |delay: u32, error: &str| {
        let line = r#"{"type":"system","subtype":"api_retry","attempt":1,"max_retries":1,"retry_delay_ms":"#;
        format!("{line}{delay},{error}}}")
    };
    let limited = r#""error_status":429,"error":"rate_limit""#;
    assert!(steps(&[&retry(5000, limited)]).1.is_empty());
    insta::assert_snapshot!(steps(&[&retry(60_412, limited)]).1.join("\n"), @r#"Fail(Failure { kind: RateLimited, message: "Anthropic's limit for the sign-in of this server is reached. Try again later.", retry_after: Some(60.412s) })"#);
    assert!(steps(&[&retry(3_600_000, limited)]).1[0].contains("Some(3600s)"));
    assert!(steps(&[&retry(9000, r#""error_status":529,"error":7"#)]).1[0].contains("Overloaded"));
    assert!(steps(&[&retry(9000, r#""error_status":null"#)]).1[0].contains("Upstream"));
}

#[test]
fn retry_beyond_the_limit_fails_the_turn() {
    let retry = |attempt: u32| {
        let line = r#"{"type":"system","subtype":"api_retry","max_retries":2,"retry_delay_ms":500,"error_status":529"#;
        format!(r#"{line},"error":"overloaded","attempt":{attempt}}}"#)
    };
    assert!(steps(&[&retry(1), &retry(2)]).1.is_empty());
    let (_, steps) = steps(&[&retry(1), &retry(2), &retry(3)]);
    assert!(steps[0].contains("Overloaded") && steps[0].contains("Some(2s)"));
}

#[test]
fn turn_that_ends_without_an_answer_fails() {
    assert!(steps(&[RESULT]).1[0].contains("without an answer"));
    let (translator, steps) = steps(&[OVER]);
    assert!(steps[0].contains("aborted the turn") && translator.is_over());
}

const SEAL: &str = r#"{"type":"stream_event","event":{"type":"content_block_delta","delta":{"type":"signature_delta","signature":"s"}}}"#;
const CALL: &str = r#"{"type":"stream_event","event":{"type":"content_block_start","content_block":{"type":"tool_use","id":"toolu_1","name":"look"}}}"#;
const INPUT: &str = r#"{"type":"stream_event","event":{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{}"}}}"#;
const CALLED: &str = r#"{"type":"stream_event","event":{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":5}}}"#;
const STOPPED: &str = r#"{"type":"stream_event","event":{"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"END"},"usage":{"output_tokens":5}}}"#;
const RETRY: &str = r#"{"type":"system","subtype":"api_retry","retry_delay_ms":5}"#;
const STARTED: &str = r#"{"type":"command_lifecycle","command_uuid":"u","state":"started"}"#;
const NOISE: &str = r#"{"type":"something_new"}"#;

#[test]
fn tool_call_is_streamed_and_ends_the_answer() {
    let (translator, steps) = steps(&[START, TEXT, CALL, INPUT, CALLED]);
    insta::assert_snapshot!(steps[2..4].join("\n"), @r#"
    Emit(ToolCall { id: "toolu_1", name: "look", caller: None })
    Emit(ToolInput("{}"))
    "#);
    assert!(steps[4].contains("ToolCalls"));
    assert!(!translator.is_silent());
}

#[test]
fn stop_sequence_is_reported() {
    assert!(steps(&[START, TEXT, STOPPED]).1[2].contains(r#"stop_sequence: Some("END")"#));
}

/// Upstream sends the citations of a text before the text.
#[test]
fn citations_come_after_the_text_they_refer_to() {
    let event = |event: &str| format!(r#"{{"type":"stream_event","event":{event}}}"#);
    let begin =
        event(r#"{"type":"content_block_start","content_block":{"type":"text","text":""}}"#);
    let source = |url: &str| {
        let citation = format!(r#"{{"type":"citations_delta","citation":{{"url":"{url}"}}}}"#);
        event(&format!(
            r#"{{"type":"content_block_delta","delta":{citation}}}"#
        ))
    };
    let end = event(r#"{"type":"content_block_stop"}"#);
    let mut translator = TurnTranslator::new("u".to_owned());
    let mut events = Vec::new();
    for line in [
        START,
        &begin,
        &source("a"),
        &source("b"),
        TEXT,
        &end,
        &begin,
        TEXT,
        &end,
        END,
    ] {
        while let Some(event) = translator.next_citation() {
            events.push(event);
        }
        if let TurnStep::Emit(event) = translator.translate(parse(line.as_bytes()).unwrap()) {
            events.push(event);
        }
    }
    let events = events.iter().skip(1).map(|event| match event {
        TurnEvent::Text(text) => text.clone(),
        TurnEvent::Citation(citation) => citation.url.clone().unwrap(),
        other => format!("{other:?}"),
    });
    assert_eq!(events.collect::<Vec<_>>(), ["w", "a", "b", "NextText", "w"]);
}

proptest! {
    /// Checks what encoders rely on: one start, inputs only of calls, and no event after the end.
    #[test]
    fn any_lines_give_a_well_formed_answer(picks in vec(0..14_usize, 0..30)) {
        let lines = [
            START, TEXT, SEAL, CALL, INPUT, CALLED, END, LIMIT, STOPPED, RETRY, STARTED, NOISE, FAILED, RESULT,
        ];
        let mut translator = TurnTranslator::new("u".to_owned());
        let mut begins = 0;
        let mut calls = 0;
        for pick in picks {
            match translator.translate(parse(lines[pick].as_bytes()).unwrap()) {
                TurnStep::Nothing | TurnStep::Call => {}
                TurnStep::Emit(TurnEvent::Started { .. }) => begins += 1,
                TurnStep::Emit(TurnEvent::ToolCall { .. }) => calls += 1,
                TurnStep::Emit(TurnEvent::ToolInput(piece)) => prop_assert!(calls > 0 && !piece.is_empty()),
                TurnStep::Emit(TurnEvent::Finished(_)) => prop_assert!(false),
                TurnStep::Emit(_) => {}
                TurnStep::Finish(finish) => {
                    prop_assert_eq!(finish.reason == FinishReason::ToolCalls, pick == 5 && calls > 0);
                    break;
                }
                TurnStep::Fail(failure) => {
                    prop_assert!(!failure.message.is_empty());
                    break;
                }
            }
            prop_assert!(begins <= 1);
        }
    }
}
