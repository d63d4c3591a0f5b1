//! Batches: run by the real CLI, and resumed after the server was killed.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::support::{HttpClient, HttpRequest, Journal, TestServer, within};

/// Client of the endpoints for files and batches.
pub(crate) struct BatchClient {
    http: HttpClient,
    base: String,
}

impl BatchClient {
    pub(crate) fn new(url: String) -> Self {
        Self {
            http: HttpClient::new(),
            base: url,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        read_json(self.http.get(format!("{}{path}", self.base))).await
    }

    /// Uploads chat requests, creates a batch of them and returns its id.
    pub(crate) async fn create_batch(&self, lines: &[Value]) -> String {
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let form = format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"in.jsonl\"\r\n\r\n{lines}\r\n\
             --b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--b--\r\n"
        );
        let upload = self.http.post(format!("{}/v1/files", self.base)).body(form);
        let file = read_json(upload.header(CONTENT_TYPE, "multipart/form-data; boundary=b")).await;
        let batch = json!({
            "input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h",
        });
        let created = read_json(
            self.http
                .post(format!("{}/v1/batches", self.base))
                .json(&batch),
        )
        .await;
        created["id"].as_str().unwrap().to_owned()
    }

    /// Waits until `condition` holds for the batch, and returns it.
    pub(crate) async fn wait_until(&self, id: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/v1/batches/{id}");
        let reached = || async {
            let batch = self.get(&path).await;
            condition(&batch).then_some(batch)
        };
        within(
            Duration::from_secs(120),
            "the batch reaches the awaited state",
            reached,
        )
        .await
    }

    pub(crate) async fn lines(&self, file: &Value) -> Vec<Value> {
        let url = format!("{}/v1/files/{}/content", self.base, file.as_str().unwrap());
        let content = self
            .http
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        content
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

async fn read_json(request: HttpRequest) -> Value {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{status} {text}");
    serde_json::from_str(&text).unwrap()
}

pub(crate) fn request_line(id: &str, prompt: &str) -> Value {
    let body = json!({"model": "haiku", "messages": [{"role": "user", "content": prompt}]});
    json!({"custom_id": id, "method": "POST", "url": "/v1/chat/completions", "body": body})
}

fn is_completed(batch: &Value) -> bool {
    batch["status"] == "completed"
}

fn answer_text(line: &Value) -> &str {
    line["response"]["body"]["choices"][0]["message"]["content"]
        .as_str()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_runs_alongside_an_interactive_request() {
    let server = TestServer::real().await.workers(2).start().await;
    let client = BatchClient::new(server.url(""));
    let mut lines: Vec<Value> = (0..6)
        .map(|index| request_line(&format!("r{index}"), "[[tokens=2]]"))
        .collect();
    lines[4]["body"]["model"] = json!("gemini-9");
    let id = client.create_batch(&lines).await;
    assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w1");
    let batch = client.wait_until(&id, is_completed).await;
    assert_eq!(
        batch["request_counts"],
        json!({"total": 6, "completed": 5, "failed": 1}),
        "{batch}"
    );
    let output = client.lines(&batch["output_file_id"]).await;
    let ids: Vec<_> = output
        .iter()
        .map(|line| line["custom_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["r0", "r1", "r2", "r3", "r5"]);
    assert!(
        output.iter().all(|line| answer_text(line) == "w1 w2"),
        "{output:?}"
    );
    let errors = client.lines(&batch["error_file_id"]).await;
    assert_eq!(
        (
            &errors[0]["custom_id"],
            &errors[0]["response"]["status_code"]
        ),
        (&json!("r4"), &json!(404))
    );
    server.end().await;
}

/// The server is killed twice during the batch. Each line is answered once, and a line whose result
/// is written is not run again.
#[tokio::test(flavor = "multi_thread")]
async fn killed_batch_is_resumed_and_answers_every_line_once() {
    const LINES: usize = 500;
    const KILLS: [u64; 2] = [100, 300];
    const PARALLEL: usize = 3;
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::new();
    let server = || {
        let builder = TestServer::fake().workers(4).journal(&journal);
        builder
            .set("SWITCHBOARD_BATCHES__PARALLEL", PARALLEL)
            .set("SWITCHBOARD_POOL__MAX_TURNS", 1000)
    };
    let names: Vec<String> = (0..LINES).map(|index| format!("r{index}")).collect();
    let lines: Vec<Value> = names
        .iter()
        .map(|name| request_line(name, &format!("[[tokens=1]] {name}")))
        .collect();
    let mut id = String::new();
    for killed_at in KILLS {
        let server = server().spawn_in(folder.path()).await;
        let client = BatchClient::new(server.url(""));
        if id.is_empty() {
            id = client.create_batch(&lines).await;
        }
        let has_progressed =
            |batch: &Value| batch["request_counts"]["completed"].as_u64() >= Some(killed_at);
        assert_eq!(
            client.wait_until(&id, has_progressed).await["status"],
            "in_progress",
            "the batch is still running"
        );
        server.kill().await;
    }
    let last = server().start_in(folder.path()).await;
    let client = BatchClient::new(last.url(""));
    let batch = client.wait_until(&id, is_completed).await;
    assert_eq!(
        batch["request_counts"],
        json!({"total": LINES, "completed": LINES, "failed": 0})
    );
    let output = client.lines(&batch["output_file_id"]).await;
    let answered: Vec<_> = output
        .iter()
        .map(|line| line["custom_id"].as_str().unwrap())
        .collect();
    assert_eq!(
        answered,
        names.iter().map(String::as_str).collect::<Vec<_>>()
    );
    let answers: BTreeSet<_> = output
        .iter()
        .map(|line| line["response"]["body"]["id"].as_str().unwrap())
        .collect();
    assert_eq!(answers.len(), LINES, "each has an answer of its own");
    let usage = client.get("/v1/usage").await;
    let figures = ["requests", "unknown_requests", "output_tokens"]
        .map(|name| usage["totals"][name].as_u64());
    assert_eq!(
        figures,
        [Some(LINES as u64), Some(0), Some(LINES as u64)],
        "each is charged once: {usage}"
    );
    let runs = journal.prompts();
    assert!(
        (LINES..=LINES + KILLS.len() * PARALLEL).contains(&runs),
        "{runs} runs"
    );
    last.end().await;
}
