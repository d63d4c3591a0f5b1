//! Conversations are stateless: each request brings the whole history, and exactly that goes
//! upstream.

use serde_json::{Value, json};

use crate::support::TestServer;

const PROMPT: &str = "[[say=\"one\"]]";

/// Returns the body of the last upstream call.
fn last_upstream_body(server: &TestServer) -> Value {
    Value::clone(&server.upstream().requests().last().unwrap().body)
}

/// Returns `value` as JSON text without `cache_control`. The order of the keys is always the same.
fn without_cache_breakpoints(value: &Value) -> String {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.remove("cache_control");
                fields.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut value = value.clone();
    strip(&mut value);
    value.to_string()
}

/// Returns the positions of the prompt cache breakpoints, each as (message, block).
fn cache_breakpoints(body: &Value) -> Vec<(usize, usize)> {
    let mut breakpoints = Vec::new();
    for (index, message) in body["messages"].as_array().unwrap().iter().enumerate() {
        for (block, content) in message["content"].as_array().unwrap().iter().enumerate() {
            if !content["cache_control"].is_null() {
                breakpoints.push((index, block));
            }
        }
    }
    breakpoints
}

#[tokio::test(flavor = "multi_thread")]
async fn each_turn_is_one_call_with_the_whole_conversation() {
    let server = TestServer::real().await.workers(1).start().await;
    assert_eq!(server.chat(PROMPT).send().await.text(), "one");
    let earlier = [("user", PROMPT), ("assistant", "one")];
    assert_eq!(
        server
            .chat("[[say=\"two\"]]")
            .after(&earlier)
            .send()
            .await
            .text(),
        "two"
    );
    assert_eq!(
        server.upstream().requests().len(),
        2,
        "one call for each turn"
    );
    let text =
        |role: &str, text: &str| json!({"role": role, "content": [{"type": "text", "text": text}]});
    let expected = json!([
        text("user", PROMPT),
        text("assistant", "one"),
        text("user", "[[say=\"two\"]]")
    ]);
    assert_eq!(
        without_cache_breakpoints(&last_upstream_body(&server)["messages"]),
        expected.to_string()
    );
    server.end().await;
}

/// The body of a turn begins with that of the previous turn, up to its last cache breakpoint.
#[tokio::test(flavor = "multi_thread")]
async fn turn_repeats_the_cached_prefix_of_the_previous_turn() {
    let server = TestServer::real().await.workers(1).start().await;
    let tool =
        json!({"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}});
    let mut earlier = vec![("system", "be brief")];
    let mut last: Option<Value> = None;
    for prompt in ["[[say=\"one\"]]", "[[say=\"two\"]]", "[[say=\"three\"]]"] {
        let chat = server
            .chat(prompt)
            .after(&earlier)
            .with("tools", json!([tool]));
        let answer = chat.send().await.text().to_owned();
        let body = last_upstream_body(&server);
        let count = body["messages"].as_array().unwrap().len();
        let expected_messages: Vec<_> = [count.checked_sub(3), Some(count - 1)]
            .into_iter()
            .flatten()
            .collect();
        assert_eq!(
            cache_breakpoints(&body),
            expected_messages
                .iter()
                .map(|index| (*index, 0))
                .collect::<Vec<_>>()
        );
        assert!(!body["system"].as_array().unwrap().last().unwrap()["cache_control"].is_null());
        assert!(!body["tools"][0]["cache_control"].is_null());
        if let Some(last) = &last {
            for field in ["tools", "system"] {
                assert_eq!(body[field].to_string(), last[field].to_string(), "{field}");
            }
            let prefix = &body["messages"].as_array().unwrap()[..count - 2];
            assert_eq!(
                without_cache_breakpoints(&json!(prefix)),
                without_cache_breakpoints(&last["messages"])
            );
        }
        last = Some(body);
        earlier.extend([
            ("user", prompt),
            ("assistant", Box::leak(answer.into_boxed_str())),
        ]);
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instructions_and_parameters_may_change_between_turns() {
    let server = TestServer::real().await.workers(1).start().await;
    server
        .chat(PROMPT)
        .after(&[("system", "be brief")])
        .send()
        .await;
    let earlier = [
        ("system", "be long"),
        ("user", PROMPT),
        ("assistant", "one"),
    ];
    let chat = server.chat("[[tokens=9]]").after(&earlier);
    chat.with("max_tokens", 3)
        .with("temperature", 0.5)
        .with("model", "claude-haiku-4-5")
        .send()
        .await;
    let body = last_upstream_body(&server);
    assert_eq!(body["system"][1]["text"], "be long");
    assert_eq!(
        (&body["max_tokens"], &body["temperature"]),
        (&json!(3), &json!(0.5))
    );
    assert_eq!(server.upstream().requests().len(), 2);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conversation_of_twenty_thousand_messages_is_one_call() {
    let server = TestServer::real().await.workers(1).start().await;
    let earlier: Vec<(&str, &str)> = (0..20_000)
        .map(|index| {
            if index % 2 == 0 {
                ("user", "word")
            } else {
                ("assistant", "word")
            }
        })
        .collect();
    assert_eq!(
        server
            .chat("[[say=\"all\"]]")
            .after(&earlier)
            .send()
            .await
            .text(),
        "all"
    );
    assert_eq!(
        last_upstream_body(&server)["messages"]
            .as_array()
            .unwrap()
            .len(),
        20_001
    );
    assert_eq!(server.upstream().requests().len(), 1);
    server.end().await;
}
