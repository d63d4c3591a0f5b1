//! Chat completion bodies as clients read them.

use async_openai::types::chat::CreateChatCompletionResponse;
use async_openai::types::chat::FinishReason as Reason;

use super::*;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::Money;
use crate::domain::Usage;

fn finish(reason: FinishReason) -> Finish {
    let usage = Usage {
        input_tokens: 1,
        cache_write_tokens: 20,
        cache_read_tokens: 300,
        output_tokens: 4000,
        thinking_tokens: 50,
        web_searches: 0,
        cost: Some(Money::from_nanos(12_345_000)),
    };
    Finish::new(reason, usage)
}

fn reply() -> ChatReply {
    ChatReply {
        id: "chatcmpl-1".into(),
        created: 7,
        model: "gpt-4o".into(),
        tool_call_format: ToolCallFormat::Tools,
    }
}

fn answer(text: &str, reason: FinishReason) -> ChatAnswer {
    ChatAnswer {
        text: text.into(),
        finish: Some(finish(reason)),
        ..ChatAnswer::default()
    }
}

fn called() -> ChatAnswer {
    let call = |id: &str, input: &str| ToolUse {
        id: id.into(),
        name: "look".into(),
        input: input.into(),
    };
    ChatAnswer {
        calls: vec![call("1", "{\"a\":1}"), call("2", "")],
        ..answer("", FinishReason::ToolCalls)
    }
}

fn read(body: &[u8]) -> CreateChatCompletionResponse {
    serde_json::from_slice(body).unwrap()
}

fn choice(reply: &ChatReply, answer: ChatAnswer) -> serde_json::Value {
    let body: serde_json::Value = serde_json::from_slice(&reply.response(&[answer])).unwrap();
    body["choices"][0].clone()
}

#[test]
fn tool_calls_have_ids_and_null_content() {
    insta::assert_snapshot!(choice(&reply(), called()), @r#"{"finish_reason":"tool_calls","index":0,"logprobs":null,"message":{"annotations":[],"content":null,"refusal":null,"role":"assistant","tool_calls":[{"function":{"arguments":"{\"a\":1}","name":"look"},"id":"1","type":"function"},{"function":{"arguments":"{}","name":"look"},"id":"2","type":"function"}]}}"#);
    assert_eq!(
        read(&reply().response(&[called()])).choices[0].finish_reason,
        Some(Reason::ToolCalls)
    );
    let with_words = choice(
        &reply(),
        ChatAnswer {
            text: "Let me.".into(),
            ..called()
        },
    );
    assert_eq!(with_words["message"]["content"], "Let me.");
}

#[test]
fn legacy_format_has_one_function_call() {
    let reply = ChatReply {
        tool_call_format: ToolCallFormat::Functions,
        ..reply()
    };
    insta::assert_snapshot!(choice(&reply, called()), @r#"{"finish_reason":"function_call","index":0,"logprobs":null,"message":{"annotations":[],"content":null,"function_call":{"arguments":"{\"a\":1}","name":"look"},"refusal":null,"role":"assistant"}}"#);
}

#[test]
fn refusal_sets_refusal_and_finish_reason() {
    let refused = choice(&reply(), answer("", FinishReason::ContentFilter));
    assert_eq!(refused["message"]["refusal"], REFUSAL);
    assert!(refused["message"]["content"].is_null());
    let partial = choice(&reply(), answer("I", FinishReason::ContentFilter));
    assert_eq!(partial["message"]["content"], "I");
}

#[test]
fn choices_are_numbered_and_usage_is_summed() {
    let read = read(&reply().response(&[
        answer("a", FinishReason::Stop),
        answer("b", FinishReason::Length),
    ]));
    let choices: Vec<_> = read
        .choices
        .iter()
        .map(|choice| (choice.index, choice.message.content.as_deref()))
        .collect();
    assert_eq!(choices, [(0, Some("a")), (1, Some("b"))]);
    assert_eq!(read.usage.unwrap().total_tokens, 2 * 4321);
}

#[test]
fn completion_body_is_stable() {
    let body =
        String::from_utf8(reply().response(&[answer("Hi \"you\"\n", FinishReason::Stop)])).unwrap();
    assert_eq!(
        body,
        concat!(
            r#"{"id":"chatcmpl-1","object":"chat.completion","created":7,"model":"gpt-4o","choices":[{"index":0,"#,
            r#""message":{"role":"assistant","content":"Hi \"you\"\n","refusal":null,"annotations":[]},"#,
            r#""logprobs":null,"finish_reason":"stop"}],"#,
            r#""usage":{"prompt_tokens":321,"completion_tokens":4000,"total_tokens":4321,"#,
            r#""prompt_tokens_details":{"cached_tokens":300,"cache_write_tokens":20,"audio_tokens":0},"#,
            r#""completion_tokens_details":{"reasoning_tokens":50,"audio_tokens":0,"#,
            r#""accepted_prediction_tokens":0,"rejected_prediction_tokens":0},"cost_usd":0.012345}}"#
        )
    );
}

#[test]
fn completion_body_matches_openai_schema() {
    let rows = [
        (FinishReason::Stop, Reason::Stop),
        (FinishReason::Length, Reason::Length),
        (FinishReason::ContentFilter, Reason::ContentFilter),
    ];
    for (reason, expected) in rows {
        let read = read(&ChatReply::new("sonnet").response(&[answer("text", reason)]));
        assert_eq!(read.choices[0].finish_reason, Some(expected));
        assert_eq!(read.choices[0].message.content.as_deref(), Some("text"));
        assert_eq!(read.usage.unwrap().total_tokens, 4321);
    }
}

#[test]
fn reply_ids_are_unique() {
    let one = ChatReply::new("m");
    let other = ChatReply::new("m");
    assert_ne!(one.id, other.id);
    assert!(
        one.id.starts_with("chatcmpl-") && one.id.len() == 41,
        "{}",
        one.id
    );
    assert!(one.created > 1_700_000_000);
}
