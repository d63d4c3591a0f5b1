//! Token counts of the prompt cache.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use serde_json::{Value, json};
use support::Api;

/// Instructions of 2,000 tokens.
fn instructions() -> String {
    "12345678".repeat(1000)
}

/// Conversation with a breakpoint behind the instructions and behind its last message.
fn conversation(model: &str, texts: &[&str]) -> Value {
    let mark = json!({"type": "ephemeral"});
    let messages = texts.iter().enumerate().map(|(index, text)| {
        let role = ["user", "assistant"][index % 2];
        let mut block = json!({"type": "text", "text": text});
        if index + 1 == texts.len() {
            block["cache_control"] = mark.clone();
        }
        json!({"role": role, "content": [block]})
    });
    let messages: Vec<Value> = messages.collect();
    let system = json!([{"type": "text", "text": instructions(), "cache_control": mark}]);
    json!({"model": model, "max_tokens": 10, "system": system, "messages": messages})
}

/// Returns the tokens of a prompt outside of the cache, read from it and written to it.
async fn counts(api: &Api, body: &Value) -> [u64; 3] {
    let answer: Value = api.send(body).await.json().await.unwrap();
    let usage = &answer["usage"];
    [
        "input_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
    ]
    .map(|name| usage[name].as_u64().unwrap())
}

#[tokio::test]
async fn next_turn_reads_what_the_turn_before_has_written() {
    let api = Api::with_prompt_cache().await;
    let question = "x".repeat(396);
    let first = [question.as_str()];
    let first = conversation("claude-sonnet-test", &first);
    assert_eq!(counts(&api, &first).await, [0, 0, 2100]);
    assert_eq!(counts(&api, &first).await, [0, 2100, 0]);
    let answer = "y".repeat(391);
    let texts = [question.as_str(), answer.as_str(), "Go on."];
    let second = conversation("claude-sonnet-test", &texts);
    assert_eq!(counts(&api, &second).await, [0, 2100, 102]);
    let other = conversation("claude-sonnet-test", &["Something else."]);
    assert_eq!(counts(&api, &other).await, [0, 2000, 4]);
    let model = conversation("claude-opus-test", &["Something else."]);
    assert_eq!(counts(&api, &model).await, [0, 0, 2004]);
}

#[tokio::test]
async fn cold_prompt_reads_nothing_and_is_written_again() {
    let api = Api::with_prompt_cache().await;
    let prompt = conversation("claude-sonnet-test", &["[[say=Hi cold]]"]);
    for _ in 0..2 {
        assert_eq!(counts(&api, &prompt).await, [0, 0, 2004]);
    }
}

#[tokio::test]
async fn short_prompts_unmarked_prompts_and_scripted_counts_are_not_cached() {
    let api = Api::with_prompt_cache().await;
    // Small models cache longer prompts only.
    let small = conversation("claude-haiku-test", &["Hello."]);
    let mut unmarked = small.clone();
    unmarked["model"] = json!("claude-sonnet-test");
    unmarked["system"] = json!(instructions());
    unmarked["messages"] = json!([{"role": "user", "content": "Hello."}]);
    for body in [small, unmarked] {
        for _ in 0..2 {
            assert_eq!(counts(&api, &body).await, [2002, 0, 0]);
        }
    }
    let text = "[[say=Hi usage_in=7 usage_cache_read=5]]";
    let scripted = conversation("claude-sonnet-test", &[text]);
    assert_eq!(counts(&api, &scripted).await, [7, 5, 0]);
}

#[tokio::test]
async fn stand_in_without_a_prompt_cache_counts_plain_input() {
    let api = Api::start().await;
    let prompt = conversation("claude-sonnet-test", &["Hello."]);
    for _ in 0..2 {
        assert_eq!(counts(&api, &prompt).await, [2002, 0, 0]);
    }
}
