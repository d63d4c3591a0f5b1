//! Masking of tool calls: their inputs stay JSON, in a stream too.

use serde_json::{Value, json};

use super::setup::{example, start};
use crate::support::{ServerProcess, TestServer};

/// Two calls whose inputs hold personal data, as values and beside quotes.
const CALLS: &str = r#"[[tool=send input={"to":["anna@example.org"],"text":"Say \"hi\" to bob@example.org","count":2} tool=send input={"to":[]}]]"#;

fn config() -> String {
    format!(
        r#"
        [[hooks.list]]
        name = "mask"
        kind = "program"
        command = ["python3", "{}"]
        points = ["after"]
        answer = "write"
        stream = "whole"
        timeout_ms = 10000
        "#,
        example("mask_personal_data.py")
    )
}

fn tools() -> Value {
    let parameters = json!({"type": "object"});
    json!([{"type": "function", "function": {"name": "send", "parameters": parameters}}])
}

/// Returns the inputs of the calls in the deltas of a stream, joined by their index.
async fn streamed_inputs(server: &ServerProcess) -> Vec<String> {
    let stream = server.chat(CALLS).with("tools", tools()).stream().await;
    let mut inputs = vec![String::new(); 2];
    for event in stream.rest().await {
        let event: Value = serde_json::from_str(&event).unwrap_or_default();
        let calls = event["choices"][0]["delta"]["tool_calls"].as_array();
        for call in calls.into_iter().flatten() {
            let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
            inputs[index] += call["function"]["arguments"].as_str().unwrap_or_default();
        }
    }
    inputs
}

#[tokio::test(flavor = "multi_thread")]
async fn masked_tool_calls_are_valid_json() {
    let server = start(TestServer::real().await, &config()).await;
    let answer = server.chat(CALLS).with("tools", tools()).send().await;
    assert_eq!(answer.body["choices"][0]["finish_reason"], "tool_calls");
    let calls = answer.body["choices"][0]["message"]["tool_calls"]
        .as_array()
        .unwrap();
    let whole: Vec<String> = calls
        .iter()
        .map(|call| call["function"]["arguments"].as_str().unwrap().to_owned())
        .collect();
    let expected = [
        json!({"to": ["[email]"], "text": "Say \"hi\" to [email]", "count": 2}),
        json!({"to": []}),
    ];
    for inputs in [whole, streamed_inputs(&server).await] {
        let inputs: Vec<Value> = inputs
            .iter()
            .map(|input| serde_json::from_str(input).unwrap())
            .collect();
        assert_eq!(inputs, expected);
    }
    server.end().await;
}
