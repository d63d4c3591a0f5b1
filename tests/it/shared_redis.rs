//! Two servers on one Redis, as processes of their own: keys, budgets, rate limits and the work of a
//! server that is killed.

use std::time::Duration;

use claude_switchboard::accounts::ledger::ChargeOutcome;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Redis, ServerProcess, administer, create_key, send, within};

/// Number of clients at once, over both servers.
const CLIENTS: usize = 200;
/// Tokens of the budget that the clients share.
const BUDGET: u64 = 3000;
/// Limit of requests per minute that the clients share.
const LIMIT: u64 = 6;
/// Maximum wait for what follows the end of a lease of half a minute.
pub(crate) const TAKE_OVER_TIMEOUT: Duration = Duration::from_secs(150);

/// Chat request whose answer is one word, and which takes fewer tokens than are held for it. Each
/// number makes another one, which no cache answers.
fn chat(number: usize) -> Value {
    let words = "word ".repeat(200);
    let prompt = format!("[[tokens=1 input_tokens=100]] {number} {words}");
    json!({"model": "haiku", "max_tokens": 16, "messages": [{"role": "user", "content": prompt}]})
}

/// Lets all clients send a request at once, half of them to each server. Returns the number of those
/// that were answered; the others are refused.
async fn race(servers: &[ServerProcess; 2], key: &str) -> u64 {
    let clients = (0..CLIENTS).map(|number| async move {
        let server = &servers[number % 2];
        let body = chat(number);
        let (status, body) = send(server, Method::POST, "/v1/chat/completions", key, &body).await;
        assert!(matches!(status, 200 | 429 | 503), "{status} {body}");
        u64::from(status == 200)
    });
    join_all(clients).await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn key_that_one_server_revokes_is_refused_by_the_other() {
    let redis = Redis::start().await;
    let (one, other) = (redis.server().await, redis.server().await);
    for round in 0..20 {
        let (id, key) = create_key(&one, &json!({})).await;
        let models = async || send(&other, Method::GET, "/v1/models", &key, &Value::Null).await;
        assert_ne!(models().await.0, 401, "round {round}");
        let path = format!("/admin/keys/{id}");
        let revoked = administer(&one, Method::DELETE, &path, &Value::Null).await;
        assert_eq!(revoked.0, 200);
        let (status, refused) = models().await;
        assert_eq!(
            (status, refused["error"]["code"].as_str()),
            (401, Some("revoked_api_key")),
            "round {round}"
        );
    }
    one.end().await;
    other.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_two_servers_overspend_no_budget() {
    let redis = Redis::start().await;
    let servers = [redis.server().await, redis.server().await];
    let budget = json!({"budget": {"daily": {"tokens": BUDGET}}});
    let (_, key) = create_key(&servers[0], &budget).await;
    assert!(race(&servers, &key).await > 0);
    let ledger = redis.ledger();
    let spent: u64 = ledger
        .charges()
        .await
        .unwrap()
        .iter()
        .map(|charge| charge.amount.tokens)
        .sum();
    assert!((1..=BUDGET).contains(&spent), "{spent}");
    assert_eq!(ledger.verify().await.unwrap().problems, [""; 0]);
    for server in servers {
        server.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rate_limit_holds_over_two_servers() {
    let redis = Redis::start().await;
    let servers = [redis.server().await, redis.server().await];
    let limit = json!({"requests_per_minute": LIMIT});
    let (_, key) = create_key(&servers[0], &limit).await;
    let begun = Instant::now();
    let admitted = race(&servers, &key).await;
    let refilled = begun.elapsed().as_millis() as u64 * LIMIT / 60_000;
    assert!((LIMIT..=LIMIT + refilled).contains(&admitted), "{admitted}");
    let chat = chat(CLIENTS);
    let mut refused = send(
        &servers[1],
        Method::POST,
        "/v1/chat/completions",
        &key,
        &chat,
    )
    .await;
    if refused.0 == 200 {
        // One more has become free, and is used up now.
        refused = send(
            &servers[0],
            Method::POST,
            "/v1/chat/completions",
            &key,
            &chat,
        )
        .await;
    }
    assert_eq!(refused.0, 429, "{}", refused.1);
    for server in servers {
        server.end().await;
    }
}

/// The holds of the killed server are charged once, and its background response fails at the other
/// one.
#[tokio::test(flavor = "multi_thread")]
async fn work_of_a_killed_server_is_ended_by_the_other() {
    let redis = Redis::start().await;
    let (killed, other) = (redis.server().await, redis.server().await);
    let (_, key) = create_key(&killed, &json!({})).await;
    let prompt = "[[tokens=9 stall_at=2]]";
    let body = json!({"model": "haiku", "stream": true, "messages": [{"role": "user", "content": prompt}]});
    let request = killed.http.post(killed.url("/v1/chat/completions"));
    let mut running = request.bearer_auth(&key).json(&body).send().await.unwrap();
    assert!(running.chunk().await.unwrap().is_some());
    let body = json!({"model": "haiku", "background": true, "input": prompt});
    let (status, response) = send(&killed, Method::POST, "/v1/responses", &key, &body).await;
    assert_eq!(status, 200, "{response}");
    let path = format!("/v1/responses/{}", response["id"].as_str().unwrap());
    let both_run = |stats: &Value| stats["workers"]["busy"] == 2;
    killed.wait_until("both requests run", both_run).await;
    let ledger = redis.ledger();
    killed.kill().await;
    within(TAKE_OVER_TIMEOUT, "the response has failed", || async {
        let (_, response) = send(&other, Method::GET, &path, &key, &Value::Null).await;
        (response["status"] == "failed").then_some(())
    })
    .await;
    let verified = ledger.verify().await.unwrap();
    assert_eq!((verified.problems, verified.holds), (Vec::new(), 0));
    let charges = ledger.charges().await.unwrap();
    assert_eq!(charges.len(), verified.charges, "each once");
    let is_unknown = |outcome| outcome == ChargeOutcome::Unknown;
    assert!(!charges.is_empty() && charges.len() <= 2, "{charges:?}");
    assert!(charges.iter().all(|charge| is_unknown(charge.outcome)));
    other.end().await;
}
