//! Tests of batches: files of requests that are answered in the background.

mod end_and_resume;
mod hooks;
mod messages;
mod requests;
mod running;
mod shared;

use std::sync::Mutex;

use tokio_util::sync::CancellationToken;

use super::files::found;
use super::files::upload;
use super::*;
use crate::domain::Part;

/// Deadline for a batch in a test.
const MAX_TEST_WAIT: Duration = Duration::from_secs(20);

/// Server with batches.
struct BatchServer {
    router: Router,
    batches: Batches,
    metrics: Metrics,
    stop: CancellationToken,
    _storage: BatchStorage,
}

/// State that a killed server leaves: its files and the stored records of its batches.
#[derive(Clone)]
struct BatchStorage {
    _folder: Arc<tempfile::TempDir>,
    tools: BatchDeps,
}

impl BatchStorage {
    async fn new(keys: Keys) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::temporary(folder.path()).await.unwrap();
        let state = state(ScriptedTurns::playing([]));
        let tools = batch_tools(
            &state.turns,
            &Arc::new(keys),
            state.services.answers.clone(),
            files,
        );
        Self {
            _folder: Arc::new(folder),
            tools,
        }
    }

    /// Starts a server on this state whose batches run `parallel` lines at a time.
    fn start_server(&self, turns: impl Turns + 'static, parallel: usize) -> BatchServer {
        let BatchDeps {
            files,
            keys,
            hooks,
            owners,
            ..
        } = self.tools.clone();
        let state = app_state(
            &ResponseTables::temporary(),
            turns,
            Keys::none(),
            DrainExpired::default(),
        );
        let metrics = Metrics::new();
        let tools = BatchDeps {
            metrics: metrics.batches.clone(),
            hooks,
            owners,
            ..batch_tools(
                &state.turns,
                &keys,
                state.services.answers.clone(),
                files.clone(),
            )
        };
        let stop = tools.stop.clone();
        let batches = batches_with(tools, parallel);
        let state = AppState {
            services: ApiServices {
                files,
                batches: batches.clone(),
                ..state.services
            },
            keys,
            ..state
        };
        BatchServer {
            router: router(state),
            batches,
            metrics,
            stop,
            _storage: self.clone(),
        }
    }
}

impl BatchServer {
    async fn start(turns: impl Turns + 'static) -> Self {
        BatchStorage::new(Keys::none()).await.start_server(turns, 2)
    }

    /// Uploads a file with these lines and returns its id.
    async fn upload_lines(&self, lines: &[Value]) -> Value {
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        found(&self.router, upload(&lines)).await["id"].clone()
    }

    /// Creates a batch of these lines and returns its id.
    async fn create_batch(&self, lines: &[Value]) -> String {
        let made = self
            .call(
                "POST",
                "/v1/batches",
                &batch_request(&self.upload_lines(lines).await),
            )
            .await;
        assert_eq!(
            (&made["object"], &made["status"]),
            (&json!("batch"), &json!("validating"))
        );
        made["id"].as_str().unwrap().to_owned()
    }

    async fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        found(&self.router, request(method, path, &[], body.to_string())).await
    }

    async fn get(&self, id: &str) -> Value {
        self.call("GET", &format!("/v1/batches/{id}"), &Value::Null)
            .await
    }

    /// Waits until the batch fulfills `condition`.
    async fn wait_until(&self, id: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let waiting = async {
            loop {
                let batch = self.get(id).await;
                if condition(&batch) {
                    return batch;
                }
                sleep(Duration::from_millis(1)).await;
            }
        };
        match tokio::time::timeout(MAX_TEST_WAIT, waiting).await {
            Ok(batch) => batch,
            Err(_) => panic!("still {}", self.get(id).await),
        }
    }

    /// Waits until no batch is running.
    async fn wait_until_idle(&self) {
        let waiting = async {
            while self.batches.counts().iter().any(|(_, count)| *count > 0) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(MAX_TEST_WAIT, waiting).await.unwrap();
    }

    /// Waits until the batch has this status.
    async fn wait_for_status(&self, id: &str, status: &str) -> Value {
        self.wait_until(id, |batch| batch["status"] == status).await
    }

    /// Returns the lines of a file that a batch names; empty if it names none.
    async fn read_lines(&self, id: &Value) -> Vec<Value> {
        let Some(id) = id.as_str() else {
            return Vec::new();
        };
        let request = request("GET", &format!("/v1/files/{id}/content"), &[], "");
        let content = body(send(self.router.clone(), request).await).await;
        content
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// Returns the request body that creates a batch of chat requests.
fn batch_request(file: &Value) -> Value {
    json!({"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"})
}

/// Returns a line with the prompt `prompt`, which is also its id.
fn line(prompt: &str) -> Value {
    let body = json!({"model": "sonnet", "messages": [{"role": "user", "content": prompt}]});
    json!({"custom_id": prompt, "method": "POST", "url": "/v1/chat/completions", "body": body})
}

fn lines(count: usize) -> Vec<Value> {
    (1..=count)
        .map(|number| line(&format!("line {number}")))
        .collect()
}

fn ids(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line["custom_id"].as_str().unwrap())
        .collect()
}

/// Returns the prompt of a turn.
fn prompt(turn: &Turn) -> String {
    match &turn.prompt[0] {
        Part::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

/// Returns turns that log their prompts and then follow `script`, with the log.
fn logged_turns(
    script: impl Fn(&str) -> Result<Vec<Step>, Error> + Send + Sync + 'static,
) -> (ScriptedTurns, Arc<Mutex<Vec<String>>>) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&log);
    let turns = ScriptedTurns::new(move |_, turn| {
        let prompt = prompt(turn);
        seen.lock().unwrap().push(prompt.clone());
        script(&prompt).map(play)
    });
    (turns, log)
}
