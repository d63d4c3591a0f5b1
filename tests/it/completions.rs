//! The legacy completions endpoint, through the real CLI.

use serde_json::{Value, json};

use crate::support::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn completions_answers_several_prompts_and_choices() {
    let server = TestServer::real().await.workers(2).start().await;
    let body = json!({
        "model": "claude-haiku-4-5", "max_tokens": 20, "n": 2, "temperature": 0.5,
        "prompt": ["[[say=\"one\"]]", "[[tokens=30 gap_ms=20]]"],
    });
    let response = server
        .http
        .post(server.url("/v1/completions"))
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let answer: Value = response.json().await.unwrap();
    let choices = answer["choices"].as_array().unwrap();
    let outcomes: Vec<_> = choices
        .iter()
        .map(|choice| (&choice["index"], &choice["finish_reason"]))
        .collect();
    let reasons = ["stop", "stop", "length", "length"].map(Value::from);
    let indices: Vec<Value> = (0..4).map(Value::from).collect();
    assert_eq!(outcomes, indices.iter().zip(&reasons).collect::<Vec<_>>());
    assert_eq!(choices[1]["text"], "one");
    let bodies = server.upstream().requests();
    assert_eq!(bodies.len(), 4, "more runs than workers");
    assert!(
        bodies
            .iter()
            .all(|request| request.body["max_tokens"] == 20 && request.body["temperature"] == 0.5)
    );
    server.end().await;
}
