//! Two servers behind nginx, restarted one after the other under load.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use claude_switchboard::accounts::ledger::ChargeOutcome;
use rustix::process::Signal;
use serde_json::json;
use tokio::net::TcpStream;

use crate::support::{
    ChargedRequests, Load, Nginx, RawClient, Redis, ServerProcess, create_funded_key, eventually,
};

const CLIENTS: usize = 6;
/// Number of restarts of each server.
const ROUNDS: usize = 2;
/// Number of answers before and after a restart.
const ANSWERS: u64 = 20;

fn addresses(servers: &[ServerProcess]) -> Vec<SocketAddr> {
    servers.iter().map(|server| server.address).collect()
}

/// Stops `server` while it streams an answer to a client that calls it itself, with `number` as input
/// tokens. The answer has to be whole.
async fn stop_with_a_stream(server: ServerProcess, key: &str, number: u64) {
    let prompt = format!("[[tokens=30 gap_ms=20 input_tokens={number}]]");
    let messages = json!([{"role": "user", "content": prompt}]);
    let body = json!({"model": "haiku", "stream": true, "messages": messages});
    let request = server.http.post(server.url("/v1/chat/completions"));
    let mut response = request.bearer_auth(key).json(&body).send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    server.signal(Signal::TERM);
    server.wait_until_refused().await;
    let rest = response.text().await.unwrap();
    assert!(rest.ends_with("data: [DONE]\n\n"), "{rest}");
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_restart_behind_nginx_fails_no_request_and_charges_each_once() {
    let redis = Redis::start().await;
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let start = async |folder: &Path| redis.builder().spawn_in(folder).await;
    let mut servers = Vec::new();
    for folder in &folders {
        servers.push(start(folder.path()).await);
    }
    let key = create_funded_key(&servers[0]).await;
    let nginx = Nginx::start(&addresses(&servers)).await;
    let load = Load::start(CLIENTS, &key, vec![format!("http://{}", nginx.address)]);
    let mut answered = BTreeSet::new();
    for restart in 0..2 * ROUNDS {
        load.wait_for_answers(ANSWERS).await;
        let stopping = servers.remove(0);
        nginx.route_to(&addresses(&servers)).await;
        let number = load.take_number();
        stop_with_a_stream(stopping, &key, number).await;
        answered.insert(number);
        load.wait_for_answers(ANSWERS).await;
        servers.push(start(folders[restart % 2].path()).await);
        nginx.route_to(&addresses(&servers)).await;
    }
    load.wait_for_answers(ANSWERS).await;
    let report = load.stop().await;
    assert_eq!(report.failed, []);
    answered.extend(report.answered);
    let charged = ChargedRequests::read(&redis.ledger()).await;
    assert_eq!(charged.numbers(), Vec::from_iter(answered));
    assert_eq!(charged.unknown, 0);
    for server in servers {
        server.end().await;
    }
}

/// The other server would run it once more, and the client would pay twice.
#[tokio::test(flavor = "multi_thread")]
async fn request_that_a_killed_server_had_begun_is_not_sent_to_another_one() {
    let redis = Redis::start().await;
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut servers = Vec::new();
    for folder in &folders {
        servers.push(redis.builder().spawn_in(folder.path()).await);
    }
    let key = create_funded_key(&servers[0]).await;
    let nginx = Nginx::start(&addresses(&servers)).await;
    let request = servers[0].chat("[[tokens=9 stall_at=2]]").bytes();
    let request = String::from_utf8(request).unwrap();
    let authorization = format!("authorization: Bearer {key}\r\ncontent-type:");
    let mut client = RawClient(TcpStream::connect(nginx.address).await.unwrap());
    let request = request.replacen("content-type:", &authorization, 1);
    client.write(request.as_bytes()).await;
    let ledger = redis.ledger();
    let running = eventually("the request runs", || async {
        if ledger.verify().await.unwrap().holds == 0 {
            return None;
        }
        for (index, server) in servers.iter().enumerate() {
            if server.get("/ready").await.1["workers"]["busy"] == 1 {
                return Some(index);
            }
        }
        None
    });
    let running = running.await;
    servers.remove(running).kill().await;
    client.read_until("502 Bad Gateway").await;
    // A server that starts again closes the holds of its last start.
    let restarted = redis.builder().spawn_in(folders[running].path()).await;
    assert_eq!(servers[0].get("/ready").await.1["workers"]["busy"], 0);
    let verified = ledger.verify().await.unwrap();
    assert_eq!((verified.problems, verified.holds), (Vec::new(), 0));
    let charges = ledger.charges().await.unwrap();
    let is_unknown = |outcome| outcome == ChargeOutcome::Unknown;
    assert!(charges.len() <= 1, "{charges:?}");
    assert!(charges.iter().all(|charge| is_unknown(charge.outcome)));
    servers.push(restarted);
    for server in servers {
        server.end().await;
    }
}
