//! Answers as clients read them.

use async_openai::types::chat::CreateChatCompletionResponse;
use async_openai::types::chat::FinishReason as Reason;

use super::*;
use crate::domain::FinishReason;
use crate::domain::Usage;

fn finish(reason: FinishReason) -> Finish {
    let usage = Usage {
        input_tokens: 1,
        cache_write_tokens: 20,
        cache_read_tokens: 300,
        output_tokens: 4000,
        thinking_tokens: 50,
    };
    Finish { reason, stop_text: None, usage }
}

#[test]
fn a_whole_answer() {
    let reply = Reply { id: "chatcmpl-1".into(), created: 7, model: "gpt-4o".into() };
    let body = String::from_utf8(reply.response("", "Hi \"you\"\n", &finish(FinishReason::Stop))).unwrap();
    assert_eq!(
        body,
        concat!(
            r#"{"id":"chatcmpl-1","object":"chat.completion","created":7,"model":"gpt-4o","choices":[{"index":0,"#,
            r#""message":{"role":"assistant","content":"Hi \"you\"\n","refusal":null,"annotations":[]},"#,
            r#""logprobs":null,"finish_reason":"stop"}],"#,
            r#""usage":{"prompt_tokens":321,"completion_tokens":4000,"total_tokens":4321,"#,
            r#""prompt_tokens_details":{"cached_tokens":300,"cache_write_tokens":20,"audio_tokens":0},"#,
            r#""completion_tokens_details":{"reasoning_tokens":50,"audio_tokens":0,"#,
            r#""accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}"#
        )
    );
}

#[test]
fn the_schema_reads_what_we_write() {
    let rows = [
        (FinishReason::Stop, Reason::Stop),
        (FinishReason::Length, Reason::Length),
        (FinishReason::ContentFilter, Reason::ContentFilter),
    ];
    for (reason, expected) in rows {
        let body = Reply::new("sonnet").response("", "text", &finish(reason));
        let read: CreateChatCompletionResponse = serde_json::from_slice(&body).unwrap();
        assert_eq!(read.choices[0].finish_reason, Some(expected));
        assert_eq!(read.choices[0].message.content.as_deref(), Some("text"));
        assert_eq!(read.usage.unwrap().total_tokens, 4321);
    }
}

#[test]
fn every_reply_has_its_own_id() {
    let (one, other) = (Reply::new("m"), Reply::new("m"));
    assert_ne!(one.id, other.id);
    assert!(one.id.starts_with("chatcmpl-") && one.id.len() == 41, "{}", one.id);
    assert!(one.created > 1_700_000_000);
}
