//! Test client of the stand-in.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "test code, of which each test file uses a part"
)]

use std::time::Duration;

use messages_stand_in::{Settings, StandIn};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

/// Deadline of waits, long because only a failing test reaches it.
pub const DEADLINE: Duration = Duration::from_secs(10);

pub struct Api {
    pub stand_in: StandIn,
    pub client: Client,
}

impl Api {
    pub async fn start() -> Self {
        Self {
            stand_in: StandIn::start().await.unwrap(),
            client: Client::new(),
        }
    }

    /// Starts a stand-in without the validation rules.
    pub async fn lenient() -> Self {
        let settings = Settings {
            is_lenient: true,
            ..Settings::default()
        };
        Self {
            stand_in: StandIn::start_with(settings).await.unwrap(),
            client: Client::new(),
        }
    }

    /// Starts a stand-in with a prompt cache.
    pub async fn with_prompt_cache() -> Self {
        let settings = Settings {
            has_prompt_cache: true,
            ..Settings::default()
        };
        Self {
            stand_in: StandIn::start_with(settings).await.unwrap(),
            client: Client::new(),
        }
    }

    /// Returns the message of the 400 response to `body`; `None` if it is accepted.
    pub async fn refusal(&self, body: &Value) -> Option<String> {
        let response = self.send(body).await;
        if response.status() == 200 {
            return None;
        }
        assert_eq!(response.status(), 400, "{body}");
        let error: Value = response.json().await.unwrap();
        assert_eq!(error["error"]["type"], "invalid_request_error");
        Some(error["error"]["message"].as_str().unwrap().to_owned())
    }

    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client
            .post(format!("{}{path}", self.stand_in.base_url()))
            .header("x-api-key", "sk-test")
            .json(body)
    }

    pub async fn send(&self, body: &Value) -> Response {
        self.post("/v1/messages?beta=true", body)
            .send()
            .await
            .unwrap()
    }

    /// Returns the whole message that answers `prompt`.
    pub async fn answer_to(&self, prompt: &str) -> Value {
        self.send(&request(prompt, json!({})))
            .await
            .json()
            .await
            .unwrap()
    }

    /// Returns the events that answer `prompt`.
    pub async fn stream(&self, prompt: &str) -> Vec<Value> {
        events(
            &self
                .send(&request(prompt, json!({"stream": true})))
                .await
                .text()
                .await
                .unwrap(),
        )
    }
}

/// Builds a request of one user message with `more` fields.
pub fn request(prompt: &str, more: Value) -> Value {
    let mut body = json!({"model": "claude-test", "max_tokens": 1000, "messages": [{"role": "user", "content": prompt}]});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    body
}

/// Parses server-sent events strictly and checks that each name equals the type in its data.
pub fn events(text: &str) -> Vec<Value> {
    let parse = |frame: &str| {
        let (name, data) = frame.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
        data
    };
    text.split_terminator("\n\n").map(parse).collect()
}

pub fn kinds(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect()
}

/// Returns the values of the field `name` in all deltas that have it.
pub fn deltas<'a>(events: &'a [Value], name: &str) -> Vec<&'a str> {
    events
        .iter()
        .filter_map(|event| event["delta"][name].as_str())
        .collect()
}
