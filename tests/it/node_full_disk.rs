//! A Redis whose disk is full: each server refuses at once, and nothing is lost when there is space
//! again.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    ChargedRequests, Load, Redis, ServerProcess, create_funded_key, eventually, send,
};

const CLIENTS: usize = 4;
/// Number of answers before and after the disk is full.
const ANSWERS: u64 = 20;
/// Longest time in which a request is refused.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Waits until `server` refuses a request, and says why.
async fn wait_for_refusal(server: &ServerProcess, key: &str) {
    let messages = json!([{"role": "user", "content": "[[tokens=1]]"}]);
    let chat = json!({"model": "haiku", "messages": messages});
    let refused = eventually("a request is refused", || async {
        let begun = Instant::now();
        let (status, body) = send(server, Method::POST, "/v1/chat/completions", key, &chat).await;
        let took = begun.elapsed();
        (status != 200).then_some((status, body, took))
    });
    let (status, body, took) = refused.await;
    assert_eq!(status, 503, "{body}");
    assert!(took < AT_ONCE, "after {took:?}: {body}");
    let code = body["error"]["code"].as_str().unwrap();
    assert!(
        code == "ledger_unavailable" || code == "storage_unavailable",
        "{body}"
    );
    let has_problem = |ready: &Value| ready["problems"].to_string().contains("Redis");
    server.wait_until("/ready says why", has_problem).await;
    assert_eq!(server.get("/health").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disk_of_redis_is_refused_at_once_and_loses_no_charge() {
    // Each change is given to the system before it is answered, so that a kill of Redis loses none.
    let mut redis = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "no"]).await;
    let servers = [redis.server().await, redis.server().await];
    let key = create_funded_key(&servers[0]).await;
    let urls = servers.iter().map(|server| server.url("")).collect();
    let load = Load::start(CLIENTS, &key, urls);
    load.wait_for_answers(ANSWERS).await;
    redis.fill_disk();
    for server in &servers {
        wait_for_refusal(server, &key).await;
    }
    redis.free_disk();
    for server in &servers {
        let is_ready = |ready: &Value| ready["status"] == "ready";
        server
            .wait_until("the server is ready again", is_ready)
            .await;
    }
    load.wait_for_answers(ANSWERS).await;
    let report = load.stop().await;
    assert!(!report.failed.is_empty(), "the disk was full under load");
    let ledger = redis.ledger();
    let charged = ChargedRequests::read(&ledger).await;
    for number in &report.answered {
        assert!(charged.times.contains_key(number), "{number} is lost");
    }
    for server in servers {
        server.end().await;
    }
    let before = ledger.verify().await.unwrap().charges;
    redis.kill();
    redis.restart().await;
    let after = redis.ledger().verify().await.unwrap();
    assert_eq!((after.problems, after.charges), (Vec::new(), before));
}
