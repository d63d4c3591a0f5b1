//! The server's own API end to end, as a minimal client calls it, with the real CLI.

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::support::{HttpClient, TestServer, eventually};

const ADMIN: &str = "made-up-admin-key";

/// Client with a key of the project `my-app`.
struct Client {
    http: HttpClient,
    base: String,
    key: String,
}

impl Client {
    async fn new(base: String) -> Self {
        let admin = Self {
            http: HttpClient::new(),
            base,
            key: ADMIN.to_owned(),
        };
        let (status, project) = admin
            .ask("POST", "/admin/projects", json!({"id": "my-app"}))
            .await;
        assert_eq!((status, &project["id"]), (201, &json!("my-app")));
        let permissions = ["inference", "usage", "tasks"];
        let key = json!({"name": "app", "project_id": "my-app", "permissions": permissions});
        let (status, made) = admin.ask("POST", "/admin/keys", key).await;
        assert_eq!(status, 201, "{made}");
        Self {
            key: made["key"].as_str().unwrap().to_owned(),
            ..admin
        }
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = self
            .http
            .request(method.parse().unwrap(), format!("{}{path}", self.base));
        let response = request
            .bearer_auth(&self.key)
            .json(&body)
            .send()
            .await
            .unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Sends one message over a WebSocket and returns the replies up to `done` or `error`.
    async fn stream_turn(&self, message: Value) -> Vec<Value> {
        let url = format!("{}/v1/stream", self.base.replace("http:", "ws:"));
        let mut request = url.into_client_request().unwrap();
        request
            .headers_mut()
            .insert("x-api-key", self.key.parse().unwrap());
        let (mut socket, _) = connect_async(request).await.unwrap();
        socket
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
        let mut messages: Vec<Value> = Vec::new();
        while messages
            .last()
            .is_none_or(|last| last["type"] != "done" && last["type"] != "error")
        {
            if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
                messages.push(serde_json::from_str(&text).unwrap());
            }
        }
        messages
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn own_api_chat_batch_usage_route_stream_and_task_in_one_project() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = folder.path().canonicalize().unwrap();
    let builder = TestServer::real()
        .await
        .workers(2)
        .set("SWITCHBOARD_ADMIN_KEY", ADMIN);
    let server = builder
        .set("SWITCHBOARD_TASKS__ROOTS", json!([workspace]))
        .start()
        .await;
    let client = Client::new(server.url("")).await;

    let messages = json!([{"role": "user", "content": "[[say=\"hello\"]]"}]);
    let chat = json!({"model": "haiku", "messages": messages, "project_id": "my-app"});
    let (status, answer) = client.ask("POST", "/v1/chat/completions", chat).await;
    assert_eq!(
        (status, &answer["choices"][0]["message"]["content"]),
        (200, &json!("hello")),
        "{answer}"
    );

    let requests = ["Task 1", "Task 2"].map(|prompt| json!({"model": "haiku", "prompt": prompt}));
    let batch = json!({"requests": requests, "parallel": true, "project_id": "my-app"});
    let (status, batch) = client.ask("POST", "/v1/batch", batch).await;
    assert_eq!(
        (status, batch["results"].as_array().map(Vec::len)),
        (200, Some(2)),
        "{batch}"
    );
    assert!(
        batch["total_tokens"].as_u64() > Some(0) && batch["total_cost"].as_f64() > Some(0.0),
        "{batch}"
    );

    let (status, usage) = client
        .ask(
            "GET",
            "/v1/usage?project_id=my-app&period=month",
            Value::Null,
        )
        .await;
    assert_eq!(status, 200, "{usage}");
    let haiku = &usage["by_model"]["haiku"];
    assert!(
        haiku["tokens"].as_u64() > batch["total_tokens"].as_u64(),
        "{usage}"
    );
    assert_eq!(
        (&haiku["tokens"], &haiku["cost"]),
        (&usage["total_tokens"], &usage["total_cost"])
    );

    let question = json!({"task_description": "Refactor the parser", "context_size": 50_000});
    let (status, advice) = client.ask("POST", "/v1/route", question).await;
    assert_eq!(status, 200);
    assert!(
        advice["recommended_model"].is_string() && advice["reasoning"].is_string(),
        "{advice}"
    );

    let replies = client
        .stream_turn(json!({"type": "chat", "model": "haiku", "messages": messages}))
        .await;
    let words: String = replies
        .iter()
        .filter(|message| message["type"] == "token")
        .map(|message| message["content"].as_str().unwrap())
        .collect();
    let done = replies.last().unwrap();
    assert_eq!(
        (words.as_str(), &done["type"]),
        ("hello", &json!("done")),
        "{replies:?}"
    );
    assert!(done["usage"]["total_tokens"].as_u64() > Some(0), "{done}");

    let task = json!({"task_id": "test-123", "prompt": "[[say=\"done\"]]", "workspace": workspace, "model": "haiku"});
    let (status, made) = client.ask("POST", "/api/v1/tasks", task.clone()).await;
    assert_eq!(
        (status, &made["task_id"]),
        (201, &json!("test-123")),
        "{made}"
    );
    let ended = eventually("the task ends", || async {
        let (status, task) = client
            .ask("GET", "/api/v1/tasks/test-123", Value::Null)
            .await;
        assert_eq!(status, 200);
        Some(task).filter(|task| task["status"] == "completed")
    });
    assert_eq!(ended.await["result"], "done");
    assert_eq!(
        client.ask("POST", "/api/v1/tasks", task).await.1["id"],
        made["id"],
        "the same task id starts one task"
    );
    server.end().await;
}
