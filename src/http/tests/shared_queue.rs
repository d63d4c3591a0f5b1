//! Tests of background responses that wait for a server with room: several servers over one store.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;

use super::*;
use crate::accounts::auth::FieldChange;
use crate::accounts::auth::KeyChange;
use crate::accounts::auth::Permission;
use crate::accounts::ledger;
use crate::accounts::ledger::WorkKind;
use crate::accounts::ledger::WorkOwners;
use crate::storage::store::testing::SharedBackend;
use crate::telemetry::metrics::QueueMetrics;

const PATH: &str = "/v1/responses";
const NOW: u64 = 1_795_255_200;
/// Longest wait for something that happens at once.
const MAX_TEST_WAIT: Duration = Duration::from_secs(10);

/// Server with one worker, whose queue is looked into by the test alone.
struct QueueServer {
    state: AppState,
    owners: WorkOwners,
    metrics: QueueMetrics,
    /// Credentials of the requests, if it has keys.
    key: &'static str,
}

impl QueueServer {
    async fn new(store: &Store, node: &str, turns: ScriptedTurns) -> Self {
        Self::with_keys(store, node, turns, Keys::none(), "").await
    }

    async fn with_keys(
        store: &Store,
        node: &str,
        mut turns: ScriptedTurns,
        keys: Keys,
        key: &'static str,
    ) -> Self {
        turns.readiness.workers.max = 1;
        let ledger = ledger::testing::shared(store.clone(), node, NOW).await;
        let owners = WorkOwners::of(&ledger);
        let tables = ResponseTables::over(store).with_owners(owners.clone());
        Self {
            state: app_state(&tables, turns, keys, DrainExpired::default()),
            owners,
            metrics: QueueMetrics::default(),
            key,
        }
    }

    /// Sends a request. Returns the body of its successful answer.
    async fn found(&self, method: &str, path: &str, body: &Value) -> Value {
        let key = format!("Bearer {}", self.key);
        let headers = [("authorization", key.as_str())];
        let headers = &headers[usize::from(self.key.is_empty())..];
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = request(method, &format!("{PATH}{path}"), headers, body);
        let response = send(router(self.state.clone()), request).await;
        assert_eq!(response.status(), StatusCode::OK);
        serde_json::from_str(&super::body(response).await).unwrap()
    }

    /// Creates a background response with `fields`. Returns the path of its id.
    async fn create(&self, fields: Value) -> String {
        let mut body = json!({"model": "sonnet", "input": "Hi", "background": true});
        let Value::Object(fields) = fields else {
            panic!("no fields")
        };
        body.as_object_mut().unwrap().extend(fields);
        let created = self.found("POST", "", &body).await;
        assert_eq!(created["status"], "queued");
        format!("/{}", created["id"].as_str().unwrap())
    }

    /// Lets a response take the worker for ever.
    async fn fill(&self) {
        let path = self.create(json!({})).await;
        self.wait_for(&path, "in_progress").await;
    }

    async fn get(&self, path: &str) -> Value {
        self.found("GET", path, &Value::Null).await
    }

    async fn wait_for(&self, path: &str, status: &str) -> Value {
        let reached = async {
            loop {
                let response = self.get(path).await;
                if response["status"] == status {
                    return response;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(MAX_TEST_WAIT, reached)
            .await
            .expect("the status is reached")
    }

    async fn take(&self) -> usize {
        let responses = &self.state.services.responses;
        responses.take_waiting(&self.metrics).await.unwrap()
    }

    async fn count_waiting(&self) -> usize {
        let waiting = self.owners.list_waiting(WorkKind::Response).await;
        waiting.unwrap().len()
    }
}

fn shared_store() -> Store {
    let backend = Arc::new(SharedBackend::default());
    Store::new(backend as _, TaskTracker::new()).unwrap()
}

fn hanging() -> ScriptedTurns {
    ScriptedTurns::playing([started(), Step::Hang])
}

/// Turns that answer, and count how many of them were run.
fn counted() -> (ScriptedTurns, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let runs = Arc::clone(&count);
    let turns = ScriptedTurns::new(move |caller, _| {
        assert!(caller.in_background);
        runs.fetch_add(1, Ordering::Relaxed);
        Ok(play(greeting_steps()))
    });
    (turns, count)
}

#[tokio::test]
async fn background_response_without_room_is_run_by_the_server_with_room() {
    let store = shared_store();
    let full = QueueServer::new(&store, "full", hanging()).await;
    full.fill().await;
    let path = full.create(json!({"metadata": {"a": "b"}})).await;
    let (turns, runs) = counted();
    let free = QueueServer::new(&store, "free", turns).await;
    assert_eq!(full.take().await, 0, "it has no room");
    assert_eq!(free.get(&path).await["status"], "queued");
    assert_eq!(free.take().await, 1);
    let completed = full.wait_for(&path, "completed").await;
    assert_eq!(completed["metadata"], json!({"a": "b"}));
    assert_eq!(completed["output"][0]["content"][0]["text"], "Hello");
    assert_eq!(format!("/{}", completed["id"].as_str().unwrap()), path);
    assert_eq!((free.take().await, runs.load(Ordering::Relaxed)), (0, 1));
}

#[tokio::test]
async fn queued_response_is_run_by_one_of_two_servers() {
    let store = shared_store();
    let full = QueueServer::new(&store, "full", hanging()).await;
    full.fill().await;
    let path = full.create(json!({})).await;
    let ((one_turns, one_runs), (other_turns, other_runs)) = (counted(), counted());
    let one = QueueServer::new(&store, "one", one_turns).await;
    let other = QueueServer::new(&store, "other", other_turns).await;
    let (first, second) = tokio::join!(one.take(), other.take());
    assert_eq!(first + second, 1);
    full.wait_for(&path, "completed").await;
    let runs = one_runs.load(Ordering::Relaxed) + other_runs.load(Ordering::Relaxed);
    assert_eq!(runs, 1);
}

#[tokio::test]
async fn queued_response_is_cancelled_and_deleted_at_any_server() {
    let store = shared_store();
    let full = QueueServer::new(&store, "full", hanging()).await;
    full.fill().await;
    let (turns, runs) = counted();
    let free = QueueServer::new(&store, "free", turns).await;
    let path = full.create(json!({})).await;
    let cancelled = free
        .found("POST", &format!("{path}/cancel"), &Value::Null)
        .await;
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(full.get(&path).await, cancelled);
    let path = full.create(json!({})).await;
    free.found("DELETE", &path, &Value::Null).await;
    assert_eq!(full.count_waiting().await, 0);
    assert_eq!((free.take().await, runs.load(Ordering::Relaxed)), (0, 0));
}

#[tokio::test]
async fn queued_response_waits_for_a_server_that_knows_its_key() {
    let store = shared_store();
    let keys = || Keys::new(["secret-1"]).unwrap();
    let full = QueueServer::with_keys(&store, "full", hanging(), keys(), "secret-1").await;
    full.fill().await;
    let path = full.create(json!({})).await;
    let (turns, _) = counted();
    let unknown = Keys::new(["secret-2"]).unwrap();
    let stranger = QueueServer::with_keys(&store, "stranger", turns, unknown, "").await;
    assert_eq!(
        (stranger.take().await, stranger.count_waiting().await),
        (0, 1)
    );
    let (turns, _) = counted();
    let free = QueueServer::with_keys(&store, "free", turns, keys(), "secret-1").await;
    assert_eq!(free.take().await, 1);
    free.wait_for(&path, "completed").await;
}

/// The entry is removed even if no server has its API key any more.
#[tokio::test]
async fn queued_response_whose_request_is_gone_leaves_the_queue() {
    let store = shared_store();
    let keys = Keys::new(["secret-1"]).unwrap();
    let full = QueueServer::with_keys(&store, "full", hanging(), keys, "secret-1").await;
    full.fill().await;
    full.create(json!({})).await;
    let (turns, runs) = counted();
    let unknown = Keys::new(["secret-2"]).unwrap();
    let stranger = QueueServer::with_keys(&store, "stranger", turns, unknown, "").await;
    assert_eq!(
        (stranger.take().await, stranger.count_waiting().await),
        (0, 1)
    );
    let aged = store.transaction(|transaction| {
        for (key, _) in transaction.scan(b"response-requests\0")? {
            transaction.remove(key);
        }
        for (key, entry) in transaction.scan(b"work-queue\0")? {
            // Queued at the beginning of time, by the same server.
            transaction.put(key, [&[0; 8][..], &entry[8..]].concat());
        }
        Ok::<_, crate::storage::store::Error>(())
    });
    aged.await.unwrap();
    assert_eq!(
        (stranger.take().await, stranger.count_waiting().await),
        (0, 0)
    );
    assert_eq!(runs.load(Ordering::Relaxed), 0);
}

/// A commit may be made although its answer is an error. Without a run here, the response would stay in
/// progress.
#[tokio::test]
async fn queued_response_that_is_taken_in_doubt_waits_again_and_runs_once() {
    let backend = Arc::new(SharedBackend::default());
    let store = Store::new(Arc::clone(&backend) as _, TaskTracker::new()).unwrap();
    let full = QueueServer::new(&store, "full", hanging()).await;
    full.fill().await;
    let path = full.create(json!({})).await;
    let (turns, runs) = counted();
    let free = QueueServer::new(&store, "free", turns).await;
    backend.miss_replicas(true);
    let responses = &free.state.services.responses;
    assert!(responses.take_waiting(&free.metrics).await.is_err());
    backend.miss_replicas(false);
    let taken = async {
        while free.take().await == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(MAX_TEST_WAIT, taken)
        .await
        .expect("it waits again");
    full.wait_for(&path, "completed").await;
    assert_eq!(runs.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn queued_response_of_a_revoked_key_is_not_run() {
    let registry = Registry::temporary().await.unwrap();
    let change = KeyChange {
        name: Some("key".to_owned()),
        permissions: FieldChange::Set(vec![Permission::Inference, Permission::Responses]),
        ..KeyChange::default()
    };
    let made = registry.create_key("default".to_owned(), change).await;
    let (key, text) = made.unwrap();
    let text: &'static str = Box::leak(text.reveal().to_owned().into_boxed_str());
    let keys = || Keys::none().with_stored(&registry);
    let store = shared_store();
    let full = QueueServer::with_keys(&store, "full", hanging(), keys(), text).await;
    full.fill().await;
    full.create(json!({})).await;
    registry.revoke_key(&key.id()).await.unwrap();
    let (turns, runs) = counted();
    let free = QueueServer::with_keys(&store, "free", turns, keys(), text).await;
    assert_eq!((free.take().await, free.count_waiting().await), (0, 0));
    assert_eq!(runs.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn queued_response_whose_previous_one_is_deleted_fails() {
    let store = shared_store();
    let (turns, _) = counted();
    let free = QueueServer::new(&store, "free", turns).await;
    let previous = free.create(json!({})).await;
    let previous = free.wait_for(&previous, "completed").await["id"].clone();
    let full = QueueServer::new(&store, "full", hanging()).await;
    full.fill().await;
    let path = full.create(json!({"previous_response_id": previous})).await;
    let deleted = format!("/{}", previous.as_str().unwrap());
    full.found("DELETE", &deleted, &Value::Null).await;
    assert_eq!(free.take().await, 0);
    let failed = full.get(&path).await;
    assert_eq!(
        (&failed["status"], &failed["error"]["code"]),
        (&json!("failed"), &json!("invalid_prompt"))
    );
    assert_eq!(full.count_waiting().await, 0);
}

#[tokio::test]
async fn response_that_waits_for_a_worker_is_left_to_others_at_a_shutdown() {
    let store = shared_store();
    let turns = ScriptedTurns::queueing();
    let mut asked = turns.watch_running();
    let stopping = QueueServer::new(&store, "stopping", turns).await;
    let path = stopping.create(json!({})).await;
    asked.wait_for(|turns| *turns == 1).await.unwrap();
    stopping.state.drain_expired.0.cancel();
    asked.wait_for(|turns| *turns == 0).await.unwrap();
    let (turns, runs) = counted();
    let free = QueueServer::new(&store, "free", turns).await;
    let returned = async {
        while free.count_waiting().await == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(MAX_TEST_WAIT, returned)
        .await
        .expect("it waits again");
    assert_eq!(free.get(&path).await["status"], "queued");
    assert_eq!(free.take().await, 1);
    free.wait_for(&path, "completed").await;
    assert_eq!(runs.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn running_response_of_a_lost_server_is_failed_by_another_one_once() {
    let store = shared_store();
    let lost = QueueServer::new(&store, "lost", hanging()).await;
    let path = lost.create(json!({})).await;
    lost.wait_for(&path, "in_progress").await;
    let other = QueueServer::new(&store, "other", hanging()).await;
    let responses = &other.state.services.responses;
    assert_eq!(responses.recover().await.unwrap(), 0, "its server lives");
    ledger::testing::remove_lease(&store, "lost").await;
    assert_eq!(responses.recover().await.unwrap(), 1);
    assert_eq!(responses.recover().await.unwrap(), 0);
    assert_eq!(other.get(&path).await["status"], "failed");
}

#[tokio::test]
async fn response_whose_answer_has_begun_fails_at_a_shutdown() {
    let store = shared_store();
    let begun = Arc::new(Notify::new());
    let signal = Arc::clone(&begun);
    let turns = ScriptedTurns::new(move |_, _| {
        let signal = Arc::clone(&signal);
        let rest = stream::once(async move {
            signal.notify_one();
            std::future::pending().await
        });
        Ok(play(vec![started(), text("a")]).chain(rest).boxed())
    });
    let stopping = QueueServer::new(&store, "stopping", turns).await;
    let path = stopping.create(json!({})).await;
    begun.notified().await;
    stopping.state.drain_expired.0.cancel();
    stopping.wait_for(&path, "failed").await;
    assert_eq!(stopping.count_waiting().await, 0);
}

/// Fields of a response that names an uploaded file.
fn naming_a_file() -> Value {
    let part = json!({"type": "input_file", "file_id": "file-1"});
    json!({"input": [{"role": "user", "content": [part]}]})
}

/// Each server reads the file.
#[tokio::test]
async fn background_response_that_names_a_shared_file_waits_for_any_server() {
    let store = shared_store();
    let ledger = ledger::testing::shared(store.clone(), "full", NOW).await;
    let owners = WorkOwners::of(&ledger);
    let tables = ResponseTables::over(&store).with_owners(owners.clone());
    let tables = tables.with_shared_files(true);
    let mut turns = hanging();
    turns.readiness.workers.max = 1;
    let full = QueueServer {
        state: app_state(&tables, turns, Keys::none(), DrainExpired::default()),
        owners,
        metrics: QueueMetrics::default(),
        key: "",
    };
    full.fill().await;
    full.create(naming_a_file()).await;
    assert_eq!(full.count_waiting().await, 1);
}

/// Its bytes may be on the disk of the server that took the request.
#[tokio::test]
async fn background_response_that_names_a_file_is_run_where_it_was_sent() {
    let store = shared_store();
    let full = QueueServer::new(&store, "full", hanging()).await;
    full.fill().await;
    let path = full.create(naming_a_file()).await;
    full.wait_for(&path, "in_progress").await;
    assert_eq!(full.count_waiting().await, 0);
}
