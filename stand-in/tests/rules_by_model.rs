//! Restrictions of single models.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use serde_json::{Value, json};
use support::{Api, request};

/// Sends a request with `more` fields to `model` and checks the refusal; empty means accepted.
async fn expect_refusal(api: &Api, model: &str, mut more: Value, refusal: &str) {
    more["model"] = json!(model);
    let got = api
        .refusal(&request("[[tokens=1]]", more.clone()))
        .await
        .unwrap_or_default();
    assert!(
        got.contains(refusal) && got.is_empty() == refusal.is_empty(),
        "{more}: {got}"
    );
}

#[tokio::test]
async fn newer_models_reject_sampling_parameters() {
    let api = Api::start().await;
    for model in [
        "claude-sonnet-5-5",
        "claude-haiku-5-5",
        "claude-opus-4-7",
        "claude-fable-5",
    ] {
        expect_refusal(
            &api,
            model,
            json!({"temperature": 0.5}),
            "`temperature` is deprecated for this model.",
        )
        .await;
        expect_refusal(
            &api,
            model,
            json!({"top_p": 0.9}),
            "`top_p` is deprecated for this model.",
        )
        .await;
        expect_refusal(
            &api,
            model,
            json!({"top_k": 1}),
            "`top_k` is deprecated for this model.",
        )
        .await;
        expect_refusal(&api, model, json!({"temperature": 1, "top_p": 1.0}), "").await;
    }
    let both = json!({"temperature": 0.5, "top_p": 0.9});
    expect_refusal(
        &api,
        "claude-haiku-4-5",
        both.clone(),
        "cannot both be specified",
    )
    .await;
    expect_refusal(
        &api,
        "claude-haiku-4-5",
        json!({"temperature": 0, "top_k": 5}),
        "",
    )
    .await;
    expect_refusal(&api, "claude-3-haiku-20240307", both, "").await;
}

#[tokio::test]
async fn newest_models_reject_forced_tools() {
    let api = Api::start().await;
    let tools = json!([{"name": "a", "input_schema": {"type": "object"}}]);
    for choice in [json!({"type": "any"}), json!({"type": "tool", "name": "a"})] {
        let more = json!({"tools": tools, "tool_choice": choice});
        let refusal = "tool_choice: type \"tool\" and \"any\" are not supported for this model.";
        for model in ["claude-sonnet-5-5", "claude-opus-5-5", "claude-fable-5-1"] {
            expect_refusal(&api, model, more.clone(), refusal).await;
        }
        for model in [
            "claude-haiku-5-5",
            "claude-opus-5",
            "claude-fable-5",
            "claude-sonnet-4-5",
        ] {
            expect_refusal(&api, model, more.clone(), "").await;
        }
    }
    let free = json!({"tools": tools, "tool_choice": {"type": "auto"}});
    expect_refusal(&api, "claude-sonnet-5-5", free, "").await;
}

#[tokio::test]
async fn accepted_thinking_types_differ_by_model() {
    let api = Api::start().await;
    let budget =
        json!({"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000});
    let kind = |kind: &str| json!({"thinking": {"type": kind}});
    let refused =
        |kind: &str| format!("\"thinking.type.{kind}\" is not supported for this model. Use ");
    expect_refusal(
        &api,
        "claude-haiku-5-5",
        budget.clone(),
        &refused("enabled"),
    )
    .await;
    expect_refusal(&api, "claude-opus-4-6", budget, "").await;
    expect_refusal(
        &api,
        "claude-haiku-4-5",
        kind("adaptive"),
        "adaptive thinking is not supported on this model",
    )
    .await;
    expect_refusal(&api, "claude-haiku-5-5", kind("adaptive"), "").await;
    expect_refusal(&api, "claude-haiku-5-5", kind("disabled"), "").await;
    expect_refusal(
        &api,
        "claude-sonnet-5-5",
        kind("disabled"),
        "Use \"thinking.type.between_tools\" for",
    )
    .await;
    expect_refusal(&api, "claude-sonnet-5-5", kind("between_tools"), "").await;
    expect_refusal(
        &api,
        "claude-opus-5-5",
        kind("disabled"),
        &refused("disabled"),
    )
    .await;
    expect_refusal(
        &api,
        "claude-opus-5-5",
        kind("between_tools"),
        &refused("between_tools"),
    )
    .await;
}

#[tokio::test]
async fn prefill_is_rejected_but_not_a_paused_turn() {
    let api = Api::start().await;
    let ending = |content: Value| {
        let question = json!({"role": "user", "content": "[[tokens=1]]"});
        json!({"messages": [question, {"role": "assistant", "content": content}]})
    };
    let refusal = "This model does not support assistant message prefill. The conversation must end with a user message.";
    expect_refusal(&api, "claude-sonnet-5-5", ending(json!("{")), refusal).await;
    expect_refusal(&api, "claude-sonnet-4-5", ending(json!("{")), "").await;
    let paused =
        json!([{"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}]);
    expect_refusal(&api, "claude-sonnet-5-5", ending(paused), "").await;
}

#[tokio::test]
async fn token_limits_differ_by_model() {
    let api = Api::start().await;
    let refusal = "max_tokens: 64001 > 64000, which is the maximum allowed number of output tokens for claude-haiku-4-5";
    expect_refusal(
        &api,
        "claude-haiku-4-5",
        json!({"max_tokens": 64001}),
        refusal,
    )
    .await;
    expect_refusal(&api, "claude-haiku-5-5", json!({"max_tokens": 128_000}), "").await;
    expect_refusal(
        &api,
        "claude-opus-4-1",
        json!({"max_tokens": 32001}),
        "max_tokens: 32001 > 32000",
    )
    .await;
    let long = json!({"system": "word".repeat(200_000)});
    expect_refusal(
        &api,
        "claude-haiku-4-5",
        long.clone(),
        "prompt is too long: 200",
    )
    .await;
    expect_refusal(&api, "claude-haiku-5-5", long, "").await;
}

#[tokio::test]
async fn lenient_request_or_stand_in_skips_the_rules() {
    let body = |prompt: &str| {
        request(
            prompt,
            json!({"model": "claude-sonnet-5-5", "temperature": 0}),
        )
    };
    let api = Api::start().await;
    let lenient = Api::lenient().await;
    assert!(api.refusal(&body("Hi")).await.is_some());
    assert_eq!(api.refusal(&body("[[lenient]] Hi")).await, None);
    assert_eq!(api.refusal(&body("[[tokens=1 lenient]]")).await, None);
    assert_eq!(lenient.refusal(&body("Hi")).await, None);
}
