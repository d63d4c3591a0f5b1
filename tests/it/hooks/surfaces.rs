//! Each way to ask Claude runs the hooks `before` and `after` once.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use super::setup::{HookServer, start};
use crate::batches::BatchClient;
use crate::support::{ServerProcess, TestServer, within};
use crate::tasks;

const PROMPT: &str = r#"[[say="fine"]]"#;

/// Server with one hook at all surfaces.
struct SurfaceWalk {
    server: ServerProcess,
    hook: HookServer,
}

fn config(hook: &HookServer) -> String {
    format!(
        r#"
        [[hooks.list]]
        name = "counter"
        kind = "http"
        url = "{}"
        points = ["before", "after"]
        prompt = "read"
        answer = "read"
        stream = "whole"
        timeout_ms = 10000
        "#,
        hook.url
    )
}

impl SurfaceWalk {
    async fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.server.http.post(self.server.url(path)).json(body);
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{path} {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Asserts that the hook was asked before and after one request since the last call.
    async fn assert_asked_once(&self, surface: &str, is_stream: bool) {
        let asked = self.hook.take(2).await;
        let seen: Vec<_> = asked
            .iter()
            .map(|input| (&input["point"], &input["surface"], &input["stream"]))
            .collect();
        let [before, after, surface, is_stream] = [
            json!("before"),
            json!("after"),
            json!(surface),
            json!(is_stream),
        ];
        let expected = [
            (&before, &surface, &is_stream),
            (&after, &surface, &is_stream),
        ];
        assert_eq!(seen, expected, "{asked:?}");
        let ids = [&asked[0]["request_id"], &asked[1]["request_id"]];
        assert!(ids[0].is_string() && ids[0] == ids[1], "{ids:?}");
        assert_eq!(asked[0]["messages"][0]["content"][0]["text"], PROMPT);
        assert_eq!(asked[1]["answer"]["text"], "fine");
    }

    async fn converse_in_session(&self) {
        let session = self.post("/v1/sessions", &json!({"model": "haiku"})).await;
        let path = format!("/v1/sessions/{}/messages", session["id"].as_str().unwrap());
        self.post(&path, &json!({"content": PROMPT})).await;
    }

    async fn converse_on_socket(&self) {
        let url = self.server.url("/v1/stream").replace("http:", "ws:");
        let (mut socket, _) = connect_async(url).await.unwrap();
        let messages = json!([{"role": "user", "content": PROMPT}]);
        let chat = json!({"type": "chat", "id": "1", "model": "haiku", "messages": messages});
        socket.send(Message::text(chat.to_string())).await.unwrap();
        loop {
            let Message::Text(text) = socket.next().await.unwrap().unwrap() else {
                continue;
            };
            let message: Value = serde_json::from_str(&text).unwrap();
            assert_ne!(message["type"], "error", "{message}");
            if message["type"] == "done" {
                return;
            }
        }
    }

    async fn run_batch(&self) {
        let client = BatchClient::new(self.server.url(""));
        let messages = json!([{"role": "user", "content": PROMPT}]);
        let line = json!({
            "custom_id": "a", "method": "POST", "url": "/v1/chat/completions",
            "body": {"model": "haiku", "messages": messages},
        });
        let id = client.create_batch(&[line]).await;
        let batch = client
            .wait_until(&id, |batch| batch["status"] == "completed")
            .await;
        assert_eq!(batch["request_counts"]["completed"], 1, "{batch}");
    }

    async fn run_message_batch(&self) {
        let messages = json!([{"role": "user", "content": PROMPT}]);
        let params = json!({"model": "haiku", "max_tokens": 100, "messages": messages});
        let requests = json!([{"custom_id": "a", "params": params}]);
        let batch = self
            .post("/v1/messages/batches", &json!({"requests": requests}))
            .await;
        let path = format!("/v1/messages/batches/{}", batch["id"].as_str().unwrap());
        let is_over = async || {
            let batch = self.server.get(&path).await.1;
            (batch["processing_status"] == "ended").then_some(batch)
        };
        let batch = within(Duration::from_secs(60), "the batch ends", is_over).await;
        assert_eq!(batch["request_counts"]["succeeded"], 1, "{batch}");
    }
}

/// Requests of one call: surface, path and body.
fn single_calls() -> [(&'static str, &'static str, Value); 5] {
    let messages = json!([{"role": "user", "content": PROMPT}]);
    let chat = json!({"model": "haiku", "messages": messages});
    [
        ("chat", "/v1/chat/completions", chat.clone()),
        (
            "responses",
            "/v1/responses",
            json!({"model": "haiku", "input": PROMPT}),
        ),
        (
            "completions",
            "/v1/completions",
            json!({"model": "haiku", "prompt": PROMPT}),
        ),
        (
            "messages",
            "/v1/messages",
            json!({"model": "haiku", "max_tokens": 100, "messages": messages}),
        ),
        ("batch", "/v1/batch", json!({"requests": [chat]})),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_surface_runs_its_hooks_once_before_and_once_after() {
    let hook = HookServer::passing().await;
    let server = start(TestServer::real().await, &config(&hook)).await;
    let walk = SurfaceWalk { server, hook };
    for (surface, path, mut body) in single_calls() {
        walk.post(path, &body).await;
        walk.assert_asked_once(surface, false).await;
        if surface != "batch" {
            body["stream"] = json!(true);
            walk.post(path, &body).await;
            walk.assert_asked_once(surface, true).await;
        }
    }
    walk.converse_in_session().await;
    walk.assert_asked_once("sessions", false).await;
    walk.converse_on_socket().await;
    walk.assert_asked_once("stream", true).await;
    walk.run_batch().await;
    walk.assert_asked_once("batches", false).await;
    walk.run_message_batch().await;
    walk.assert_asked_once("batches", false).await;
    walk.server
        .wait_until("no request is left", |ready| ready["workers"]["busy"] == 0)
        .await;
    assert_eq!(walk.hook.asked(), Vec::<Value>::new(), "nothing more");
    walk.server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn task_runs_its_hooks_once_before_and_once_after() {
    let hook = HookServer::passing().await;
    let folder = tempfile::tempdir().unwrap();
    let server = start(tasks::server(&folder).await, &config(&hook)).await;
    let client = tasks::TaskClient::new(server.url(""), &folder, json!({})).await;
    let id = client.create_task(PROMPT, json!({})).await;
    let task = client.wait_for_end(&id).await;
    assert_eq!(
        (&task["status"], &task["result"]),
        (&json!("completed"), &json!("fine"))
    );
    let walk = SurfaceWalk { server, hook };
    walk.assert_asked_once("tasks", false).await;
    walk.server.end().await;
}
