//! Servers and their Redis that are killed under load: nothing that was answered is lost, and nothing
//! is charged twice.

use std::path::Path;

use crate::support::{ChargedRequests, Load, Redis, ServerProcess, create_funded_key};

const CLIENTS: usize = 6;
/// Number of kills, by turns of a server and of Redis.
const KILLS: usize = 8;
/// Number of answers between two kills.
const ANSWERS: u64 = 20;

async fn server(redis: &Redis, data_dir: &Path) -> ServerProcess {
    redis.builder().spawn_in(data_dir).await
}

async fn wait_until_ready(server: &ServerProcess) {
    let is_ready = |body: &serde_json::Value| body["status"] == "ready";
    server.wait_until("the server is ready", is_ready).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_servers_and_of_redis_lose_no_charge_and_charge_nothing_twice() {
    let mut redis = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut servers = Vec::new();
    for folder in &folders {
        servers.push(server(&redis, folder.path()).await);
    }
    let key = create_funded_key(&servers[0]).await;
    let urls = servers.iter().map(|server| server.url("")).collect();
    let load = Load::start(CLIENTS, &key, urls);
    for kill in 0..KILLS {
        load.wait_for_answers(ANSWERS).await;
        if kill.is_multiple_of(2) {
            let index = kill / 2 % 2;
            servers.remove(index).kill().await;
            let started = server(&redis, folders[index].path()).await;
            load.move_server(index, started.url(""));
            servers.insert(index, started);
        } else {
            redis.kill();
            redis.restart().await;
            for server in &servers {
                wait_until_ready(server).await;
            }
        }
    }
    load.wait_for_answers(ANSWERS).await;
    let report = load.stop().await;
    assert!(!report.failed.is_empty(), "something was killed under load");
    let charged = ChargedRequests::read(&redis.ledger()).await;
    for number in &report.answered {
        assert!(charged.times.contains_key(number), "{number} is lost");
    }
    let sent = report.answered.len() + report.failed.len();
    let count = charged.times.len() + charged.unknown;
    assert!(count <= sent, "{count} charges of {sent} requests");
    for server in servers {
        server.end().await;
    }
}
