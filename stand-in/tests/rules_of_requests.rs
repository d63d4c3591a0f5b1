//! Rules of requests for all models: unknown names, invalid tools and values.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use serde_json::{Value, json};
use support::{Api, request};

/// Sends a request with `more` fields and checks the refusal; empty means accepted.
async fn expect_refusal(api: &Api, more: Value, refusal: &str) {
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
async fn unknown_fields_and_betas_are_rejected() {
    let api = Api::start().await;
    expect_refusal(
        &api,
        json!({"seed": 1}),
        "seed: Extra inputs are not permitted",
    )
    .await;
    expect_refusal(
        &api,
        json!({"metadata": {"user_id": "u"}, "service_tier": "auto"}),
        "",
    )
    .await;
    let send = async |betas: &str| {
        let request = api
            .post("/v1/messages", &request("[[tokens=1]]", json!({})))
            .header("anthropic-beta", betas);
        request.send().await.unwrap()
    };
    assert_eq!(
        send("claude-code-20250219, files-api-2025-04-14,")
            .await
            .status(),
        200
    );
    let refused: Value = send("files-api-2025-04-14,one-2026-01-01")
        .await
        .json()
        .await
        .unwrap();
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(
        message
            .starts_with("Unexpected value(s) `one-2026-01-01` for the `anthropic-beta` header."),
        "{message}"
    );
}

#[tokio::test]
async fn stop_sequences_and_thinking_budgets_are_validated() {
    let api = Api::start().await;
    let stops = "stop_sequences: each stop sequence must contain non-whitespace";
    expect_refusal(&api, json!({"stop_sequences": ["END", "\n\n"]}), stops).await;
    expect_refusal(&api, json!({"stop_sequences": ["END", "\n-"]}), "").await;
    let budget = |tokens: u64, more: Value| {
        let mut fields =
            json!({"thinking": {"type": "enabled", "budget_tokens": tokens}, "max_tokens": 2048});
        fields
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        fields
    };
    expect_refusal(&api, budget(1024, json!({})), "").await;
    expect_refusal(
        &api,
        budget(1023, json!({})),
        "thinking.enabled.budget_tokens: Input should be greater than or",
    )
    .await;
    expect_refusal(
        &api,
        budget(2048, json!({})),
        "`max_tokens` must be greater than `thinking.budget_tokens`",
    )
    .await;
    expect_refusal(
        &api,
        budget(1024, json!({"temperature": 0})),
        "`temperature` may only be set to 1 when thinking",
    )
    .await;
    let forced = json!({"tools": [tool("a")], "tool_choice": {"type": "any"}});
    expect_refusal(
        &api,
        budget(1024, forced),
        "Thinking may not be enabled when tool_choice forces tool use.",
    )
    .await;
}

fn tool(name: &str) -> Value {
    json!({"name": name, "input_schema": {"type": "object"}})
}

#[tokio::test]
async fn tool_names_and_schemas_are_validated() {
    let api = Api::start().await;
    let pattern = "tools.1.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'";
    for name in ["a.b", "", "ä", &"a".repeat(129)] {
        expect_refusal(&api, json!({"tools": [tool("a"), tool(name)]}), pattern).await;
    }
    expect_refusal(
        &api,
        json!({"tools": [tool(&"a".repeat(128)), tool("mcp__a-b")]}),
        "",
    )
    .await;
    expect_refusal(
        &api,
        json!({"tools": [tool("a"), tool("a")]}),
        "tools: Tool names must be unique.",
    )
    .await;
    expect_refusal(
        &api,
        json!({"tools": [{"name": "a"}]}),
        "tools.0.custom.input_schema: Field required",
    )
    .await;
    let choice = json!({"tool_choice": {"type": "auto"}});
    expect_refusal(
        &api,
        choice,
        "tool_choice may only be specified while providing tools.",
    )
    .await;
    let with = |schema: Value| json!({"tools": [{"name": "a", "input_schema": schema}]});
    let top = "tools.0.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level";
    expect_refusal(
        &api,
        with(json!({"type": "object", "anyOf": [{"required": ["a"]}]})),
        top,
    )
    .await;
    let keys = "tools.0.custom.input_schema.properties: Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'";
    expect_refusal(
        &api,
        with(json!({"type": "object", "properties": {"$filter": {}}})),
        keys,
    )
    .await;
    // Only schemas of strict tools and of answers are restricted.
    expect_refusal(
        &api,
        with(json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}})),
        "",
    )
    .await;
}

#[tokio::test]
async fn forced_call_of_an_unconstrained_schema_has_empty_input() {
    let api = Api::start().await;
    for choice in [json!({"type": "any"}), json!({"type": "tool", "name": "a"})] {
        let more =
            json!({"model": "claude-haiku-5-5", "tools": [tool("a")], "tool_choice": choice});
        let answer: Value = api.send(&request("Hi", more)).await.json().await.unwrap();
        assert_eq!(
            (
                &answer["content"][0]["name"],
                &answer["content"][0]["input"]
            ),
            (&json!("a"), &json!({}))
        );
    }
}
