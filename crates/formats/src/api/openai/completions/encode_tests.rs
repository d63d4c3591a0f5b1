use async_openai::types::completions::CreateCompletionResponse;

use super::*;
use crate::api::openai::chat::ToolCallFormat;
use crate::domain::FinishReason;

fn finish(reason: FinishReason) -> Finish {
    let usage = Usage {
        input_tokens: 3,
        output_tokens: 2,
        ..Usage::default()
    };
    Finish::new(reason, usage)
}

fn reply() -> CompletionReply {
    let reply = CompletionReply::new("m");
    assert!(reply.0.id.starts_with("cmpl-"));
    CompletionReply(ChatReply {
        id: "cmpl-1".into(),
        created: 7,
        model: "m".into(),
        tool_call_format: ToolCallFormat::Tools,
    })
}

#[test]
fn completion_body_sums_usage_of_choices() {
    let choices = [
        ("a".to_owned(), finish(FinishReason::Stop)),
        ("b".to_owned(), finish(FinishReason::Length)),
    ];
    let body = reply().response(&choices);
    insta::assert_snapshot!(String::from_utf8(body.clone()).unwrap(), @r#"{"id":"cmpl-1","object":"text_completion","created":7,"model":"m","choices":[{"text":"a","index":0,"logprobs":null,"finish_reason":"stop"},{"text":"b","index":1,"logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":6,"completion_tokens":4,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}"#);
    let read: CreateCompletionResponse = serde_json::from_slice(&body).unwrap();
    assert_eq!(read.usage.unwrap().total_tokens, 10);
}

#[test]
fn stream_numbers_choices_and_ends_once() {
    let mut encoder = CompletionEncoder::new(reply(), vec!["p ".to_owned(), String::new()], true);
    let mut payloads = Vec::new();
    for (index, event) in [
        (0, TurnEvent::Text("a".to_owned())),
        (1, TurnEvent::Text("b".to_owned())),
        (1, TurnEvent::Finished(finish(FinishReason::Stop))),
        (0, TurnEvent::Finished(finish(FinishReason::Length))),
    ] {
        assert!(!encoder.is_over());
        payloads.extend(encoder.event(index, &event));
    }
    assert!(encoder.is_over());
    insta::assert_snapshot!(payloads.join("\n"), @r#"
    {"id":"cmpl-1","object":"text_completion","created":7,"model":"m","choices":[{"text":"p ","index":0,"logprobs":null,"finish_reason":null}],"usage":null}
    {"id":"cmpl-1","object":"text_completion","created":7,"model":"m","choices":[{"text":"a","index":0,"logprobs":null,"finish_reason":null}],"usage":null}
    {"id":"cmpl-1","object":"text_completion","created":7,"model":"m","choices":[{"text":"b","index":1,"logprobs":null,"finish_reason":null}],"usage":null}
    {"id":"cmpl-1","object":"text_completion","created":7,"model":"m","choices":[{"text":"","index":1,"logprobs":null,"finish_reason":"stop"}],"usage":null}
    {"id":"cmpl-1","object":"text_completion","created":7,"model":"m","choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"length"}],"usage":null}
    {"id":"cmpl-1","object":"text_completion","created":7,"model":"m","choices":[],"usage":{"prompt_tokens":6,"completion_tokens":4,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}
    [DONE]
    "#);
    for payload in &payloads[..payloads.len() - 1] {
        serde_json::from_str::<CreateCompletionResponse>(payload).unwrap();
    }
}

#[test]
fn usage_is_absent_unless_requested() {
    let mut encoder = CompletionEncoder::new(reply(), vec![String::new()], false);
    let payloads = encoder.event(0, &TurnEvent::Finished(finish(FinishReason::Stop)));
    assert_eq!(payloads.len(), 2);
    assert!(!payloads[0].contains("usage"));
}
