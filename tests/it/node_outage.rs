//! A Redis that is away: servers that are told to serve callers without a budget, each with its share of
//! their limits, charge them once when Redis is back.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    Redis, ServerProcess, administer, create_funded_key, create_key, eventually, send, within,
};

/// Key of the configuration.
const CONFIGURED: &str = "made-up-configured-key";
/// Limit of requests per minute at both servers together.
const LIMIT: u64 = 60;
/// Maximum wait for what follows the return of Redis.
const RETURN_TIMEOUT: Duration = Duration::from_secs(120);

/// Requests to servers, with the number of those that were answered.
#[derive(Default)]
struct Requests {
    sent: AtomicU64,
    answered: AtomicU64,
}

impl Requests {
    /// Sends a chat request that no cache answers. Returns the status and the code of the error.
    async fn send(&self, server: &ServerProcess, key: &str) -> (u16, Value) {
        let number = self.sent.fetch_add(1, Ordering::SeqCst);
        let prompt = format!("[[tokens=1 input_tokens=100]] {number}");
        let messages = json!([{"role": "user", "content": prompt}]);
        let body = json!({"model": "haiku", "max_tokens": 16, "messages": messages});
        let (status, body) = send(server, Method::POST, "/v1/chat/completions", key, &body).await;
        if status == 200 {
            self.answered.fetch_add(1, Ordering::SeqCst);
        }
        (status, body["error"]["code"].clone())
    }

    /// Sends requests until one of them gets `status`. Returns the code of its error.
    async fn wait_for(&self, server: &ServerProcess, key: &str, status: u16) -> Value {
        let what = format!("a request gets {status}");
        eventually(&what, || async {
            let (found, code) = self.send(server, key).await;
            (found == status).then_some(code)
        })
        .await
    }
}

async fn server(redis: &Redis, grace_seconds: u64, data_dir: &Path) -> ServerProcess {
    let builder = redis.builder();
    let builder = builder.set("SWITCHBOARD_REDIS__ON_OUTAGE", "serve");
    let builder = builder.set("SWITCHBOARD_REDIS__KEY_GRACE_SECONDS", grace_seconds);
    let builder = builder.set("SWITCHBOARD_AUTH__KEYS", CONFIGURED);
    builder.spawn_in(data_dir).await
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_without_a_budget_are_served_while_redis_is_away_and_charged_once() {
    let mut redis = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = server(&redis, 3600, folders[0].path()).await;
    let other = server(&redis, 3600, folders[1].path()).await;
    // Started again, it knows of the other one.
    first.end().await;
    let servers = [server(&redis, 3600, folders[0].path()).await, other];
    let funded = create_funded_key(&servers[0]).await;
    let (id, free) = create_key(&servers[0], &json!({})).await;
    let limit = json!({"requests_per_minute": LIMIT});
    let (_, limited) = create_key(&servers[0], &limit).await;
    let requests = Requests::default();
    for server in &servers {
        for key in [&funded, &free] {
            requests.wait_for(server, key, 200).await;
        }
    }
    redis.kill();
    let away_since = Instant::now();
    let before = requests.answered.load(Ordering::SeqCst);
    for server in &servers {
        for key in [free.as_str(), CONFIGURED] {
            requests.wait_for(server, key, 200).await;
        }
        let (status, code) = requests.send(server, &funded).await;
        assert_eq!((status, code), (503, json!("ledger_unavailable")));
        let is_told = |ready: &Value| ready["degraded"].to_string().contains("Redis");
        server.wait_until("/ready says why", is_told).await;
        assert_eq!(server.get("/ready").await.0, 200);
    }
    let unlimited = requests.answered.load(Ordering::SeqCst);
    assert!(unlimited >= before + 4);
    for _ in 0..2 {
        for server in &servers {
            requests.wait_for(server, &limited, 200).await;
        }
    }
    let admitted = requests.answered.load(Ordering::SeqCst) - unlimited;
    let refilled = away_since.elapsed().as_millis() as u64 * LIMIT / 60_000;
    assert!(admitted <= refilled, "{admitted} of {refilled}");
    redis.restart().await;
    for server in &servers {
        let is_whole = |ready: &Value| {
            ready["status"] == "ready" && ready["degraded"].as_array().is_some_and(Vec::is_empty)
        };
        server.wait_until("all is served again", is_whole).await;
        requests.wait_for(server, &funded, 200).await;
    }
    let ledger = redis.ledger();
    let answered = requests.answered.load(Ordering::SeqCst);
    let charged = within(RETURN_TIMEOUT, "all are charged", || async {
        let charges = ledger.charges().await.ok()?;
        (charges.len() as u64 >= answered).then_some(charges.len() as u64)
    });
    assert_eq!(charged.await, answered);
    assert_eq!(ledger.verify().await.unwrap().problems, [""; 0]);
    let path = format!("/admin/keys/{id}");
    let revoked = administer(&servers[0], Method::DELETE, &path, &Value::Null).await;
    assert_eq!(revoked.0, 200);
    assert_eq!(requests.send(&servers[1], &free).await.0, 401);
    for server in servers {
        server.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_keys_are_refused_after_their_grace_and_configured_ones_are_served() {
    let mut redis = Redis::start().await;
    let folder = tempfile::tempdir().unwrap();
    let server = server(&redis, 1, folder.path()).await;
    let (_, stored) = create_key(&server, &json!({})).await;
    let requests = Requests::default();
    requests.wait_for(&server, &stored, 200).await;
    redis.kill();
    let code = requests.wait_for(&server, &stored, 503).await;
    assert!(
        code == "storage_unavailable" || code == "ledger_unavailable",
        "{code}"
    );
    requests.wait_for(&server, CONFIGURED, 200).await;
    // The grace is over once a refusal comes before the ledger is asked, and stays so.
    let is_refused_early = || async {
        let (status, code) = requests.send(&server, &stored).await;
        (status == 503 && code == "storage_unavailable").then_some(())
    };
    eventually("the grace is over", is_refused_early).await;
    for _ in 0..3 {
        assert!(is_refused_early().await.is_some());
        assert_eq!(requests.send(&server, CONFIGURED).await.0, 200);
    }
    assert_eq!(server.get("/ready").await.0, 200);
    server.end().await;
}
