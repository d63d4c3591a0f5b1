//! Servers whose clocks are an hour apart.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    ChargedRequests, Load, Redis, ServerProcess, ShiftedClock, administer, create_funded_key,
    create_key, send,
};

const HOUR_SECONDS: i64 = 3600;
const CLIENTS: usize = 6;
const ANSWERS: u64 = 30;
/// Limit of requests per minute that the servers share.
const LIMIT: u64 = 6;

fn chat(prompt: &str) -> Value {
    json!({"model": "haiku", "messages": [{"role": "user", "content": prompt}]})
}

/// Asserts that the clock of `server` is `shift` seconds ahead, by an answer.
async fn assert_clock(server: &ServerProcess, key: &str, shift: i64) {
    let chat = chat("[[tokens=1]]");
    let sent = send(server, Method::POST, "/v1/chat/completions", key, &chat);
    let (status, answer) = sent.await;
    assert_eq!(status, 200, "{answer}");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let ahead = answer["created"].as_i64().unwrap() - now.as_secs().cast_signed();
    let apart = Duration::from_secs((ahead - shift).unsigned_abs());
    assert!(apart < Duration::from_secs(300), "{ahead} s, not {shift} s");
}

/// The leases follow the clock of Redis: neither server charges what another one runs.
#[tokio::test(flavor = "multi_thread")]
async fn servers_an_hour_apart_charge_each_request_once_and_share_limits_and_revocations() {
    let redis = Redis::start().await;
    let clock = ShiftedClock::compile();
    let right = redis.server().await;
    let key = create_funded_key(&right).await;
    let mut body = chat("[[tokens=4 stall_at=2]]");
    body["stream"] = json!(true);
    let request = right.http.post(right.url("/v1/chat/completions"));
    let mut running = request.bearer_auth(&key).json(&body).send().await.unwrap();
    assert!(running.chunk().await.unwrap().is_some());
    let early = clock.shift(redis.builder(), -HOUR_SECONDS).spawn().await;
    let late = clock.shift(redis.builder(), HOUR_SECONDS).spawn().await;
    let ledger = redis.ledger();
    let verified = ledger.verify().await.unwrap();
    assert_eq!((verified.charges, verified.holds), (0, 1), "it still runs");
    let servers = [right, early, late];
    for (server, shift) in servers.iter().zip([0, -HOUR_SECONDS, HOUR_SECONDS]) {
        assert_clock(server, &key, shift).await;
    }
    let urls = servers.iter().map(|server| server.url("")).collect();
    let load = Load::start(CLIENTS, &key, urls);
    load.wait_for_answers(ANSWERS).await;
    let report = load.stop().await;
    assert_eq!(report.failed, []);
    let verified = ledger.verify().await.unwrap();
    assert_eq!(verified.holds, 1, "it still runs");
    drop(running);
    let charged = ChargedRequests::read(&ledger).await;
    for number in &report.answered {
        assert!(charged.times.contains_key(number), "{number} is lost");
    }
    assert_limit_is_shared(&servers).await;
    assert_revocation_is_shared(&servers).await;
    for server in servers {
        server.end().await;
    }
}

async fn assert_limit_is_shared(servers: &[ServerProcess; 3]) {
    let limit = json!({"requests_per_minute": LIMIT});
    let (_, key) = create_key(&servers[0], &limit).await;
    let begun = Instant::now();
    let mut admitted = 0;
    for number in 0..30 {
        let server = &servers[number % servers.len()];
        let chat = chat(&format!("[[tokens=1]] {number}"));
        let sent = send(server, Method::POST, "/v1/chat/completions", &key, &chat);
        let (status, body) = sent.await;
        assert!(matches!(status, 200 | 429), "{status} {body}");
        admitted += u64::from(status == 200);
    }
    let refilled = begun.elapsed().as_secs() * LIMIT / 60 + 1;
    assert!((LIMIT..=LIMIT + refilled).contains(&admitted), "{admitted}");
}

async fn assert_revocation_is_shared(servers: &[ServerProcess; 3]) {
    for revoking in servers {
        let (id, key) = create_key(&servers[0], &json!({})).await;
        let path = format!("/admin/keys/{id}");
        let (status, body) = administer(revoking, Method::DELETE, &path, &Value::Null).await;
        assert_eq!(status, 200, "{body}");
        for server in servers {
            let sent = send(server, Method::GET, "/v1/models", &key, &Value::Null);
            let (status, refused) = sent.await;
            assert_eq!(status, 401, "{refused}");
        }
    }
}
