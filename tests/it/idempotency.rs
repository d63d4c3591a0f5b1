//! Idempotency keys through the real CLI: what is paid once, also when the server is killed.

use std::time::Duration;

use messages_stand_in::StandIn;
use serde_json::{Value, json};

use crate::batches::BatchClient;
use crate::charges::stop_and_list_charges;
use crate::support::{Answer, HttpClient, HttpResponse, Journal, TestServer};
use crate::tasks;
use crate::tasks::TaskClient;

const KEY: &str = "idempotency-key";

fn chat(prompt: &str, is_streamed: bool) -> Value {
    json!({
        "model": "haiku",
        "messages": [{"role": "user", "content": prompt}],
        "stream": is_streamed,
    })
}

async fn post(url: String, key: &str, body: &Value) -> HttpResponse {
    let request = HttpClient::new().post(url).header(KEY, key).json(body);
    request.send().await.unwrap()
}

/// Returns the number of calls upstream whose body contains `marker`.
fn calls(upstream: &StandIn, marker: &str) -> usize {
    let requests = upstream.requests();
    requests
        .iter()
        .filter(|request| request.body.to_string().contains(marker))
        .count()
}

fn is_replayed(response: &HttpResponse) -> bool {
    response.headers().contains_key("idempotent-replayed")
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_request_is_answered_alike_and_charged_once() {
    let server = TestServer::real().await.workers(1).start().await;
    let url = || server.url("/v1/chat/completions");
    for (key, is_streamed) in [("whole", false), ("streamed", true)] {
        let body = chat(&format!("marker-{key} [[tokens=5]]"), is_streamed);
        let first = post(url(), key, &body).await;
        assert!(!is_replayed(&first));
        let first = first.bytes().await.unwrap();
        let again = post(url(), key, &body).await;
        assert!(is_replayed(&again));
        assert_eq!(again.bytes().await.unwrap(), first);
        assert_eq!(calls(server.upstream(), &format!("marker-{key}")), 1);
        let other = post(url(), key, &chat("another body", is_streamed)).await;
        assert_eq!(
            Answer::read(other).await.error(),
            "422 invalid_request_error idempotency_key_reused"
        );
    }
    assert_eq!(stop_and_list_charges(server).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn request_joins_the_running_one() {
    let server = TestServer::real().await.workers(2).start().await;
    let url = || server.url("/v1/chat/completions");
    for (key, is_streamed) in [("whole", false), ("streamed", true)] {
        let body = chat(
            &format!("marker-{key} [[tokens=20 gap_ms=50]]"),
            is_streamed,
        );
        let read = async || post(url(), key, &body).await.bytes().await.unwrap();
        let (first, second) = futures::future::join(read(), read()).await;
        assert_eq!(first, second);
        assert_eq!(calls(server.upstream(), &format!("marker-{key}")), 1);
    }
    assert_eq!(stop_and_list_charges(server).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_is_given_again_by_the_server_after_a_killed_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::real()
        .await
        .workers(1)
        .spawn_in(folder.path())
        .await;
    let body = chat("[[tokens=5]]", true);
    let path = "/v1/chat/completions";
    let first = post(server.url(path), "k", &body).await;
    let first = first.bytes().await.unwrap();
    // Writes are in order: the hold of this request is on disk after the answer before it.
    assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w1");
    server.kill().await;
    let next = TestServer::real()
        .await
        .workers(1)
        .spawn_in(folder.path())
        .await;
    let again = post(next.url(path), "k", &body).await;
    assert!(is_replayed(&again));
    assert_eq!(again.bytes().await.unwrap(), first);
    assert_eq!(calls(next.upstream(), "[[tokens=5]]"), 0);
    next.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paid_run_that_was_cut_off_by_a_kill_is_not_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::real()
        .await
        .workers(1)
        .spawn_in(folder.path())
        .await;
    let body = chat("[[tokens=9 stall_after=2]]", true);
    let path = "/v1/chat/completions";
    let mut first = post(server.url(path), "k", &body).await;
    let mut text = String::new();
    while !text.contains("w2") {
        let chunk = first.chunk().await.unwrap().unwrap();
        text += &String::from_utf8_lossy(&chunk);
    }
    server.kill().await;
    let next = TestServer::real()
        .await
        .workers(1)
        .spawn_in(folder.path())
        .await;
    let refused = post(next.url(path), "k", &body).await;
    assert_eq!(refused.headers()["x-should-retry"], "false");
    assert_eq!(
        Answer::read(refused).await.error(),
        "409 invalid_request_error idempotency_interrupted"
    );
    assert_eq!(calls(next.upstream(), "stall_after=2"), 0);
    next.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_joins_a_request_whose_client_has_left() {
    let journal = Journal::new();
    let server = TestServer::fake()
        .workers(1)
        .journal(&journal)
        .start()
        .await;
    let url = || server.url("/v1/chat/completions");
    for (round, is_streamed) in [(1, false), (2, true)] {
        let key = format!("key-{round}");
        let body = chat("[[ttft_ms=2000 tokens=1]]", is_streamed);
        let arrived = server.wait_until("the prompt arrives", |_| journal.prompts() == round);
        tokio::select! {
            _ = post(url(), &key, &body) => panic!("the answer has begun"),
            () = arrived => {}
        }
        let retried = post(url(), &key, &body).await;
        assert!(is_replayed(&retried));
        assert!(retried.text().await.unwrap().contains("w0 "));
        assert_eq!(journal.prompts(), round);
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn request_without_a_retry_is_interrupted_in_its_time() {
    let journal = Journal::new();
    let server = TestServer::fake()
        .workers(1)
        .journal(&journal)
        .set("SWITCHBOARD_IDEMPOTENCY__LINGER_SECONDS", 1)
        .start()
        .await;
    let body = chat("[[ttft_ms=600000]]", false);
    let url = server.url("/v1/chat/completions");
    let arrived = server.wait_until("the prompt arrives", |_| journal.prompts() == 1);
    tokio::select! {
        _ = post(url, "k", &body) => panic!("the answer has begun"),
        () = arrived => {}
    }
    assert_eq!(journal.nth("turn", 1).await["outcome"], "interrupted");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn background_response_and_batch_are_created_once() {
    let server = TestServer::real().await.workers(1).start().await;
    let body = json!({"model": "haiku", "input": "marker-b [[tokens=2]]", "background": true});
    let mut ids = Vec::new();
    for _ in 0..2 {
        let made = post(server.url("/v1/responses"), "k", &body).await;
        let made: Value = made.json().await.unwrap();
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids[0], ids[1]);
    let messages = json!({"requests": [{
        "custom_id": "a",
        "params": {"model": "haiku", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]},
    }]});
    let mut ids = Vec::new();
    for _ in 0..2 {
        let made = post(server.url("/v1/messages/batches"), "k", &messages).await;
        let made: Value = made.json().await.unwrap();
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids[0], ids[1]);
    let client = BatchClient::new(server.url(""));
    let lines = [json!({
        "custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": chat("Hi", false),
    })];
    let done = client.create_batch(&lines).await;
    let done = client
        .wait_until(&done, |batch| batch["status"] == "completed")
        .await;
    let again = json!({
        "input_file_id": done["input_file_id"],
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    });
    let mut ids = Vec::new();
    for _ in 0..2 {
        let made = post(server.url("/v1/batches"), "k", &again).await;
        let made: Value = made.json().await.unwrap();
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids[0], ids[1]);
    server.wait_until_idle().await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn task_is_created_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = tasks::server(&folder).await.start().await;
    let client = TaskClient::new(server.url(""), &folder, json!({})).await;
    let body = json!({"prompt": "[[say=done]]", "workspace": client.work, "preset": "full"});
    let mut ids = Vec::new();
    for status in [201, 201] {
        let request = HttpClient::new()
            .post(server.url("/v1/tasks"))
            .bearer_auth(&client.key)
            .header(KEY, "k");
        let made = request.json(&body).send().await.unwrap();
        assert_eq!(made.status(), status);
        let made: Value = made.json().await.unwrap();
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids[0], ids[1]);
    client.wait_for_end(&ids[0]).await;
    let (_, list) = client.ask("GET", "/v1/tasks", Value::Null).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn key_of_another_caller_is_another_key() {
    let server = TestServer::fake()
        .workers(1)
        .set("SWITCHBOARD_AUTH__KEYS", "first-key,second-key")
        .start()
        .await;
    let body = chat("[[tokens=1]]", false);
    for caller in ["first-key", "second-key"] {
        let request = HttpClient::new()
            .post(server.url("/v1/chat/completions"))
            .bearer_auth(caller)
            .header(KEY, "k");
        let answer = tokio::time::timeout(Duration::from_secs(60), request.json(&body).send());
        assert!(!is_replayed(&answer.await.unwrap().unwrap()));
    }
    server.end().await;
}
