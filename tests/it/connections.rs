//! More connections than there may be.

use futures::future::join_all;

use crate::support::{RawClient, ServerProcess, TestServer, eventually};

/// So many files that fewer than a hundred may be connections.
const OPEN_FILES: usize = 160;

/// Connections that say nothing.
async fn silent(server: &ServerProcess, count: usize) -> Vec<RawClient> {
    join_all((0..count).map(|_| server.connect())).await
}

/// What is answered at `path`, asked for with `key` by a connection that stays open if the server lets it.
async fn ask(server: &ServerProcess, path: &str, key: &str) -> (RawClient, String) {
    let mut client = server.connect().await;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{key}\r\n");
    client.write(request.as_bytes()).await;
    let told = client.read_until("}").await;
    (client, told)
}

fn is_served(told: &str) -> bool {
    told.starts_with("HTTP/1.1 200 ")
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_stop_nobody() {
    let server = TestServer::fake().workers(1).open_files(OPEN_FILES);
    let server = server
        .set("SWITCHBOARD_SERVER__UNKNOWN_CONNECTIONS_PER_ADDRESS", 64)
        .spawn()
        .await;
    let mut all = silent(&server, 64).await;
    for _ in 0..4 {
        assert!(is_served(&ask(&server, "/health", "").await.1));
        all.extend(silent(&server, 100).await);
    }
    assert!(is_served(&ask(&server, "/health", "").await.1));
    assert_eq!(
        server.chat("[[tokens=2]]").send().await.text(),
        "w0 w1 ",
        "a worker has its pipes"
    );
    // Whoever was there first had to go.
    all[0].read_to_end().await;
    drop(all);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_answered_when_all_connections_are_taken_by_those_who_may() {
    const KEY: &str = "authorization: Bearer key-of-a-test\r\n";
    let server = TestServer::fake().workers(1).open_files(2 * OPEN_FILES);
    let server = server
        .set("SWITCHBOARD_AUTH__KEYS", "key-of-a-test")
        .spawn()
        .await;
    let mut kept = Vec::new();
    let refused = loop {
        let (client, told) = ask(&server, "/v1/models", KEY).await;
        if !is_served(&told) {
            break told;
        }
        kept.push(client);
    };
    assert!(
        refused.starts_with("HTTP/1.1 503 ") && refused.contains("too_many_connections"),
        "{refused}"
    );
    assert!(kept.len() > OPEN_FILES / 8, "{}", kept.len());
    let spare = silent(&server, 64).await;
    assert!(is_served(&ask(&server, "/health", "").await.1));
    assert!(!is_served(&ask(&server, "/v1/models", KEY).await.1));
    drop((kept, spare));
    eventually("connections are taken again", || async {
        is_served(&ask(&server, "/v1/models", KEY).await.1).then_some(())
    })
    .await;
    server.end().await;
}
