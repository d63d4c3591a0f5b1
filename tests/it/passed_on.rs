//! Requests about running work, at another server than the one that runs it: two linked servers on one
//! Redis.

use std::path::Path;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::batches::BatchClient;
use crate::support::{
    Builder, HttpResponse, Redis, ServerProcess, TestServer, create_key, eventually, send, within,
};
use crate::tasks;
use crate::tasks::{TaskClient, tool_directive};

const ADMIN: &str = "made-up-admin-key";
const SECRET: &str = "made-up-node-secret";
/// Maximum wait for what follows the end of a lease of half a minute.
const TAKE_OVER_TIMEOUT: Duration = Duration::from_secs(150);
/// Prompt whose answer stops after two words, and goes on for ever.
const STALLED: &str = "[[tokens=9 stall_at=2]]";

/// Starts a server that is linked to the others on `redis`.
async fn spawn_linked(redis: &Redis, builder: Builder) -> ServerProcess {
    let builder = builder
        .set("SWITCHBOARD_STORE__BACKEND", "redis")
        .set("SWITCHBOARD_REDIS__URL", redis.url())
        .set("SWITCHBOARD_NODE__SECRET", SECRET)
        .set("SWITCHBOARD_NODE__ADDRESS", "http://127.0.0.1:0");
    builder.spawn().await
}

/// Starts two linked servers with an admin key.
async fn two_servers(redis: &Redis) -> [ServerProcess; 2] {
    let builder = || TestServer::fake().set("SWITCHBOARD_ADMIN_KEY", ADMIN);
    [
        spawn_linked(redis, builder()).await,
        spawn_linked(redis, builder()).await,
    ]
}

/// Creates a background response that does not end, and returns its id.
async fn begin_response(server: &ServerProcess, key: &str) -> String {
    let body = json!({"model": "haiku", "background": true, "stream": true, "input": STALLED});
    let request = server.http.post(server.url("/v1/responses"));
    let mut created = request.bearer_auth(key).json(&body).send().await.unwrap();
    let text = read_until(&mut created, "\"id\":\"resp_").await;
    let (_, rest) = text.split_once("\"id\":\"resp_").unwrap();
    let (digits, _) = rest.split_once('"').unwrap();
    format!("resp_{digits}")
}

/// Requests the events of the response `id`.
async fn follow(server: &ServerProcess, id: &str, key: &str) -> HttpResponse {
    let url = server.url(&format!("/v1/responses/{id}?stream=true"));
    let request = server.http.get(url).bearer_auth(key);
    let followed = request.send().await.unwrap();
    assert_eq!(followed.status().as_u16(), 200);
    followed
}

/// Reads an answer until `words` have come, and returns what has come.
async fn read_until(answer: &mut HttpResponse, words: &str) -> String {
    let mut text = String::new();
    while !text.contains(words) {
        let chunk = answer.chunk().await.unwrap();
        let chunk = chunk.unwrap_or_else(|| panic!("ended without {words}: {text}"));
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    text
}

async fn cancel(server: &ServerProcess, id: &str, key: &str) -> (u16, Value) {
    let path = format!("/v1/responses/{id}/cancel");
    send(server, Method::POST, &path, key, &Value::Null).await
}

#[tokio::test(flavor = "multi_thread")]
async fn background_response_is_followed_and_cancelled_at_the_other_server() {
    let redis = Redis::start().await;
    let [one, other] = two_servers(&redis).await;
    let (_, key) = create_key(&one, &json!({})).await;
    let id = begin_response(&one, &key).await;
    let mut followed = follow(&other, &id, &key).await;
    assert!(!followed.headers().contains_key("x-switchboard-node"));
    read_until(&mut followed, "response.output_text.delta").await;
    let (_, stranger) = create_key(&one, &json!({})).await;
    assert_eq!(cancel(&other, &id, &stranger).await.0, 404);
    let (status, cancelled) = cancel(&other, &id, &key).await;
    assert_eq!((status, &cancelled["status"]), (200, &json!("cancelled")));
    while followed.chunk().await.unwrap().is_some() {}
    // The server that has passed the requests on names the one that has answered.
    let name = std::fs::read_to_string(one.data_dir().join("instance")).unwrap();
    eventually("the access log names the server", || {
        std::future::ready(other.log().contains(name.trim()).then_some(()))
    })
    .await;
    one.end().await;
    other.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn header_of_servers_is_refused_from_a_client() {
    let redis = Redis::start().await;
    let [one, other] = two_servers(&redis).await;
    let (_, key) = create_key(&one, &json!({})).await;
    let id = begin_response(&one, &key).await;
    for (secret, expected) in [("made-up-node-secreT", 403), (SECRET, 503)] {
        let url = other.url(&format!("/v1/responses/{id}/cancel"));
        let request = other.http.post(url).bearer_auth(&key);
        let request = request.header("x-switchboard-node-secret", secret);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), expected, "{secret}");
    }
    assert_eq!(cancel(&other, &id, &key).await.0, 200);
    one.end().await;
    other.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_about_work_of_a_killed_server_are_refused_until_it_is_taken_over() {
    let redis = Redis::start().await;
    let [killed, other] = two_servers(&redis).await;
    let (_, key) = create_key(&killed, &json!({})).await;
    let id = begin_response(&killed, &key).await;
    let mut followed = follow(&other, &id, &key).await;
    read_until(&mut followed, "response.output_text.delta").await;
    killed.kill().await;
    loop {
        match followed.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the events ended as if they were all"),
            Err(_) => break,
        }
    }
    let (status, refused) = cancel(&other, &id, &key).await;
    assert_eq!(
        (status, &refused["error"]["code"]),
        (503, &json!("node_unreachable"))
    );
    within(TAKE_OVER_TIMEOUT, "the response is taken over", || async {
        let (status, response) = cancel(&other, &id, &key).await;
        (status == 200 && response["status"] == "failed").then_some(())
    })
    .await;
    other.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_is_cancelled_at_the_other_server() {
    let redis = Redis::start().await;
    let one = spawn_linked(&redis, TestServer::fake()).await;
    let other = spawn_linked(&redis, TestServer::fake()).await;
    let line = json!({
        "custom_id": "a", "method": "POST", "url": "/v1/chat/completions",
        "body": {"model": "haiku", "messages": [{"role": "user", "content": STALLED}]},
    });
    let client = BatchClient::new(one.url(""));
    let id = client.create_batch(&[line]).await;
    let is_running = |stats: &Value| stats["workers"]["busy"] == 1;
    one.wait_until("the line runs", is_running).await;
    let url = other.url(&format!("/v1/batches/{id}/cancel"));
    let answer = other.http.post(url).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let client = BatchClient::new(other.url(""));
    client
        .wait_until(&id, |batch| batch["status"] == "cancelled")
        .await;
    one.end().await;
    other.end().await;
}

/// Two linked servers with the real CLI, and a client of the first one.
struct TaskServers {
    one: ServerProcess,
    other: ServerProcess,
    client: TaskClient,
    _folder: TempDir,
    _redis: Redis,
}

impl TaskServers {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let redis = Redis::start().await;
        let one = spawn_linked(&redis, tasks::server(&folder).await).await;
        let other = spawn_linked(&redis, tasks::server(&folder).await).await;
        let client = TaskClient::new(one.url(""), &folder, json!({})).await;
        Self {
            one,
            other,
            client,
            _folder: folder,
            _redis: redis,
        }
    }

    /// Creates a task at the first server. Returns its id, and that of the permission it asks for.
    async fn ask_for_permission(&self) -> (String, String) {
        let prompt = tool_directive("Bash", &json!({"command": "touch made"}));
        let terms = json!({"permission_mode": "default"});
        let id = self.client.create_task(&prompt, terms).await;
        let path = format!("/v1/tasks/{id}");
        let asked = eventually("a permission request is pending", || async {
            let key = &self.client.key;
            let (_, task) = send(&self.other, Method::GET, &path, key, &Value::Null).await;
            let asked = task["permission_requests"][0]["request_id"].as_str();
            asked.map(str::to_owned)
        });
        let asked = asked.await;
        (id, asked)
    }

    /// Waits until the task has ended, and ends the servers.
    async fn end(self, id: &str) {
        let ended = self.client.wait_for_end(id).await;
        assert_eq!(ended["status"], "completed");
        assert!(Path::new(&self.client.work).join("made").exists());
        self.one.end().await;
        self.other.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn task_is_followed_and_its_permission_answered_at_the_other_server() {
    let servers = TaskServers::start().await;
    let (id, asked) = servers.ask_for_permission().await;
    let TaskServers { other, client, .. } = &servers;
    let url = other.url(&format!("/v1/tasks/{id}/events"));
    let request = other.http.get(url).bearer_auth(&client.key);
    let mut events = request.send().await.unwrap();
    read_until(&mut events, &asked).await;
    let path = format!("/v1/tasks/{id}/permissions/{asked}");
    let decision = json!({"decision": "allow"});
    let (status, answer) = send(other, Method::POST, &path, &client.key, &decision).await;
    assert_eq!(status, 200, "{answer}");
    while events.chunk().await.unwrap().is_some() {}
    servers.end(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_of_a_task_is_passed_on_to_the_server_that_runs_it() {
    let servers = TaskServers::start().await;
    let (id, asked) = servers.ask_for_permission().await;
    let TaskServers { other, client, .. } = &servers;
    let url = other.url(&format!("/v1/tasks/{id}/ws"));
    let mut request = url.replace("http:", "ws:").into_client_request().unwrap();
    let key = client.key.parse().unwrap();
    request.headers_mut().insert("x-api-key", key);
    let (mut socket, _) = connect_async(request).await.unwrap();
    let mut is_answered = false;
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else {
            continue;
        };
        if text.contains(&asked) && !is_answered {
            is_answered = true;
            let decision =
                json!({"type": "permission", "request_id": asked, "decision": "allow"}).to_string();
            socket.send(Message::text(decision)).await.unwrap();
        }
    }
    assert!(is_answered);
    servers.end(&id).await;
}
