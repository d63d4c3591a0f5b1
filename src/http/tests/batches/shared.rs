//! Tests of batches whose lines several servers run.

use std::collections::HashMap;

use super::end_and_resume::answer_then_hang;
use super::end_and_resume::error_codes;
use super::end_and_resume::has_completed;
use super::*;
use crate::accounts::ledger::WorkOwners;
use crate::accounts::ledger::testing::remove_lease;
use crate::accounts::ledger::testing::shared_ledger;
use crate::storage::store::testing::SharedBackend;
use crate::telemetry::metrics::testing::assert_series;

/// Number of lines of a batch: three slices.
const LINES: usize = 60;
/// Time that a line takes.
const LINE_TIME: Duration = Duration::from_millis(200);

/// Records and files that servers share.
struct SharedRecords {
    backend: Arc<SharedBackend>,
    folder: Arc<tempfile::TempDir>,
}

impl SharedRecords {
    fn new() -> Self {
        Self {
            backend: Arc::default(),
            folder: Arc::new(tempfile::tempdir().unwrap()),
        }
    }

    fn store(&self) -> Store {
        Store::inline(Arc::clone(&self.backend) as _, TaskTracker::new())
    }

    /// Starts a server called `node` that runs one line at a time.
    async fn start(&self, node: &str, turns: impl Turns + 'static) -> BatchServer {
        self.start_in(&self.folder, node, turns).await
    }

    /// Starts a server whose files have their contents in `folder`.
    async fn start_in(
        &self,
        folder: &Arc<tempfile::TempDir>,
        node: &str,
        turns: impl Turns + 'static,
    ) -> BatchServer {
        self.start_with_keys(folder, node, Keys::none(), turns)
            .await
    }

    /// Starts a server that knows `keys`.
    async fn start_with_keys(
        &self,
        folder: &Arc<tempfile::TempDir>,
        node: &str,
        keys: Keys,
        turns: impl Turns + 'static,
    ) -> BatchServer {
        let config = crate::storage::files::Config {
            max_file_bytes: 1 << 20,
            max_project_bytes: 1 << 20,
            ..crate::storage::files::Config::default()
        };
        let files = Files::open(self.store(), folder.path(), config).await;
        let state = state(ScriptedTurns::playing([]));
        let tools = batch_tools(
            &state.turns,
            &Arc::new(keys),
            state.services.answers.clone(),
            files.unwrap(),
        );
        let owners = WorkOwners::of(&shared_ledger(self.store(), node).await);
        let storage = BatchStorage {
            _folder: Arc::clone(folder),
            tools: BatchDeps { owners, ..tools },
        };
        storage.start_server(turns, 1)
    }

    /// Ends the lease of the server `node`, as the others do when it is silent.
    async fn end_lease(&self, node: &str) {
        remove_lease(&self.store(), node).await;
    }
}

/// Turns that take some time, with the log of their prompts.
fn slow_turns() -> (ScriptedTurns, Arc<Mutex<Vec<String>>>) {
    logged_turns(|_| Ok([vec![started(), Step::Wait(LINE_TIME)], greeting_steps()].concat()))
}

async fn wait_for(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(MAX_TEST_WAIT, waiting).await.unwrap();
}

/// Asserts that the batch has one answer for each of its lines, in their order.
async fn assert_complete(server: &BatchServer, id: &str) {
    let batch = server.wait_for_status(id, "completed").await;
    assert_eq!(
        batch["request_counts"],
        json!({"total": LINES, "completed": LINES, "failed": 0})
    );
    let output = server.read_lines(&batch["output_file_id"]).await;
    assert_eq!(ids(&output), ids(&lines(LINES)));
    server.wait_until_idle().await;
}

fn line_count(log: &Mutex<Vec<String>>) -> usize {
    log.lock().unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn lines_are_run_once_by_the_servers_that_have_room() {
    let records = SharedRecords::new();
    let (turns, own) = slow_turns();
    let owner = records.start("owner", turns).await;
    let (turns, assisted) = slow_turns();
    let other = records.start("other", turns).await;
    owner.batches.spawn_assistance();
    other.batches.spawn_assistance();
    let id = owner.create_batch(&lines(LINES)).await;
    assert_complete(&owner, &id).await;
    let counts = [line_count(&own), line_count(&assisted)];
    assert_eq!(counts.iter().sum::<usize>(), LINES, "{counts:?}");
    assert!(counts.iter().all(|count| *count >= 20), "{counts:?}");
    let answered = format!(
        r#"switchboard_batch_lines_total{{end="answered"}} {}"#,
        counts[1]
    );
    let superseded = r#"switchboard_batch_lines_total{end="superseded"} 0"#;
    assert_series(&other.metrics, &[&answered, superseded]);
}

#[tokio::test(start_paused = true)]
async fn slice_of_a_lost_server_is_taken_over() {
    let records = SharedRecords::new();
    let (turns, own) = slow_turns();
    let owner = records.start("owner", turns).await;
    let (turns, assisted) = answer_then_hang(5);
    let lost = records.start("lost", turns).await;
    lost.batches.spawn_assistance();
    let id = owner.create_batch(&lines(LINES)).await;
    wait_for(|| line_count(&assisted) == 6).await;
    lost.stop.cancel();
    records.end_lease("lost").await;
    assert_complete(&owner, &id).await;
    assert_eq!(
        line_count(&own),
        LINES - 5,
        "what was written is not run again"
    );
}

/// Its lease goes on.
#[tokio::test(start_paused = true)]
async fn slice_of_a_server_that_stops_is_run_by_another_one_at_once() {
    let records = SharedRecords::new();
    let (turns, own) = slow_turns();
    let owner = records.start("owner", turns).await;
    let (turns, assisted) = answer_then_hang(5);
    let stopping = records.start("stopping", turns).await;
    stopping.batches.spawn_assistance();
    let id = owner.create_batch(&lines(LINES)).await;
    wait_for(|| line_count(&assisted) == 6).await;
    stopping.stop.cancel();
    assert_complete(&owner, &id).await;
    assert_eq!(line_count(&own), LINES - 5);
}

#[tokio::test(start_paused = true)]
async fn batch_is_taken_over_by_a_server_that_knows_its_key() {
    let records = SharedRecords::new();
    let (turns, _) = answer_then_hang(7);
    let lost = records.start("lost", turns).await;
    let keys = Keys::new(["secret-1"]).unwrap();
    let turns = ScriptedTurns::playing([]);
    let without = records.start_with_keys(&records.folder, "without", keys, turns);
    let without = without.await;
    let (turns, run) = slow_turns();
    let other = records.start("other", turns).await;
    let id = lost.create_batch(&lines(LINES)).await;
    lost.wait_until(&id, has_completed(7)).await;
    lost.stop.cancel();
    records.end_lease("lost").await;
    assert_eq!(without.batches.recover().await.unwrap(), 0);
    assert_eq!(other.batches.recover().await.unwrap(), 1);
    assert_complete(&other, &id).await;
    assert_eq!(line_count(&run), LINES - 7);
}

#[tokio::test(start_paused = true)]
async fn batch_of_a_lost_owner_is_finished_by_another_server() {
    let records = SharedRecords::new();
    let (turns, _) = answer_then_hang(7);
    let lost = records.start("lost", turns).await;
    let (turns, run) = slow_turns();
    let other = records.start("other", turns).await;
    let id = lost.create_batch(&lines(LINES)).await;
    lost.wait_until(&id, has_completed(7)).await;
    assert_eq!(other.batches.recover().await.unwrap(), 0, "its owner lives");
    lost.stop.cancel();
    records.end_lease("lost").await;
    assert_eq!(other.batches.recover().await.unwrap(), 1);
    assert_complete(&other, &id).await;
    assert_eq!(line_count(&run), LINES - 7);
}

#[tokio::test(start_paused = true)]
async fn batch_of_a_lost_owner_ends_without_its_input_if_that_is_deleted() {
    let records = SharedRecords::new();
    let (turns, _) = answer_then_hang(3);
    let lost = records.start("lost", turns).await;
    let elsewhere = Arc::new(tempfile::tempdir().unwrap());
    let turns = ScriptedTurns::playing([]);
    let other = records.start_in(&elsewhere, "other", turns).await;
    let id = lost.create_batch(&lines(LINES)).await;
    let batch = lost.wait_until(&id, has_completed(3)).await;
    lost.stop.cancel();
    records.end_lease("lost").await;
    assert_eq!(
        other.batches.recover().await.unwrap(),
        0,
        "others may read it"
    );
    let input = batch["input_file_id"].as_str().unwrap();
    let path = format!("/v1/files/{input}");
    other.call("DELETE", &path, &Value::Null).await;
    assert_eq!(other.batches.recover().await.unwrap(), 1);
    let batch = other.wait_for_status(&id, "failed").await;
    assert_eq!(batch["errors"]["data"][0]["code"], "input_file_not_found");
    assert_eq!(batch["request_counts"]["completed"], 3);
}

/// A fail-over of Redis may lose the plan: its absence is not the end of the lines.
#[tokio::test(start_paused = true)]
async fn batch_whose_plan_is_lost_runs_the_lines_that_are_left() {
    let records = SharedRecords::new();
    let (turns, _) = slow_turns();
    let owner = records.start("owner", turns).await;
    let id = owner.create_batch(&lines(25)).await;
    owner.wait_until(&id, has_completed(3)).await;
    let lost = records.store().transaction(|transaction| {
        for (key, _) in transaction.scan(b"batch-slices\0")? {
            transaction.remove(key);
        }
        Ok::<_, crate::storage::store::Error>(())
    });
    lost.await.unwrap();
    let batch = owner.wait_for_status(&id, "completed").await;
    assert_eq!(
        batch["request_counts"],
        json!({"total": 25, "completed": 25, "failed": 0})
    );
    let output = owner.read_lines(&batch["output_file_id"]).await;
    assert_eq!(ids(&output), ids(&lines(25)));
}

/// A server that is suspended loses its slice, wakes, and has the answer of a line that another server
/// runs.
#[tokio::test(start_paused = true)]
async fn late_answer_of_a_suspended_server_is_refused_and_counted() {
    let records = SharedRecords::new();
    let (turns, own) = slow_turns();
    let owner = records.start("owner", turns).await;
    let (gate, opened) = watch::channel(false);
    let late = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&late);
    let turns = ScriptedTurns::new(move |_, turn| {
        seen.lock().unwrap().push(prompt(turn));
        let mut opened = opened.clone();
        let wait = async move { drop(opened.wait_for(|opened| *opened).await) };
        Ok(Box::pin(
            stream::once(wait).flat_map(|()| play(greeting_steps())),
        ))
    });
    let suspended = records.start("suspended", turns).await;
    suspended.batches.spawn_assistance();
    let id = owner.create_batch(&lines(LINES)).await;
    wait_for(|| line_count(&late) == 1).await;
    records.end_lease("suspended").await;
    let line = late.lock().unwrap()[0].clone();
    wait_for(|| own.lock().unwrap().contains(&line)).await;
    gate.send(true).unwrap();
    assert_complete(&owner, &id).await;
    let counts = [line_count(&own), line_count(&late)];
    assert_eq!(counts.iter().sum::<usize>(), LINES + 1, "{counts:?}");
    let answered = format!(
        r#"switchboard_batch_lines_total{{end="answered"}} {}"#,
        counts[1] - 1
    );
    let superseded = r#"switchboard_batch_lines_total{end="superseded"} 1"#;
    assert_series(&suspended.metrics, &[&answered, superseded]);
}

#[tokio::test(start_paused = true)]
async fn batch_is_cancelled_at_a_server_that_does_not_run_it() {
    let records = SharedRecords::new();
    let (turns, _) = answer_then_hang(3);
    let owner = records.start("owner", turns).await;
    let other = records.start("other", ScriptedTurns::playing([])).await;
    let id = owner.create_batch(&lines(5)).await;
    owner.wait_until(&id, has_completed(3)).await;
    let path = format!("/v1/batches/{id}/cancel");
    let batch = other.call("POST", &path, &Value::Null).await;
    assert_eq!(batch["status"], "cancelling");
    let batch = other.wait_for_status(&id, "cancelled").await;
    assert_eq!(
        ids(&other.read_lines(&batch["output_file_id"]).await),
        ["line 1", "line 2", "line 3"]
    );
    assert_eq!(
        error_codes(&other, &batch).await,
        ["line 4 batch_cancelled", "line 5 batch_cancelled"]
    );
    owner.wait_until_idle().await;
    assert_series(
        &owner.metrics,
        &[
            r#"switchboard_batch_lines_total{end="not_run"} 2"#,
            r#"switchboard_batch_lines_total{end="superseded"} 0"#,
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn shared_batch_expires_and_stops_at_each_server() {
    let records = SharedRecords::new();
    let (turns, _) = answer_then_hang(1);
    let owner = records.start("owner", turns).await;
    let (turns, assisted) = answer_then_hang(1);
    let other = records.start("other", turns).await;
    other.batches.spawn_assistance();
    let id = owner.create_batch(&lines(LINES)).await;
    owner.wait_until(&id, has_completed(2)).await;
    wait_for(|| line_count(&assisted) == 2).await;
    tokio::time::advance(Duration::from_secs(24 * 3600 + 1)).await;
    let batch = owner.wait_for_status(&id, "expired").await;
    let output = owner.read_lines(&batch["output_file_id"]).await;
    assert_eq!(ids(&output), ["line 1", "line 21"]);
    assert_eq!(error_codes(&owner, &batch).await.len(), LINES - 2);
}

#[tokio::test(start_paused = true)]
async fn server_without_the_input_file_runs_no_lines() {
    let records = SharedRecords::new();
    let (turns, _) = answer_then_hang(0);
    let owner = records.start("owner", turns).await;
    let elsewhere = Arc::new(tempfile::tempdir().unwrap());
    let (turns, _) = answer_then_hang(0);
    let without = records.start_in(&elsewhere, "without", turns).await;
    let (turns, run) = answer_then_hang(0);
    let with = records.start("with", turns).await;
    let id = owner.create_batch(&lines(LINES)).await;
    owner
        .wait_until(&id, |batch| batch["status"] == "in_progress")
        .await;
    let mut passed_over = HashMap::new();
    // The plan may not be there yet.
    let waiting = async {
        while passed_over.is_empty() {
            let started = without.batches.assist_others(&mut passed_over).await;
            assert!(!started.unwrap());
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(MAX_TEST_WAIT, waiting).await.unwrap();
    assert!(passed_over.contains_key(&id), "{passed_over:?}");
    let mut passed_over = HashMap::new();
    let started = with.batches.assist_others(&mut passed_over).await;
    assert!(started.unwrap());
    let again = with.batches.assist_others(&mut passed_over).await;
    assert_eq!((again.unwrap(), passed_over.len()), (false, 0));
    wait_for(|| line_count(&run) == 1).await;
}
