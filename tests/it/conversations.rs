//! A conversation goes on in any process: each request brings all of it, and upstream gets just that.

use serde_json::{Value, json};

use crate::support::TestServer;

const PROMPT: &str = "[[say=\"one\"]]";

/// The body of the last call upstream.
fn body(server: &TestServer) -> Value {
    Value::clone(&server.upstream().requests().last().unwrap().body)
}

/// `value` without the marks of the prompt cache, as text. Keys stand in one order in all of them.
fn unmarked(value: &Value) -> String {
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

/// Where the prompt cache is marked: of each message the blocks that are.
fn marked(body: &Value) -> Vec<(usize, usize)> {
    let mut places = Vec::new();
    for (index, message) in body["messages"].as_array().unwrap().iter().enumerate() {
        for (block, content) in message["content"].as_array().unwrap().iter().enumerate() {
            if !content["cache_control"].is_null() {
                places.push((index, block));
            }
        }
    }
    places
}

#[tokio::test(flavor = "multi_thread")]
async fn each_turn_is_one_call_with_the_conversation_as_it_came() {
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
    assert_eq!(unmarked(&body(&server)["messages"]), expected.to_string());
    server.end().await;
}

/// What the next turn sends begins with what the last one has sent, up to the mark that it has left.
#[tokio::test(flavor = "multi_thread")]
async fn a_turn_begins_with_the_bytes_that_the_last_one_has_cached() {
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
        let body = body(&server);
        let count = body["messages"].as_array().unwrap().len();
        let marks: Vec<_> = [count.checked_sub(3), Some(count - 1)]
            .into_iter()
            .flatten()
            .collect();
        assert_eq!(
            marked(&body),
            marks.iter().map(|index| (*index, 0)).collect::<Vec<_>>()
        );
        assert!(!body["system"].as_array().unwrap().last().unwrap()["cache_control"].is_null());
        assert!(!body["tools"][0]["cache_control"].is_null());
        if let Some(last) = &last {
            for field in ["tools", "system"] {
                assert_eq!(body[field].to_string(), last[field].to_string(), "{field}");
            }
            let prefix = &body["messages"].as_array().unwrap()[..count - 2];
            assert_eq!(unmarked(&json!(prefix)), unmarked(&last["messages"]));
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
async fn instructions_and_parameters_may_change_from_turn_to_turn() {
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
    let body = body(&server);
    assert_eq!(body["system"][1]["text"], "be long");
    assert_eq!(
        (&body["max_tokens"], &body["temperature"]),
        (&json!(3), &json!(0.5))
    );
    assert_eq!(server.upstream().requests().len(), 2);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_messages_are_answered_at_once() {
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
    assert_eq!(body(&server)["messages"].as_array().unwrap().len(), 20_001);
    assert_eq!(server.upstream().requests().len(), 1);
    server.end().await;
}
