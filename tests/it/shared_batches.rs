//! A batch that two servers on one Redis run together.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::batches::{BatchClient, request_line};
use crate::shared_redis::TAKE_OVER_TIMEOUT;
use crate::support::{Journal, Redis, ServerProcess, TestServer, within};

const LINES: usize = 200;
/// Lines that a server runs at a time.
const PARALLEL: usize = 2;
/// Answered lines of the batch after which a server is killed, and those that it has run by then.
const KILLED_AT: (u64, usize) = (80, 10);

/// Starts a server on `redis` whose files have their contents in `contents`.
async fn start(redis: &Redis, contents: &Path, journal: &Journal) -> (ServerProcess, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(contents, folder.path().join("files")).unwrap();
    let server = TestServer::fake()
        .workers(4)
        .journal(journal)
        .set("SWITCHBOARD_BATCHES__PARALLEL", PARALLEL)
        .set("SWITCHBOARD_POOL__MAX_TURNS", 1000)
        .set("SWITCHBOARD_STORE__BACKEND", "redis")
        .set("SWITCHBOARD_REDIS__URL", redis.url());
    (server.spawn_in(folder.path()).await, folder)
}

/// Both servers run lines of a batch, and the one that does not own it is killed. The other one
/// finishes the batch: each line has one answer and one charge.
#[tokio::test(flavor = "multi_thread")]
async fn batch_of_two_servers_answers_every_line_once_after_one_is_killed() {
    let redis = Redis::start().await;
    let contents = tempfile::tempdir().unwrap();
    let journals = [Journal::new(), Journal::new()];
    let (owner, _owner_folder) = start(&redis, contents.path(), &journals[0]).await;
    let (killed, _killed_folder) = start(&redis, contents.path(), &journals[1]).await;
    let names: Vec<String> = (0..LINES).map(|index| format!("r{index}")).collect();
    let lines: Vec<Value> = names
        .iter()
        .map(|name| request_line(name, &format!("[[tokens=1 ttft_ms=100]] {name}")))
        .collect();
    let client = BatchClient::new(owner.url(""));
    let id = client.create_batch(&lines).await;
    let has_progressed = |batch: &Value| {
        batch["request_counts"]["completed"].as_u64() >= Some(KILLED_AT.0)
            && journals[1].prompts() >= KILLED_AT.1
    };
    let batch = client.wait_until(&id, has_progressed).await;
    assert_eq!(batch["status"], "in_progress", "the batch is still running");
    killed.kill().await;
    let path = format!("/v1/batches/{id}");
    let batch = within(TAKE_OVER_TIMEOUT, "the batch is completed", || async {
        let batch = client.get(&path).await;
        (batch["status"] == "completed").then_some(batch)
    })
    .await;
    assert_eq!(
        batch["request_counts"],
        json!({"total": LINES, "completed": LINES, "failed": 0})
    );
    let output = client.lines(&batch["output_file_id"]).await;
    let answered: Vec<_> = output
        .iter()
        .map(|line| line["custom_id"].as_str().unwrap())
        .collect();
    assert_eq!(
        answered,
        names.iter().map(String::as_str).collect::<Vec<_>>()
    );
    let runs: usize = journals.iter().map(Journal::prompts).sum();
    assert!(
        (LINES..=LINES + PARALLEL).contains(&runs),
        "at most those that the killed server ran are run again: {runs} runs"
    );
    let ledger = redis.ledger();
    assert_eq!(ledger.charges().await.unwrap().len(), LINES);
    let verified = ledger.verify().await.unwrap();
    assert_eq!((verified.problems, verified.holds), (Vec::new(), 0));
    owner.end().await;
}
