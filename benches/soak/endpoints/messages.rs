//! Anthropic's Messages API: a tool call, and the answer to its result.

use serde_json::{Value, json};

use super::{Client, Endpoint, reading, usage};
use crate::journal::RequestFailure;

const PATH: &str = "/v1/messages";

impl Client {
    pub(crate) async fn tools(&self) {
        let marker = self.marker();
        let prompt = format!(
            "[[tool=look input={{\"for\":\"{marker}\"}} ttft_ms=100 {}]]",
            usage()
        );
        let tools = json!([{"name": "look", "description": "Looks it up.", "input_schema": {
            "type": "object", "properties": {"for": {"type": "string"}}, "required": ["for"]}}]);
        let mut messages = vec![json!({"role": "user", "content": prompt})];
        let called = self.run_request(Endpoint::ToolCall, async {
            let body =
                json!({"model": "haiku", "max_tokens": 1000, "tools": tools, "messages": messages});
            let answer = reading::json(self.post(PATH, &body)).await?;
            let blocks = answer["content"].as_array().cloned().unwrap_or_default();
            let call = blocks.iter().find(|block| block["type"] == "tool_use");
            let is_right =
                call.is_some_and(|call| call["input"]["for"] == marker && call["name"] == "look");
            if is_right {
                Ok(blocks)
            } else {
                Err(RequestFailure::Wrong(format!(
                    "no call of {marker}: {}",
                    reading::short(&answer)
                )))
            }
        });
        let Some(blocks) = called.await else { return };
        let question = self.question();
        let id = blocks
            .iter()
            .find_map(|block| block["id"].as_str())
            .unwrap_or_default()
            .to_owned();
        let result = json!({"type": "tool_result", "tool_use_id": id, "content": question.prompt});
        messages.extend([
            json!({"role": "assistant", "content": blocks}),
            json!({"role": "user", "content": [result]}),
        ]);
        let answered = async {
            let body = json!({"model": "haiku", "max_tokens": 1000, "tools": tools, "messages": messages, "stream": true});
            let mut text = String::new();
            let read = |event: &Value| {
                text.push_str(event["delta"]["text"].as_str().unwrap_or_default());
                Ok(event["type"] == "message_stop")
            };
            reading::stream(self.post(PATH, &body), read).await?;
            question.check(&text)
        };
        self.run_request(Endpoint::ToolResult, answered).await;
    }

    pub(crate) async fn count_tokens(&self) {
        let body = json!({"model": "haiku", "messages": [{"role": "user", "content": self.marker().repeat(20)}]});
        let counted = async {
            let answer = reading::json(self.post("/v1/messages/count_tokens", &body)).await?;
            let is_right = answer["input_tokens"].as_u64() > Some(0);
            if is_right {
                Ok(())
            } else {
                Err(RequestFailure::Wrong(reading::short(&answer)))
            }
        };
        self.run_request(Endpoint::CountTokens, counted).await;
    }
}
