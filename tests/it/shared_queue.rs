//! Queue of background responses of two servers on one Redis, as processes of their own.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::shared_redis::TAKE_OVER_TIMEOUT;
use crate::support::{Redis, ServerProcess, create_key, send, within};

/// Answer that never ends, and one that does.
const HANGS: &str = "[[tokens=9 stall_at=2]]";
const ANSWERS: &str = "[[tokens=1]]";
/// Maximum wait for responses that are taken in turn, each after a look into the queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(60);

/// Creates a background response. Returns its path.
async fn create(server: &ServerProcess, key: &str, prompt: &str) -> String {
    let body = json!({"model": "haiku", "background": true, "input": prompt});
    let (status, response) = send(server, Method::POST, "/v1/responses", key, &body).await;
    assert_eq!(
        (status, response["status"].as_str()),
        (200, Some("queued")),
        "{response}"
    );
    format!("/v1/responses/{}", response["id"].as_str().unwrap())
}

async fn get(server: &ServerProcess, key: &str, path: &str) -> Value {
    let (status, response) = send(server, Method::GET, path, key, &Value::Null).await;
    assert_eq!(status, 200, "{response}");
    response
}

async fn wait_for(server: &ServerProcess, key: &str, path: &str, status: &str, limit: Duration) {
    within(limit, status, || async {
        let response = get(server, key, path).await;
        assert!(
            response["status"] == status || response["status"] != "failed",
            "{response}"
        );
        (response["status"] == status).then_some(())
    })
    .await;
}

/// Lets a response take the one worker of `server` for ever. Returns its path.
async fn fill(server: &ServerProcess, key: &str) -> String {
    let path = create(server, key, HANGS).await;
    let is_full = |stats: &Value| stats["workers"]["busy"] == 1;
    server.wait_until("the worker is busy", is_full).await;
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_that_wait_at_a_full_server_are_run_by_the_other_one() {
    let redis = Redis::start().await;
    let full = redis.builder().workers(1).spawn().await;
    let (_, key) = create_key(&full, &json!({})).await;
    fill(&full, &key).await;
    let other = redis.builder().workers(2).spawn().await;
    let mut paths = Vec::new();
    for number in 0..4 {
        // Each is another one, which no cache answers.
        let prompt = format!("{ANSWERS} {number}");
        paths.push(create(&full, &key, &prompt).await);
    }
    for path in &paths {
        wait_for(&full, &key, path, "completed", QUEUE_TIMEOUT).await;
        assert_eq!(get(&other, &key, path).await["status"], "completed");
    }
    let verified = redis.ledger().verify().await.unwrap();
    assert_eq!((verified.problems, verified.charges), (Vec::new(), 4));
    full.end().await;
    other.end().await;
}

/// Work that has not begun belongs to no server: it does not wait for the end of the lease.
#[tokio::test(flavor = "multi_thread")]
async fn waiting_responses_of_a_killed_server_are_run_and_its_running_one_fails() {
    let redis = Redis::start().await;
    let killed = redis.builder().workers(1).spawn().await;
    let (_, key) = create_key(&killed, &json!({})).await;
    let running = fill(&killed, &key).await;
    let waiting = [
        create(&killed, &key, &format!("{ANSWERS} 1")).await,
        create(&killed, &key, &format!("{ANSWERS} 2")).await,
    ];
    killed.kill().await;
    let other = redis.builder().workers(1).spawn().await;
    for path in &waiting {
        wait_for(&other, &key, path, "completed", QUEUE_TIMEOUT).await;
    }
    wait_for(&other, &key, &running, "failed", TAKE_OVER_TIMEOUT).await;
    let verified = redis.ledger().verify().await.unwrap();
    assert_eq!((verified.problems, verified.holds), (Vec::new(), 0));
    let charges = redis.ledger().charges().await.unwrap().len();
    assert_eq!(charges, verified.charges, "each once");
    // The running one is charged if its hold was taken before the kill.
    assert!((2..=3).contains(&charges), "{charges}");
    other.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_response_is_cancelled_at_the_other_server() {
    let redis = Redis::start().await;
    let one = redis.builder().workers(1).spawn().await;
    let (_, key) = create_key(&one, &json!({})).await;
    fill(&one, &key).await;
    let other = redis.builder().workers(1).spawn().await;
    fill(&other, &key).await;
    let waiting = create(&one, &key, ANSWERS).await;
    let path = format!("{waiting}/cancel");
    let (status, cancelled) = send(&other, Method::POST, &path, &key, &Value::Null).await;
    assert_eq!(
        (status, cancelled["status"].as_str()),
        (200, Some("cancelled")),
        "{cancelled}"
    );
    assert_eq!(get(&one, &key, &waiting).await, cancelled);
    one.end().await;
    other.end().await;
}

/// A server that is stopped leaves what has not begun to the next one.
#[tokio::test(flavor = "multi_thread")]
async fn waiting_response_outlives_a_graceful_shutdown() {
    let redis = Redis::start().await;
    let stopped = redis.builder().workers(1).spawn().await;
    let (_, key) = create_key(&stopped, &json!({})).await;
    let running = fill(&stopped, &key).await;
    let waiting = create(&stopped, &key, ANSWERS).await;
    stopped.end().await;
    let next = redis.builder().workers(1).spawn().await;
    assert_eq!(get(&next, &key, &running).await["status"], "failed");
    wait_for(&next, &key, &waiting, "completed", QUEUE_TIMEOUT).await;
    next.end().await;
}
