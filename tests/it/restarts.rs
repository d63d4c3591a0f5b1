//! A server that is killed leaves no process behind, or the next one over the same data finds it.

use std::path::Path;
use std::time::Duration;

use crate::support::{Builder, Journal, ServerProcess, TestServer, eventually, within, workers_of};

/// A server with four workers: two in the middle of an answer, and at least one idle.
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
    server.keep(streams)
}

async fn assert_killed_clean(server: ServerProcess, data_dir: &Path) {
    server.kill().await;
    let none = || async { workers_of(data_dir).is_empty().then_some(()) };
    eventually("no worker survives its server", none).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_worker_of_the_real_cli_survives_a_killed_server() {
    let folder = tempfile::tempdir().unwrap();
    let prompt = "[[tokens=9 stall_after=2]]";
    let server = busy_server(TestServer::real().await, folder.path(), prompt).await;
    assert_killed_clean(server, folder.path()).await;
}

/// These would stay for ever if only the end of their input told them to go.
#[tokio::test(flavor = "multi_thread")]
async fn no_worker_that_ignores_the_end_of_its_input_survives_a_killed_server() {
    let folder = tempfile::tempdir().unwrap();
    let builder = TestServer::fake().set("FAKE_CLAUDE_IGNORE_STDIN_EOF", 1);
    let builder = builder.set("FAKE_CLAUDE_IGNORE_SIGTERM", 1);
    let server = busy_server(builder, folder.path(), "[[stall_at=2]]").await;
    assert_killed_clean(server, folder.path()).await;
}

/// What a worker has started is told by nobody that the server is gone.
#[tokio::test(flavor = "multi_thread")]
async fn what_survives_a_killed_server_is_ended_by_the_next_one() {
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
    let alone = || async { (workers_of(folder.path()) == [survivor]).then_some(()) };
    within(
        Duration::from_secs(10),
        "only the grandchild survives",
        alone,
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
