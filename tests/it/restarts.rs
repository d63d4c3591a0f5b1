//! Orphan processes: a killed server leaves none, or the next server over the same data ends them.

use std::path::Path;
use std::time::Duration;

use crate::support::{Builder, Journal, ServerProcess, TestServer, eventually, within, workers_of};

/// Starts a server with four workers: two in the middle of an answer, at least one idle.
async fn busy_server(builder: Builder, data_dir: &Path, prompt: &str) -> ServerProcess {
    let server = builder
        .workers(4)
        .set("SWITCHBOARD_POOL__PREWARM", 2)
        .spawn_in(data_dir)
        .await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = server.chat(prompt).stream().await;
        stream.next_text().await;
        streams.push(stream);
    }
    let all = || async { (server.workers().len() >= 4).then_some(()) };
    eventually("four workers run", all).await;
    server.keep_streams(streams)
}

async fn kill_and_assert_no_worker_is_left(server: ServerProcess, data_dir: &Path) {
    server.kill().await;
    let no_workers = || async { workers_of(data_dir).is_empty().then_some(()) };
    eventually("no worker outlives its server", no_workers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_server_leaves_no_real_cli_worker() {
    let folder = tempfile::tempdir().unwrap();
    let prompt = "[[tokens=9 stall_after=2]]";
    let server = busy_server(TestServer::real().await, folder.path(), prompt).await;
    kill_and_assert_no_worker_is_left(server, folder.path()).await;
}

/// End of input `only_survivor` would not end these workers.
#[tokio::test(flavor = "multi_thread")]
async fn killed_server_leaves_no_worker_that_ignores_end_of_input() {
    let folder = tempfile::tempdir().unwrap();
    let builder = TestServer::fake().set("FAKE_CLAUDE_IGNORE_STDIN_EOF", 1);
    let builder = builder.set("FAKE_CLAUDE_IGNORE_SIGTERM", 1);
    let server = busy_server(builder, folder.path(), "[[stall_at=2]]").await;
    kill_and_assert_no_worker_is_left(server, folder.path()).await;
}

/// A grandchild is not signalled when the server dies, so only the next server can end it.
#[tokio::test(flavor = "multi_thread")]
async fn orphan_of_killed_server_is_ended_by_the_next_server() {
    let folder = tempfile::tempdir().unwrap();
    let other_folder = tempfile::tempdir().unwrap();
    let journal = Journal::new();
    let builder = || {
        TestServer::fake()
            .workers(1)
            .set("FAKE_CLAUDE_SPAWN_GRANDCHILD", 1)
    };
    let other = builder().start_in(other_folder.path()).await;
    let server = builder().journal(&journal).spawn_in(folder.path()).await;
    let survivor = journal.nth("grandchild", 1).await;
    let survivor = i32::try_from(survivor["child"].as_i64().unwrap()).unwrap();
    server.kill().await;
    let only_survivor = || async { (workers_of(folder.path()) == [survivor]).then_some(()) };
    within(
        Duration::from_secs(10),
        "only the grandchild survives",
        only_survivor,
    )
    .await;

    let next = TestServer::fake().workers(1).start_in(folder.path()).await;
    let is_swept = || async { (!next.workers().contains(&survivor)).then_some(()) };
    within(Duration::from_secs(2), "the survivor is swept", is_swept).await;
    assert_eq!(next.chat("[[tokens=1]]").send().await.text(), "w0 ");
    assert_eq!(
        workers_of(other.data_dir()).len(),
        2,
        "a server over other data keeps its processes"
    );
    next.end().await;
    other.end().await;
}
