//! Files, batches and sessions of two servers on one Redis, as processes of their own.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::support::{Redis, ServerProcess, create_key, eventually, send};

/// Size of a content with a few parts, in bytes.
const CONTENT_BYTES: usize = (1 << 20) + 7;

/// Two servers on one Redis, with a key for both.
struct TwoServers {
    one: ServerProcess,
    other: ServerProcess,
    key: String,
}

impl TwoServers {
    async fn start(redis: &Redis, settings: &[(&str, &str)]) -> Self {
        let one = redis.server_with(settings).await;
        let other = redis.server_with(settings).await;
        let (_, key) = create_key(&one, &json!({})).await;
        Self { one, other, key }
    }

    async fn send(
        &self,
        server: &ServerProcess,
        method: Method,
        path: &str,
        body: &Value,
    ) -> (u16, Value) {
        send(server, method, path, &self.key, body).await
    }

    /// Uploads a file to `server`. Returns status and body.
    async fn upload(&self, server: &ServerProcess, purpose: &str, content: &str) -> (u16, Value) {
        let form = format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"in.jsonl\"\r\n\r\n{content}\r\n\
             --b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n{purpose}\r\n--b--\r\n"
        );
        let upload = server.http.post(server.url("/v1/files")).body(form);
        let upload = upload.header(CONTENT_TYPE, "multipart/form-data; boundary=b");
        let response = upload.bearer_auth(&self.key).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap())
    }

    /// Reads the content of a file at `server`. Returns status and body.
    async fn content(&self, server: &ServerProcess, id: &str) -> (u16, String) {
        let url = server.url(&format!("/v1/files/{id}/content"));
        let read = server.http.get(url).bearer_auth(&self.key);
        let response = read.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.text().await.unwrap())
    }

    async fn end(self) {
        self.one.end().await;
        self.other.end().await;
    }
}

fn id_of(object: &Value) -> &str {
    object["id"].as_str().unwrap()
}

async fn assert_files_are_shared(settings: &[(&str, &str)]) {
    let redis = Redis::start().await;
    let servers = TwoServers::start(&redis, settings).await;
    let (one, other) = (&servers.one, &servers.other);
    let content: String = ('a'..='z').cycle().take(CONTENT_BYTES).collect();
    let (status, file) = servers.upload(one, "user_data", &content).await;
    assert_eq!(status, 200, "{file}");
    for server in [one, other] {
        let (status, read) = servers.content(server, id_of(&file)).await;
        assert_eq!((status, read == content), (200, true));
    }
    let path = format!("/v1/files/{}", id_of(&file));
    let deleted = servers
        .send(other, Method::DELETE, &path, &Value::Null)
        .await;
    assert_eq!(deleted.0, 200, "{}", deleted.1);
    for server in [one, other] {
        assert_eq!(servers.content(server, id_of(&file)).await.0, 404);
    }
    servers.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn file_in_the_store_is_read_and_deleted_at_each_server() {
    assert_files_are_shared(&[("SWITCHBOARD_FILES__LOCATION", "store")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn file_in_a_common_folder_is_read_and_deleted_at_each_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("files");
    let settings = [
        ("SWITCHBOARD_FILES__LOCATION", "folder"),
        ("SWITCHBOARD_FILES__FOLDER", path.to_str().unwrap()),
    ];
    assert_files_are_shared(&settings).await;
    let left = std::fs::read_dir(&path).unwrap();
    assert_eq!(left.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_to_two_servers_are_within_the_limit_of_the_store() {
    let redis = Redis::start().await;
    let settings = [
        ("SWITCHBOARD_FILES__LOCATION", "store"),
        ("SWITCHBOARD_FILES__MAX_STORE_MIB", "2"),
    ];
    let servers = TwoServers::start(&redis, &settings).await;
    let content = "x".repeat(CONTENT_BYTES);
    let first = servers.upload(&servers.one, "user_data", &content).await;
    assert_eq!(first.0, 200, "{}", first.1);
    let (status, refused) = servers.upload(&servers.other, "user_data", &content).await;
    assert_eq!(
        (status, &refused["error"]["code"]),
        (413, &json!("file_storage_full"))
    );
    let (status, small) = servers.upload(&servers.other, "user_data", "small").await;
    assert_eq!(status, 200, "{small}");
    servers.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_of_a_file_of_the_other_server_is_run() {
    let redis = Redis::start().await;
    let settings = [("SWITCHBOARD_FILES__LOCATION", "store")];
    let servers = TwoServers::start(&redis, &settings).await;
    let (one, other) = (&servers.one, &servers.other);
    let line = |number: usize| {
        let messages = json!([{"role": "user", "content": "[[tokens=2]]"}]);
        let body = json!({"model": "haiku", "messages": messages});
        let id = format!("r{number}");
        json!({"custom_id": id, "method": "POST", "url": "/v1/chat/completions", "body": body})
    };
    let lines: String = (0..3).map(|number| format!("{}\n", line(number))).collect();
    let (status, input) = servers.upload(one, "batch", &lines).await;
    assert_eq!(status, 200, "{input}");
    let body = json!({
        "input_file_id": input["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h",
    });
    let (status, batch) = servers
        .send(other, Method::POST, "/v1/batches", &body)
        .await;
    assert_eq!(status, 200, "{batch}");
    let path = format!("/v1/batches/{}", id_of(&batch));
    let completed = eventually("the batch is completed", || async {
        let (_, batch) = servers.send(one, Method::GET, &path, &Value::Null).await;
        (batch["status"] == "completed").then_some(batch)
    });
    let completed = completed.await;
    assert_eq!(completed["request_counts"]["completed"], 3, "{completed}");
    let output = completed["output_file_id"].as_str().unwrap();
    for server in [one, other] {
        let (status, answers) = servers.content(server, output).await;
        assert_eq!((status, answers.lines().count()), (200, 3), "{answers}");
    }
    servers.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn session_that_is_answered_at_one_server_is_busy_at_the_other() {
    let redis = Redis::start().await;
    let servers = TwoServers::start(&redis, &[]).await;
    let (one, other) = (&servers.one, &servers.other);
    let body = json!({"model": "haiku"});
    let (_, session) = servers.send(one, Method::POST, "/v1/sessions", &body).await;
    let path = format!("/v1/sessions/{}/messages", id_of(&session));
    let endless = json!({"content": "[[tokens=9 stall_at=2]]", "stream": true});
    let request = one.http.post(one.url(&path)).bearer_auth(&servers.key);
    let mut running = request.json(&endless).send().await.unwrap();
    assert!(running.chunk().await.unwrap().is_some());
    let message = json!({"content": "[[tokens=1]]"});
    let (status, busy) = servers.send(other, Method::POST, &path, &message).await;
    assert_eq!(
        (status, &busy["error"]["code"]),
        (409, &json!("session_busy"))
    );
    drop(running);
    eventually("the session is free", || async {
        let (status, _) = servers.send(other, Method::POST, &path, &message).await;
        (status == 200).then_some(())
    })
    .await;
    // An answer has freed the session when its end is read.
    for server in [one, other, one] {
        let (status, answer) = servers.send(server, Method::POST, &path, &message).await;
        assert_eq!(status, 200, "{answer}");
    }
    servers.end().await;
}
