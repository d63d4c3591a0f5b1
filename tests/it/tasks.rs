//! Tasks over HTTP: the real CLI with its own tools in a real folder, from request to charge.

use std::path::Path;

use futures::StreamExt;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Builder, HttpClient, TestServer, eventually, workers_of};
use crate::webhooks;

const ADMIN_KEY: &str = "made-up-admin-key";

/// Server whose agents may work in `folder/work`, one at a time.
pub(crate) async fn server(folder: &TempDir) -> Builder {
    let work = folder.path().join("work");
    std::fs::create_dir_all(&work).unwrap();
    let builder = TestServer::real()
        .await
        .workers(1)
        .set("SWITCHBOARD_ADMIN_KEY", ADMIN_KEY);
    let builder = builder
        .set("SWITCHBOARD_TASKS__ROOTS", json!([work]))
        .set("SWITCHBOARD_TASKS__MODEL", "haiku");
    builder.set("SWITCHBOARD_TASKS__MAX_RUNNING", 1)
}

/// Client with a key that may run tasks.
pub(crate) struct TaskClient {
    http: HttpClient,
    pub(crate) base: String,
    pub(crate) key: String,
    /// Folder in which its agents work.
    pub(crate) work: String,
}

impl TaskClient {
    /// Creates a key with these properties and a client that uses it.
    pub(crate) async fn new(base: String, folder: &TempDir, terms: Value) -> Self {
        let mut body = json!({"name": "task-client", "permissions": ["tasks", "usage"]});
        let Value::Object(terms) = terms else {
            panic!("no terms")
        };
        body.as_object_mut().unwrap().extend(terms);
        let work = folder
            .path()
            .join("work")
            .canonicalize()
            .unwrap()
            .display()
            .to_string();
        let client = Self {
            http: HttpClient::new(),
            base,
            key: ADMIN_KEY.to_owned(),
            work,
        };
        let (status, made) = client.ask("POST", "/admin/keys", body).await;
        assert_eq!(status, 201, "{made}");
        Self {
            key: made["key"].as_str().unwrap().to_owned(),
            ..client
        }
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = self
            .http
            .request(method.parse().unwrap(), format!("{}{path}", self.base));
        let response = request
            .bearer_auth(&self.key)
            .json(&body)
            .send()
            .await
            .unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn create(&self, prompt: &str, fields: Value) -> (u16, Value) {
        let mut body = json!({"prompt": prompt, "workspace": self.work, "preset": "full"});
        let Value::Object(fields) = fields else {
            panic!("no fields")
        };
        body.as_object_mut().unwrap().extend(fields);
        self.ask("POST", "/v1/tasks", body).await
    }

    pub(crate) async fn create_task(&self, prompt: &str, fields: Value) -> String {
        let (status, task) = self.create(prompt, fields).await;
        assert_eq!(status, 201, "{task}");
        task["id"].as_str().unwrap().to_owned()
    }

    async fn get(&self, id: &str) -> Value {
        self.ask("GET", &format!("/v1/tasks/{id}"), Value::Null)
            .await
            .1
    }

    async fn wait_until(&self, id: &str, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || async {
            Some(self.get(id).await).filter(|task| condition(task))
        })
        .await
    }

    pub(crate) async fn wait_for_end(&self, id: &str) -> Value {
        self.wait_until(id, "the task ends", |task| {
            !["queued", "running"]
                .iter()
                .any(|word| task["status"] == *word)
        })
        .await
    }

    /// Reads the task's events after a sequence number, up to its end.
    pub(crate) async fn events(&self, id: &str, after: Option<u64>) -> Vec<Value> {
        let mut request = self
            .http
            .get(format!("{}/v1/tasks/{id}/events", self.base))
            .bearer_auth(&self.key);
        if let Some(after) = after {
            request = request.header("last-event-id", after.to_string());
        }
        let text = request.send().await.unwrap().text().await.unwrap();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|data| serde_json::from_str(data).unwrap())
            .collect()
    }

    /// Interrupts the task and waits for its end.
    async fn interrupt(&self, id: &str) -> Value {
        let (status, task) = self
            .ask("POST", &format!("/v1/tasks/{id}/interrupt"), Value::Null)
            .await;
        assert_eq!(status, 200, "{task}");
        self.wait_for_end(id).await
    }
}

/// Prompt directive that makes the stand-in call `tool`.
pub(crate) fn tool_directive(tool: &str, input: &Value) -> String {
    format!("[[tool={tool} input={input}]]")
}

/// Directive for a command that creates the file `begun` and never ends.
pub(crate) fn endless_command() -> String {
    tool_directive(
        "Bash",
        &json!({"command": "touch begun; tail -f /dev/null"}),
    )
}

pub(crate) async fn wait_for_file(path: &Path) {
    eventually("the tool runs", || async { path.exists().then_some(()) }).await;
}

fn summaries(events: &[Value]) -> Vec<String> {
    let word = |event: &Value| {
        let detail = ["name", "text", "status"]
            .iter()
            .find_map(|field| event[field].as_str());
        format!(
            "{} {}",
            event["type"].as_str().unwrap(),
            detail.unwrap_or_default()
        )
        .trim()
        .to_owned()
    };
    events.iter().map(word).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn task_writes_edits_runs_commands_and_is_charged() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await.start().await;
    let client = TaskClient::new(
        server.url(""),
        &folder,
        json!({"budget": {"monthly": {"money": "2"}}}),
    )
    .await;
    let work = Path::new(&client.work);
    let script = work.join("a.sh");
    std::fs::write(
        work.join("next"),
        tool_directive("Bash", &json!({"command": "sh ./a.sh"})),
    )
    .unwrap();
    std::fs::write(work.join("old"), "one").unwrap();
    let prompt = [
        tool_directive(
            "Write",
            &json!({"file_path": script, "content": "touch made"}),
        ),
        tool_directive(
            "Edit",
            &json!({"file_path": script, "old_string": "made", "new_string": "ran"}),
        ),
        tool_directive("Bash", &json!({"command": "cat ./next"})),
    ];
    let id = client
        .create_task(&prompt.concat(), json!({"max_budget_usd": "1.5"}))
        .await;
    // The first task's hold leaves no room in the budget for a second.
    let (status, refused) = client.create("hi", json!({})).await;
    assert_eq!(
        (status, &refused["error"]["code"]),
        (429, &json!("insufficient_quota"))
    );
    let events = client.events(&id, None).await;
    assert_eq!(
        summaries(&events),
        [
            "progress running",
            "tool_use Write",
            "tool_use Edit",
            "tool_use Bash",
            "progress running",
            "tool_result",
            "tool_result",
            "tool_result",
            "tool_use Bash",
            "progress running",
            "tool_result",
            "message Tool results: (Bash completed with no output)",
            "progress running",
            "complete completed",
        ]
    );
    let numbers: Vec<_> = events
        .iter()
        .map(|event| event["sequence_number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (0..14).collect::<Vec<_>>());
    assert_eq!(client.events(&id, Some(9)).await, events[10..]);
    assert!(work.join("ran").exists());
    let task = client.get(&id).await;
    assert_eq!(
        (&task["status"], &task["progress"]["turns"]),
        (&json!("completed"), &json!(3))
    );
    assert_eq!(task["files"], json!({"created": [script], "modified": []}));
    assert_eq!(
        task["result"],
        "Tool results: (Bash completed with no output)"
    );
    let (_, usage) = client.ask("GET", "/v1/usage", Value::Null).await;
    assert_eq!(
        (
            &usage["totals"]["requests"],
            &usage["totals"]["unknown_requests"]
        ),
        (&json!(1), &json!(0))
    );
    assert!(
        task["cost_usd"].as_f64().unwrap() > 0.0 && usage["totals"]["cost_usd"] == task["cost_usd"],
        "{usage} {task}"
    );
    assert_eq!(
        client
            .ask("DELETE", &format!("/v1/tasks/{id}"), Value::Null)
            .await
            .0,
        200
    );
    assert_eq!(
        client
            .ask("GET", &format!("/v1/tasks/{id}"), Value::Null)
            .await
            .0,
        404
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn task_can_be_interrupted_in_each_phase() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await.start().await;
    let client = TaskClient::new(server.url(""), &folder, json!({})).await;
    let begun = Path::new(&client.work).join("begun");
    // Phase: a tool runs, and another task is queued.
    let running = client.create_task(&endless_command(), json!({})).await;
    wait_for_file(&begun).await;
    let waiting = client.create_task("hi", json!({})).await;
    let waiting = client.interrupt(&waiting).await;
    assert_eq!(
        (&waiting["status"], &waiting["cost_usd"]),
        (&json!("cancelled"), &json!(0.0))
    );
    let running = client.interrupt(&running).await;
    assert_eq!(
        (&running["status"], &running["error"]),
        (&json!("interrupted"), &Value::Null)
    );
    // Phase: the model answers.
    let answering = client
        .create_task("[[tokens=100000 gap_ms=50]]", json!({}))
        .await;
    client
        .wait_until(&answering, "the model is called", |task| {
            task["progress"]["turns"] == 1
        })
        .await;
    let answering = client.interrupt(&answering).await;
    assert_eq!(answering["status"], "interrupted");
    assert!(
        answering["cost_usd"].as_f64().unwrap() > 0.0,
        "the CLI reports its cost: {answering}"
    );
    // Phase: a permission request waits for its decision.
    let asking = client
        .create_task(
            &tool_directive("Bash", &json!({"command": "touch never"})),
            json!({"permission_mode": "default"}),
        )
        .await;
    client
        .wait_until(&asking, "a permission request is pending", |task| {
            task["permission_requests"] != json!([])
        })
        .await;
    let asking = client.interrupt(&asking).await;
    assert_eq!(
        (&asking["status"], &asking["permission_requests"]),
        (&json!("interrupted"), &json!([]))
    );
    assert!(!Path::new(&client.work).join("never").exists());
    // Phase: the call is upstream without a response, for which the CLI reports no cost.
    let calls = server.upstream().stats().received;
    let silent = client.create_task("[[headers_ms=600000]]", json!({})).await;
    eventually("the model is called", || async {
        (server.upstream().stats().received > calls).then_some(())
    })
    .await;
    let silent = client.interrupt(&silent).await;
    assert_eq!(
        (&silent["status"], &silent["progress"]["turns"]),
        (&json!("interrupted"), &json!(0))
    );
    // At least 12,000 tokens at the cache write price of 0.125 dollars per million.
    assert!(
        silent["cost_usd"].as_f64().unwrap() >= 0.0015,
        "the prompt is charged: {silent}"
    );
    // Phase: the start. The interrupt may come after the end of so short a task.
    let early = client.create_task("hi", json!({})).await;
    let (status, _) = client
        .ask("POST", &format!("/v1/tasks/{early}/interrupt"), Value::Null)
        .await;
    let early = client.wait_for_end(&early).await;
    assert!(
        status == 200
            && ["cancelled", "interrupted", "completed"]
                .iter()
                .any(|word| early["status"] == *word),
        "{early}"
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn permission_request_is_decided_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await.start().await;
    let client = TaskClient::new(server.url(""), &folder, json!({})).await;
    let prompt = tool_directive("Bash", &json!({"command": "touch made"}));
    for (decision, is_made) in [("deny", false), ("allow", true)] {
        let id = client
            .create_task(&prompt, json!({"permission_mode": "default"}))
            .await;
        let task = client
            .wait_until(&id, "a permission request is pending", |task| {
                task["permission_requests"] != json!([])
            })
            .await;
        let asked = &task["permission_requests"][0];
        assert_eq!(
            (&asked["tool"], &asked["input"]["command"]),
            (&json!("Bash"), &json!("touch made"))
        );
        let path = format!(
            "/v1/tasks/{id}/permissions/{}",
            asked["request_id"].as_str().unwrap()
        );
        assert_eq!(
            client
                .ask("POST", &path, json!({"decision": decision}))
                .await
                .0,
            200
        );
        assert_eq!(client.wait_for_end(&id).await["status"], "completed");
        assert_eq!(
            Path::new(&client.work).join("made").exists(),
            is_made,
            "{decision}"
        );
    }
    server.end().await;
}

/// True if a file below the folder contains `text`.
fn any_file_contains(folder: &Path, text: &str) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_found = |path: &Path| {
        String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).contains(text)
    };
    entries.map(|entry| entry.path()).any(|path| {
        if path.is_dir() {
            any_file_contains(&path, text)
        } else {
            is_found(&path)
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_transcripts_are_private_and_deleted_with_their_task() {
    const SECRET: &str = "TANGERINE";
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await.start().await;
    let agents = server.data_dir().join("agents");
    let client = TaskClient::new(server.url(""), &folder, json!({})).await;
    let other = TaskClient::new(server.url(""), &folder, json!({})).await;
    let id = client
        .create_task(&format!("[[say=\"{SECRET}\"]]"), json!({}))
        .await;
    assert_eq!(client.wait_for_end(&id).await["result"], SECRET);
    assert!(
        any_file_contains(&agents, SECRET),
        "the CLI stores its sessions there"
    );
    let search = json!({"pattern": "TANG[E]RINE", "path": agents, "output_mode": "content"});
    let found = other
        .create_task(
            &tool_directive("Grep", &search),
            json!({"preset": "read_only"}),
        )
        .await;
    other.wait_for_end(&found).await;
    let events = other.events(&found, None).await;
    assert!(
        events.iter().any(|event| event["is_error"] == true),
        "{events:?}"
    );
    assert!(!json!(events).to_string().contains(SECRET));
    assert_eq!(
        client
            .ask("DELETE", &format!("/v1/tasks/{id}"), Value::Null)
            .await
            .0,
        200
    );
    eventually("the transcript is deleted", || async {
        (!any_file_contains(&agents, SECRET)).then_some(())
    })
    .await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn task_of_killed_server_is_interrupted_and_its_session_continues() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let first = server(&folder).await.spawn_in(&data).await;
    let client = TaskClient::new(first.url(""), &folder, json!({})).await;
    let write = tool_directive(
        "Write",
        &json!({"file_path": Path::new(&client.work).join("kept"), "content": "words"}),
    );
    let id = client
        .create_task(&format!("{write}{}", endless_command()), json!({}))
        .await;
    wait_for_file(&Path::new(&client.work).join("begun")).await;
    let before_kill = client
        .wait_until(&id, "the created file is reported", |task| {
            task["files"]["created"] != json!([])
        })
        .await;
    first.kill().await;

    let second = server(&folder).await.spawn_in(&data).await;
    let client = TaskClient {
        base: second.url(""),
        ..client
    };
    eventually("no agent of the first server is left", || async {
        let agents = workers_of(&data)
            .into_iter()
            .filter(|id| is_agent(*id))
            .count();
        (agents == 0).then_some(())
    })
    .await;
    let task = client.get(&id).await;
    assert_eq!(
        (&task["status"], &task["error"]),
        (&json!("interrupted"), &Value::Null)
    );
    let events = client.events(&id, None).await;
    assert!(events.len() as u64 > before_kill["progress"]["events"].as_u64().unwrap());
    assert_eq!(summaries(&events).last().unwrap(), "complete interrupted");

    let next = client
        .create_task(
            "[[echo_request]]",
            json!({"session_id": task["session_id"], "max_turns": 3}),
        )
        .await;
    let next = client.wait_for_end(&next).await;
    assert_eq!(
        (&next["status"], &next["session_id"]),
        (&json!("completed"), &task["session_id"])
    );
    assert!(
        next["result"]
            .as_str()
            .unwrap()
            .contains("tail -f /dev/null"),
        "the session has the earlier turns: {next}"
    );
    second.end().await;
}

/// True if the process belongs to an agent.
fn is_agent(id: i32) -> bool {
    let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
    environment
        .split(|byte| *byte == 0)
        .any(|variable| variable.starts_with(b"SWITCHBOARD_TASK="))
}

#[tokio::test(flavor = "multi_thread")]
async fn graceful_shutdown_interrupts_tasks() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let first = server(&folder).await.spawn_in(&data).await;
    let client = TaskClient::new(first.url(""), &folder, json!({})).await;
    let running = client.create_task(&endless_command(), json!({})).await;
    wait_for_file(&Path::new(&client.work).join("begun")).await;
    let waiting = client.create_task("hi", json!({})).await;
    let url = format!("{}/v1/tasks/{running}/events", client.base);
    let mut stream = client
        .http
        .get(url)
        .bearer_auth(&client.key)
        .send()
        .await
        .unwrap()
        .bytes_stream();
    stream.next().await.unwrap().unwrap();
    first.signal(Signal::TERM);
    let mut events = String::new();
    while let Some(Ok(bytes)) = stream.next().await {
        events.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    assert!(
        events.contains("event: complete") && events.contains(r#""status":"interrupted""#),
        "{events}"
    );
    let ended = first.ended().await;
    assert!(
        ended.code == Some(0) && !ended.log.contains("without waiting"),
        "{}",
        ended.log
    );

    let second = server(&folder).await.spawn_in(&data).await;
    let client = TaskClient {
        base: second.url(""),
        ..client
    };
    assert_eq!(client.get(&running).await["status"], "interrupted");
    assert_eq!(client.get(&waiting).await["status"], "cancelled");
    second.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn task_webhook_receives_the_completion() {
    let (address, mut requests) = webhooks::receiver().await;
    let url = format!("http://{address}/hook");
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder)
        .await
        .set("SWITCHBOARD_TASKS__WEBHOOK_HOSTS", "127.0.0.1")
        .start()
        .await;
    let client = TaskClient::new(server.url(""), &folder, json!({})).await;
    let (_, task) = client
        .create("[[say=\"secret words\"]]", json!({"webhook": {"url": url}}))
        .await;
    assert!(
        task["webhook"]["secret"]
            .as_str()
            .unwrap()
            .starts_with("whsec_"),
        "{task}"
    );
    let (headers, event) = requests.recv().await.unwrap();
    assert_eq!(
        (&event["type"], &event["data"]["task_id"]),
        (&json!("task.completed"), &task["id"])
    );
    assert!(
        headers.contains_key("webhook-signature") && !event.to_string().contains("secret words")
    );
    server.end().await;
}
