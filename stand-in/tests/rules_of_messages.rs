//! Rules of messages for all models: content, tool results, `cache_control`, images.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use serde_json::{Value, json};
use support::{Api, request};

/// Sends `messages` and checks the refusal; empty means accepted.
async fn expect_refusal(api: &Api, messages: Value, refusal: &str) {
    let got = api
        .refusal(&request("", json!({"messages": messages})))
        .await
        .unwrap_or_default();
    assert!(
        got.contains(refusal) && got.is_empty() == refusal.is_empty(),
        "{messages}: {got}"
    );
}

fn user(content: Value) -> Value {
    json!({"role": "user", "content": content})
}

fn assistant(content: Value) -> Value {
    json!({"role": "assistant", "content": content})
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn call(id: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": "a", "input": {}})
}

fn result(id: &str) -> Value {
    json!({"type": "tool_result", "tool_use_id": id, "content": "ok"})
}

#[tokio::test]
async fn empty_content_is_rejected() {
    let api = Api::start().await;
    for (messages, refusal) in [
        (
            json!([user(json!("")),]),
            "messages.0: user messages must have non-empty content",
        ),
        (
            json!([user(json!([]))]),
            "messages.0: user messages must have non-empty content",
        ),
        (
            json!([user(json!([text("")]))]),
            "messages: text content blocks must be non-empty",
        ),
        (
            json!([user(json!([text(" \n")]))]),
            "messages: text content blocks must contain non-whitespace text",
        ),
        (
            json!([user(json!(" "))]),
            "messages: text content blocks must contain non-whitespace text",
        ),
        (
            json!([user(json!("a")), assistant(json!("")), user(json!("b"))]),
            "messages.1: all messages must have non-empty content except for the optional final assistant message",
        ),
        (json!([user(json!("a")), assistant(json!(""))]), ""),
        (
            json!([user(json!("a")), assistant(json!("b "))]),
            "final assistant content cannot end with trailing",
        ),
    ] {
        expect_refusal(&api, messages, refusal).await;
    }
    let marked = json!([{"type": "text", "text": "", "cache_control": {"type": "ephemeral"}}]);
    let refusal = "messages.0.content.0.text: cache_control cannot be set for empty text blocks";
    expect_refusal(&api, json!([user(marked)]), refusal).await;
    let system = request("Hi", json!({"system": [text("")]}));
    assert_eq!(
        api.refusal(&system).await.unwrap(),
        "system: text content blocks must be non-empty"
    );
}

#[tokio::test]
async fn tool_calls_and_results_must_be_paired() {
    let api = Api::start().await;
    let missing =
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: ";
    let question = user(json!("a"));
    let called = assistant(json!([call("t1"), call("t2")]));
    for (after, refusal) in [
        (json!([result("t1"), result("t2"), text("and")]), ""),
        (
            json!([result("t1")]),
            &*format!("{missing}t2. Each `tool_use` block must have a corresponding"),
        ),
        (json!("other"), &*format!("{missing}t1, t2. ")),
        (
            json!([result("t1"), text("and"), result("t2")]),
            &*format!("{missing}t2. "),
        ),
        (
            json!([result("t1"), result("t2"), result("t3")]),
            "messages.2.content.2: unexpected `tool_use_id` found in `tool_result` blocks: t3. ",
        ),
        (
            json!([result("t1"), result("t2"), result("t2")]),
            "messages.2.content.2: each tool_use must have a single result. Found multiple `tool_result` blocks with id: t2",
        ),
    ] {
        expect_refusal(&api, json!([question, called, user(after)]), refusal).await;
    }
    expect_refusal(
        &api,
        json!([question, called]),
        &format!("{missing}t1, t2. "),
    )
    .await;
    expect_refusal(
        &api,
        json!([
            question,
            called,
            user(json!([result("t1")])),
            user(json!([result("t2")]))
        ]),
        "",
    )
    .await;
    let orphan =
        "messages.0.content.0: unexpected `tool_use_id` found in `tool_result` blocks: t1. ";
    expect_refusal(&api, json!([user(json!([result("t1")]))]), orphan).await;
    let answered = user(json!([result("t1"), result("t2")]));
    let again = json!([question, called, answered, called, answered]);
    expect_refusal(
        &api,
        again,
        "messages.3.content.0: `tool_use` ids must be unique",
    )
    .await;
    let dotted = json!([
        question,
        assistant(json!([call("a.b")])),
        user(json!([result("a.b")]))
    ]);
    expect_refusal(
        &api,
        dotted,
        "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
    )
    .await;
}

#[tokio::test]
async fn thinking_must_be_signed() {
    let api = Api::start().await;
    let thinking = |signature: Value| {
        let mut block = json!({"type": "thinking", "thinking": "Hm."});
        if signature.is_string() {
            block["signature"] = signature;
        }
        json!([
            user(json!("a")),
            assistant(json!([block, text("b")])),
            user(json!("c"))
        ])
    };
    expect_refusal(
        &api,
        thinking(json!(null)),
        "messages.1.content.0.thinking.signature: Field required",
    )
    .await;
    expect_refusal(
        &api,
        thinking(json!("")),
        "messages.1.content.0: Invalid `signature` in `thinking` block",
    )
    .await;
    expect_refusal(&api, thinking(json!("c2lnbmVk")), "").await;
}

#[tokio::test]
async fn cache_control_is_limited_in_number_and_position() {
    let api = Api::start().await;
    let marked = |ttl: &str| json!({"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": ttl}});
    expect_refusal(&api, json!([user(json!(vec![marked("5m"); 4]))]), "").await;
    let refusal = "A maximum of 4 blocks with cache_control may be provided. Found 5.";
    expect_refusal(&api, json!([user(json!(vec![marked("5m"); 5]))]), refusal).await;
    let refusal = "messages.0.content.1.cache_control.ttl: a ttl='1h' cache_control block must not come after";
    expect_refusal(
        &api,
        json!([user(json!([marked("5m"), marked("1h")]))]),
        refusal,
    )
    .await;
    expect_refusal(&api, json!([user(json!([marked("1h"), marked("5m")]))]), "").await;
    let thinking = json!({"type": "thinking", "thinking": "Hm.", "signature": "c2ln", "cache_control": {"type": "ephemeral"}});
    let messages = json!([
        user(json!("a")),
        assistant(json!([thinking, text("b")])),
        user(json!("c"))
    ]);
    let refusal = "messages.1.content.0.thinking.cache_control: Extra inputs are not permitted";
    expect_refusal(&api, messages, refusal).await;
    let mut message = user(json!("a"));
    message["cache_control"] = json!({"type": "ephemeral"});
    expect_refusal(
        &api,
        json!([message]),
        "messages.0.cache_control: Extra inputs are not permitted",
    )
    .await;
}

#[tokio::test]
async fn images_are_limited_in_type_and_size() {
    let api = Api::start().await;
    let image = |media_type: &str, data: &str| {
        let source = json!({"type": "base64", "media_type": media_type, "data": data});
        json!({"type": "image", "source": source})
    };
    // First 24 bytes of PNGs with 8001 by 1 and 1 by 1 pixels.
    let wide = "iVBORw0KGgoAAAANSUhEUgAAH0EAAAAB";
    let small = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB";
    let pixels = ".source.base64.data: At least one of the image dimensions exceed max allowed size: 8000 pixels";
    expect_refusal(
        &api,
        json!([user(json!([image("image/png", wide)]))]),
        &format!("messages.0.content.0.image{pixels}"),
    )
    .await;
    expect_refusal(&api, json!([user(json!([image("image/png", small)]))]), "").await;
    let large = "A".repeat(5 * 1024 * 1024 + 4);
    let refusal = "messages.0.content.0.image.source.base64: image exceeds 5 MB maximum: 5242884 bytes > 5242880 bytes";
    expect_refusal(
        &api,
        json!([user(json!([image("image/jpeg", &large)]))]),
        refusal,
    )
    .await;
    let refusal =
        "messages.0.content.0.image.source.base64.media_type: Input should be 'image/jpeg',";
    expect_refusal(
        &api,
        json!([user(json!([image("image/tiff", small)]))]),
        refusal,
    )
    .await;
    let mut seen = result("t1");
    seen["content"] = json!([image("image/png", wide)]);
    let messages = json!([
        user(json!("a")),
        assistant(json!([call("t1")])),
        user(json!([seen]))
    ]);
    let refusal = format!("messages.2.content.0.tool_result.content.0.image{pixels}");
    expect_refusal(&api, messages, &refusal).await;
}
