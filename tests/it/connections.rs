//! Limits on open connections.

use futures::future::join_all;

use crate::support::{RawClient, ServerProcess, TestServer, eventually};

/// Limit on open files, which leaves room for fewer than a hundred connections.
const OPEN_FILES: usize = 160;

/// Opens connections that send nothing.
async fn open_silent(server: &ServerProcess, count: usize) -> Vec<RawClient> {
    join_all((0..count).map(|_| server.connect())).await
}

/// Gets `path` with the header line `key`. Returns the connection, which stays open, and the
/// response.
async fn get_with_new_client(server: &ServerProcess, path: &str, key: &str) -> (RawClient, String) {
    let mut client = server.connect().await;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{key}\r\n");
    client.write(request.as_bytes()).await;
    let response = client.read_until("}").await;
    (client, response)
}

fn is_served(response: &str) -> bool {
    response.starts_with("HTTP/1.1 200 ")
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_do_not_block_requests() {
    let server = TestServer::fake().workers(1).open_files(OPEN_FILES);
    let server = server
        .set("SWITCHBOARD_SERVER__UNKNOWN_CONNECTIONS_PER_ADDRESS", 64)
        .spawn()
        .await;
    let mut all = open_silent(&server, 64).await;
    for _ in 0..4 {
        assert!(is_served(
            &get_with_new_client(&server, "/health", "").await.1
        ));
        all.extend(open_silent(&server, 100).await);
    }
    assert!(is_served(
        &get_with_new_client(&server, "/health", "").await.1
    ));
    assert_eq!(
        server.chat("[[tokens=2]]").send().await.text(),
        "w0 w1 ",
        "descriptors are left for the pipes of a worker"
    );
    // The oldest connection was evicted.
    all[0].read_to_end().await;
    drop(all);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_answered_when_authenticated_clients_hold_all_connections() {
    const KEY: &str = "authorization: Bearer key-of-a-test\r\n";
    let server = TestServer::fake().workers(1).open_files(2 * OPEN_FILES);
    let server = server
        .set("SWITCHBOARD_AUTH__KEYS", "key-of-a-test")
        .spawn()
        .await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let fields: Vec<_> = line.unwrap().split_whitespace().collect();
    assert_eq!(fields[3], fields[4], "the soft limit is raised");
    let mut clients = Vec::new();
    let refused = loop {
        let (client, response) = get_with_new_client(&server, "/v1/models", KEY).await;
        if !is_served(&response) {
            break response;
        }
        clients.push(client);
    };
    assert!(
        refused.starts_with("HTTP/1.1 503 ") && refused.contains("too_many_connections"),
        "{refused}"
    );
    assert!(clients.len() > OPEN_FILES / 8, "{}", clients.len());
    let spare = open_silent(&server, 64).await;
    assert!(is_served(
        &get_with_new_client(&server, "/health", "").await.1
    ));
    assert!(!is_served(
        &get_with_new_client(&server, "/v1/models", KEY).await.1
    ));
    drop((clients, spare));
    eventually("connections are accepted again", || async {
        is_served(&get_with_new_client(&server, "/v1/models", KEY).await.1).then_some(())
    })
    .await;
    server.end().await;
}
