//! Files of requests, through the real CLI; and what becomes of them after a kill.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::support::{Journal, TestServer, within};

/// A client that uploads, asks and downloads.
struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    fn new(url: String) -> Self {
        Self {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            base: url,
        }
    }

    async fn get(&self, path: &str) -> Value {
        read(self.http.get(format!("{}{path}", self.base))).await
    }

    /// Begins a batch of chat requests, and gives its id.
    async fn begin(&self, lines: &[Value]) -> String {
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let form = format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"in.jsonl\"\r\n\r\n{lines}\r\n\
             --b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--b--\r\n"
        );
        let upload = self.http.post(format!("{}/v1/files", self.base)).body(form);
        let file = read(upload.header(CONTENT_TYPE, "multipart/form-data; boundary=b")).await;
        let order = json!({
            "input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h",
        });
        let made = read(
            self.http
                .post(format!("{}/v1/batches", self.base))
                .json(&order),
        )
        .await;
        made["id"].as_str().unwrap().to_owned()
    }

    /// Waits until the batch is as `condition` wants it.
    async fn until(&self, id: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/v1/batches/{id}");
        let reached = || async {
            let batch = self.get(&path).await;
            condition(&batch).then_some(batch)
        };
        within(Duration::from_secs(120), "the batch is so far", reached).await
    }

    async fn lines(&self, file: &Value) -> Vec<Value> {
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

async fn read(request: reqwest::RequestBuilder) -> Value {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{status} {text}");
    serde_json::from_str(&text).unwrap()
}

fn line(id: &str, prompt: &str) -> Value {
    let body = json!({"model": "haiku", "messages": [{"role": "user", "content": prompt}]});
    json!({"custom_id": id, "method": "POST", "url": "/v1/chat/completions", "body": body})
}

fn is_completed(batch: &Value) -> bool {
    batch["status"] == "completed"
}

fn text(line: &Value) -> &str {
    line["response"]["body"]["choices"][0]["message"]["content"]
        .as_str()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_answered_by_the_cli_beside_a_client() {
    let server = TestServer::real().await.workers(2).start().await;
    let client = Client::new(server.url(""));
    let mut lines: Vec<Value> = (0..6)
        .map(|index| line(&format!("r{index}"), "[[tokens=2]]"))
        .collect();
    lines[4]["body"]["model"] = json!("gemini-9");
    let id = client.begin(&lines).await;
    assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w1");
    let batch = client.until(&id, is_completed).await;
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
        output.iter().all(|line| text(line) == "w1 w2"),
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

/// Killed twice in the middle: each request has one answer in the end, and what was written was not run again.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_survives_kills_and_answers_every_line_once() {
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
        .map(|name| line(name, &format!("[[tokens=1]] {name}")))
        .collect();
    let mut id = String::new();
    for killed_at in KILLS {
        let server = server().spawn_in(folder.path()).await;
        let client = Client::new(server.url(""));
        if id.is_empty() {
            id = client.begin(&lines).await;
        }
        let is_so_far =
            |batch: &Value| batch["request_counts"]["completed"].as_u64() >= Some(killed_at);
        assert_eq!(
            client.until(&id, is_so_far).await["status"],
            "in_progress",
            "in the middle of it"
        );
        server.kill().await;
    }
    let last = server().start_in(folder.path()).await;
    let client = Client::new(last.url(""));
    let batch = client.until(&id, is_completed).await;
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
