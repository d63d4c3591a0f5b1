//! What no model takes beside the messages: unknown names, odd tools, and values without sense.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use serde_json::{Value, json};
use support::{Api, request};

/// Asks with `more` fields and checks the refusal; an empty one means that the request is taken.
async fn expect(api: &Api, more: Value, refusal: &str) {
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
async fn unknown_fields_and_betas_are_refused() {
    let api = Api::start().await;
    expect(
        &api,
        json!({"seed": 1}),
        "seed: Extra inputs are not permitted",
    )
    .await;
    expect(
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
async fn stops_and_budgets_have_sense() {
    let api = Api::start().await;
    let stops = "stop_sequences: each stop sequence must contain non-whitespace";
    expect(&api, json!({"stop_sequences": ["END", "\n\n"]}), stops).await;
    expect(&api, json!({"stop_sequences": ["END", "\n-"]}), "").await;
    let budget = |tokens: u64, more: Value| {
        let mut fields =
            json!({"thinking": {"type": "enabled", "budget_tokens": tokens}, "max_tokens": 2048});
        fields
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        fields
    };
    expect(&api, budget(1024, json!({})), "").await;
    expect(
        &api,
        budget(1023, json!({})),
        "thinking.enabled.budget_tokens: Input should be greater than or",
    )
    .await;
    expect(
        &api,
        budget(2048, json!({})),
        "`max_tokens` must be greater than `thinking.budget_tokens`",
    )
    .await;
    expect(
        &api,
        budget(1024, json!({"temperature": 0})),
        "`temperature` may only be set to 1 when thinking",
    )
    .await;
    let forced = json!({"tools": [tool("a")], "tool_choice": {"type": "any"}});
    expect(
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
async fn tools_are_named_once_and_plainly() {
    let api = Api::start().await;
    let pattern = "tools.1.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'";
    for name in ["a.b", "", "ä", &"a".repeat(129)] {
        expect(&api, json!({"tools": [tool("a"), tool(name)]}), pattern).await;
    }
    expect(
        &api,
        json!({"tools": [tool(&"a".repeat(128)), tool("mcp__a-b")]}),
        "",
    )
    .await;
    expect(
        &api,
        json!({"tools": [tool("a"), tool("a")]}),
        "tools: Tool names must be unique.",
    )
    .await;
    expect(
        &api,
        json!({"tools": [{"name": "a"}]}),
        "tools.0.custom.input_schema: Field required",
    )
    .await;
    let choice = json!({"tool_choice": {"type": "auto"}});
    expect(
        &api,
        choice,
        "tool_choice may only be specified while providing tools.",
    )
    .await;
    let with = |schema: Value| json!({"tools": [{"name": "a", "input_schema": schema}]});
    let top = "tools.0.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level";
    expect(
        &api,
        with(json!({"type": "object", "anyOf": [{"required": ["a"]}]})),
        top,
    )
    .await;
    let keys = "tools.0.custom.input_schema.properties: Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'";
    expect(
        &api,
        with(json!({"type": "object", "properties": {"$filter": {}}})),
        keys,
    )
    .await;
    // Only the schemas of strict tools and of answers become a grammar.
    expect(
        &api,
        with(json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}})),
        "",
    )
    .await;
}

#[tokio::test]
async fn a_forced_call_of_an_open_schema_is_empty() {
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
