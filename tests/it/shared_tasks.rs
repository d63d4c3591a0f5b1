//! Tasks that wait for a server with room: servers on one Redis and one folder, as processes of their own.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::shared_redis::TAKE_OVER_TIMEOUT;
use crate::support::{Redis, ServerProcess, eventually, send, within};
use crate::tasks;
use crate::tasks::{TaskClient, tool_directive};

/// Maximum wait for a task that is taken after a look into the queue, and run.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(90);

/// Starts a server whose agents may work in `folder/work`, one at a time, as may those of others.
async fn spawn(redis: &Redis, folder: &TempDir) -> ServerProcess {
    let builder = tasks::server(folder)
        .await
        .set("SWITCHBOARD_STORE__BACKEND", "redis")
        .set("SWITCHBOARD_REDIS__URL", redis.url())
        .set("SWITCHBOARD_TASKS__SHARED_WORKSPACES", true);
    builder.spawn().await
}

/// Server whose one place is taken by a task that waits for a permission, and a task in the queue.
struct FullServer {
    server: ServerProcess,
    client: TaskClient,
    running: String,
    waiting: String,
}

impl FullServer {
    async fn start(redis: &Redis, folder: &TempDir) -> Self {
        let server = spawn(redis, folder).await;
        let client = TaskClient::new(server.url(""), folder, json!({})).await;
        let asks = tool_directive("Bash", &json!({"command": "touch never"}));
        let terms = json!({"permission_mode": "default"});
        let running = client.create_task(&asks, terms).await;
        let key = client.key.as_str();
        eventually("a permission request is pending", || async {
            let task = get(&server, key, &running).await;
            task["permission_requests"][0].is_object().then_some(())
        })
        .await;
        let made = tool_directive("Bash", &json!({"command": "touch made"}));
        let waiting = client.create_task(&made, json!({})).await;
        assert_eq!(get(&server, key, &waiting).await["status"], "queued");
        Self {
            server,
            client,
            running,
            waiting,
        }
    }
}

async fn get(server: &ServerProcess, key: &str, id: &str) -> Value {
    let path = format!("/v1/tasks/{id}");
    let (status, task) = send(server, Method::GET, &path, key, &Value::Null).await;
    assert_eq!(status, 200, "{task}");
    task
}

async fn wait_for(server: &ServerProcess, key: &str, id: &str, status: &str, limit: Duration) {
    within(limit, status, || async {
        (get(server, key, id).await["status"] == status).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn task_that_waits_at_a_full_server_is_run_by_the_other_one() {
    let redis = Redis::start().await;
    let folder = tempfile::tempdir().unwrap();
    let FullServer {
        server,
        client,
        running,
        waiting,
    } = FullServer::start(&redis, &folder).await;
    let other = spawn(&redis, &folder).await;
    // They are not linked: the events come from the records.
    let events = client.events(&waiting, None).await;
    let last = events.last().unwrap();
    assert_eq!(
        (&last["type"], &last["status"]),
        (&json!("complete"), &json!("completed"))
    );
    wait_for(&other, &client.key, &waiting, "completed", QUEUE_TIMEOUT).await;
    assert!(Path::new(&client.work).join("made").exists());
    assert_eq!(
        get(&server, &client.key, &running).await["status"],
        "running"
    );
    server.end().await;
    other.end().await;
    let verified = redis.ledger().verify().await.unwrap();
    assert_eq!((verified.problems, verified.holds), (Vec::new(), 0));
}

/// Work that has not begun belongs to no server: it does not wait for the end of the lease.
#[tokio::test(flavor = "multi_thread")]
async fn waiting_task_of_a_killed_server_is_run_and_its_running_one_interrupted() {
    let redis = Redis::start().await;
    let folder = tempfile::tempdir().unwrap();
    let FullServer {
        server,
        client,
        running,
        waiting,
    } = FullServer::start(&redis, &folder).await;
    server.kill().await;
    let other = spawn(&redis, &folder).await;
    wait_for(&other, &client.key, &waiting, "completed", QUEUE_TIMEOUT).await;
    assert!(Path::new(&client.work).join("made").exists());
    wait_for(
        &other,
        &client.key,
        &running,
        "interrupted",
        TAKE_OVER_TIMEOUT,
    )
    .await;
    within(TAKE_OVER_TIMEOUT, "its hold is charged", || async {
        let verified = redis.ledger().verify().await.unwrap();
        assert_eq!(verified.problems, Vec::<String>::new());
        (verified.holds == 0).then_some(())
    })
    .await;
    other.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_task_outlives_a_graceful_shutdown() {
    let redis = Redis::start().await;
    let folder = tempfile::tempdir().unwrap();
    let FullServer {
        server,
        client,
        running,
        waiting,
    } = FullServer::start(&redis, &folder).await;
    server.end().await;
    let next = spawn(&redis, &folder).await;
    assert_eq!(
        get(&next, &client.key, &running).await["status"],
        "interrupted"
    );
    wait_for(&next, &client.key, &waiting, "completed", QUEUE_TIMEOUT).await;
    next.end().await;
}
