//! The log contains no keys and no prompts at any level.

use futures::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::support::{ServerProcess, TestServer};

const ADMIN: &str = "secret-admin-key";
const KEY: &str = "secret-key";
const SIGN_IN: &str = "sk-ant-secret-sign-in";
/// Marker in every prompt and every file.
const PROMPT: &str = "TANGERINE";

async fn send(
    server: &ServerProcess,
    method: Method,
    path: &str,
    key: &str,
    body: &Value,
) -> (u16, Value) {
    let request = server
        .http
        .request(method, server.url(path))
        .bearer_auth(key)
        .json(body);
    let response = request.send().await.unwrap();
    (
        response.status().as_u16(),
        response.json().await.unwrap_or_default(),
    )
}

/// Sends a message on a WebSocket, and reads events until one of type `last`.
async fn send_on_socket(server: &ServerProcess, path: &str, message: &Value, last: &str) {
    let mut request = server
        .url(path)
        .replace("http:", "ws:")
        .into_client_request()
        .unwrap();
    request
        .headers_mut()
        .insert("authorization", format!("Bearer {KEY}").parse().unwrap());
    let (mut socket, _) = connect_async(request).await.unwrap();
    socket
        .send(Message::text(message.to_string()))
        .await
        .unwrap();
    loop {
        if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
            let event: Value = serde_json::from_str(&text).unwrap();
            assert_ne!(event["type"], "error", "{event}");
            if event["type"] == last {
                return;
            }
        }
    }
}

async fn upload(server: &ServerProcess) -> Value {
    let line = json!({"custom_id": "a", "method": "POST", "url": "/v1/chat/completions",
                      "body": {"model": "haiku", "messages": [{"role": "user", "content": PROMPT}]}});
    let part = |name: &str, content: &str| {
        format!("--b\r\nContent-Disposition: form-data; name={name}\r\n\r\n{content}\r\n")
    };
    let form = [
        part("\"purpose\"", "batch"),
        part("\"file\"; filename=\"in.jsonl\"", &line.to_string()),
    ];
    let request = server.http.post(server.url("/v1/files")).bearer_auth(KEY);
    let request = request.header("content-type", "multipart/form-data; boundary=b");
    let response = request
        .body(format!("{}--b--\r\n", form.concat()))
        .send()
        .await
        .unwrap();
    response.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_level_logs_a_key_or_a_prompt() {
    for level in ["info", "debug", "trace"] {
        let server = TestServer::real()
            .await
            .workers(1)
            .set("ANTHROPIC_API_KEY", SIGN_IN);
        let server = server
            .set("SWITCHBOARD_ADMIN_KEY", ADMIN)
            .set("SWITCHBOARD_AUTH__KEYS", KEY);
        let server = server.set("SWITCHBOARD_LOG__FILTER", level).spawn().await;
        let post = async |path: &str, key: &str, body: Value| {
            send(&server, Method::POST, path, key, &body).await
        };
        let messages =
            json!([{"role": "user", "content": format!("{PROMPT} [[say=\"{PROMPT}\"]]")}]);
        for stream in [false, true] {
            let chat = json!({"model": "haiku", "messages": messages, "stream": stream});
            assert_eq!(post("/v1/chat/completions", KEY, chat).await.0, 200);
        }
        let response = json!({"model": "haiku", "input": PROMPT, "instructions": PROMPT});
        assert_eq!(post("/v1/responses", KEY, response).await.0, 200);
        let message = json!({"model": "haiku", "max_tokens": 9, "messages": messages});
        assert_eq!(post("/v1/messages", KEY, message.clone()).await.0, 200);
        let requests = json!([{"custom_id": "a", "params": message}]);
        let (status, created) =
            post("/v1/messages/batches", KEY, json!({"requests": requests})).await;
        assert_eq!(status, 200, "{created}");
        let items = json!([{"type": "message", "role": "user", "content": PROMPT}]);
        let (status, made) = post("/v1/conversations", KEY, json!({"items": items})).await;
        assert_eq!(status, 200, "{made}");
        let (_, session) = post("/v1/sessions", KEY, json!({"model": "haiku"})).await;
        let path = format!("/v1/sessions/{}/messages", session["id"].as_str().unwrap());
        let (status, answer) = post(&path, KEY, json!({"content": PROMPT})).await;
        assert_eq!(status, 200, "{answer}");
        let chat = json!({"type": "chat", "id": "1", "model": "haiku", "messages": messages});
        send_on_socket(&server, "/v1/stream", &chat, "done").await;
        let create = json!({"type": "response.create", "model": "haiku", "input": PROMPT});
        send_on_socket(&server, "/v1/responses", &create, "response.completed").await;
        let file = upload(&server).await;
        let batch = json!({"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"});
        assert_eq!(post("/v1/batches", KEY, batch).await.0, 200, "{file}");
        let (status, created) = post("/admin/keys", ADMIN, json!({"name": "ci"})).await;
        assert_eq!(status, 201, "{created}");
        let created = created["key"].as_str().unwrap().to_owned();
        assert_eq!(
            send(&server, Method::GET, "/v1/models", &created, &Value::Null)
                .await
                .0,
            200
        );
        // Refused requests: an unknown key, a wrong type, an unknown model and a body that is not
        // JSON.
        assert_eq!(
            post("/v1/responses", "secret-guess", json!({"input": PROMPT}))
                .await
                .0,
            401
        );
        assert_eq!(
            post(
                "/v1/chat/completions",
                KEY,
                json!({"model": "haiku", "messages": PROMPT})
            )
            .await
            .0,
            400
        );
        let wrong = json!({"model": "no-such-model", "messages": messages});
        assert_eq!(post("/v1/chat/completions", KEY, wrong).await.0, 404);
        let broken = server
            .http
            .post(server.url("/v1/messages"))
            .header("x-api-key", KEY)
            .body(PROMPT);
        assert!(broken.send().await.unwrap().status().is_client_error());
        server.signal(rustix::process::Signal::TERM);
        let log = server.ended().await.log;
        assert!(
            log.contains(r#"method="POST" path="/v1/chat/completions""#),
            "{log}"
        );
        assert_eq!(
            log.contains("DEBUG"),
            level != "info",
            "the debug lines of the server: {log}"
        );
        for secret in [ADMIN, KEY, SIGN_IN, PROMPT, "secret-guess", &created] {
            let line = log.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret} at {level}");
        }
    }
}
