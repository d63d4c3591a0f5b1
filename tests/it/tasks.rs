//! Tasks over HTTP: the real CLI with its own tools, in a real folder, from the request to the bill.

use std::path::Path;

use axum::Router;
use axum::http::HeaderMap;
use futures::StreamExt;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::support::{Builder, TestServer, eventually, workers_of};

const ADMIN: &str = "made-up-admin-key";

/// A server whose agents may work in `folder/work`, one at a time.
async fn server(folder: &TempDir) -> Builder {
    let work = folder.path().join("work");
    std::fs::create_dir_all(&work).unwrap();
    let builder = TestServer::real()
        .await
        .workers(1)
        .set("SWITCHBOARD_ADMIN_KEY", ADMIN);
    let builder = builder
        .set("SWITCHBOARD_TASKS__ROOTS", json!([work]))
        .set("SWITCHBOARD_TASKS__MODEL", "haiku");
    builder.set("SWITCHBOARD_TASKS__MAX_RUNNING", 1)
}

/// Somebody who may have tasks.
struct Boss {
    http: reqwest::Client,
    base: String,
    key: String,
    work: String,
}

impl Boss {
    /// One with a new key that has these properties.
    async fn new(base: String, folder: &TempDir, terms: Value) -> Self {
        let mut body = json!({"name": "boss", "permissions": ["tasks", "usage"]});
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
        let boss = Self {
            http: reqwest::Client::new(),
            base,
            key: ADMIN.to_owned(),
            work,
        };
        let (status, made) = boss.ask("POST", "/admin/keys", body).await;
        assert_eq!(status, 201, "{made}");
        Self {
            key: made["key"].as_str().unwrap().to_owned(),
            ..boss
        }
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
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

    async fn order(&self, prompt: &str, fields: Value) -> (u16, Value) {
        let mut body = json!({"prompt": prompt, "workspace": self.work, "preset": "full"});
        let Value::Object(fields) = fields else {
            panic!("no fields")
        };
        body.as_object_mut().unwrap().extend(fields);
        self.ask("POST", "/v1/tasks", body).await
    }

    async fn begin(&self, prompt: &str, fields: Value) -> String {
        let (status, task) = self.order(prompt, fields).await;
        assert_eq!(status, 201, "{task}");
        task["id"].as_str().unwrap().to_owned()
    }

    async fn get(&self, id: &str) -> Value {
        self.ask("GET", &format!("/v1/tasks/{id}"), Value::Null)
            .await
            .1
    }

    async fn until(&self, id: &str, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || async {
            Some(self.get(id).await).filter(|task| condition(task))
        })
        .await
    }

    async fn ended(&self, id: &str) -> Value {
        self.until(id, "the task ends", |task| {
            !["queued", "running"]
                .iter()
                .any(|word| task["status"] == *word)
        })
        .await
    }

    /// All that the task tells after an event, to its end.
    async fn told(&self, id: &str, after: Option<u64>) -> Vec<Value> {
        let mut request = self
            .http
            .get(format!("{}/v1/tasks/{id}/events", self.base))
            .bearer_auth(&self.key);
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let text = request.send().await.unwrap().text().await.unwrap();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|data| serde_json::from_str(data).unwrap())
            .collect()
    }

    /// Asks the task to stop and waits until it has.
    async fn interrupt(&self, id: &str) -> Value {
        let (status, task) = self
            .ask("POST", &format!("/v1/tasks/{id}/interrupt"), Value::Null)
            .await;
        assert_eq!(status, 200, "{task}");
        self.ended(id).await
    }
}

/// A prompt upon which the stand-in calls `tool`.
fn call(tool: &str, input: &Value) -> String {
    format!("[[tool={tool} input={input}]]")
}

/// A command that never ends, and says that it has begun.
fn endless() -> String {
    call(
        "Bash",
        &json!({"command": "touch begun; tail -f /dev/null"}),
    )
}

async fn until_there(path: &Path) {
    eventually("the tool runs", || async { path.exists().then_some(()) }).await;
}

fn words(events: &[Value]) -> Vec<String> {
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
async fn a_task_writes_edits_runs_and_is_paid() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await.start().await;
    let boss = Boss::new(
        server.url(""),
        &folder,
        json!({"budget": {"monthly": {"money": "2"}}}),
    )
    .await;
    let work = Path::new(&boss.work);
    let script = work.join("a.sh");
    std::fs::write(
        work.join("next"),
        call("Bash", &json!({"command": "sh ./a.sh"})),
    )
    .unwrap();
    std::fs::write(work.join("old"), "one").unwrap();
    let prompt = [
        call(
            "Write",
            &json!({"file_path": script, "content": "touch made"}),
        ),
        call(
            "Edit",
            &json!({"file_path": script, "old_string": "made", "new_string": "ran"}),
        ),
        call("Bash", &json!({"command": "cat ./next"})),
    ];
    let id = boss
        .begin(&prompt.concat(), json!({"max_budget_usd": "1.5"}))
        .await;
    // Another would not fit beside it.
    let (status, refused) = boss.order("hi", json!({})).await;
    assert_eq!(
        (status, &refused["error"]["code"]),
        (429, &json!("insufficient_quota"))
    );
    let told = boss.told(&id, None).await;
    assert_eq!(
        words(&told),
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
    let numbers: Vec<_> = told
        .iter()
        .map(|event| event["sequence_number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (0..14).collect::<Vec<_>>());
    assert_eq!(boss.told(&id, Some(9)).await, told[10..]);
    assert!(work.join("ran").exists());
    let task = boss.get(&id).await;
    assert_eq!(
        (&task["status"], &task["progress"]["turns"]),
        (&json!("completed"), &json!(3))
    );
    assert_eq!(task["files"], json!({"created": [script], "modified": []}));
    assert_eq!(
        task["result"],
        "Tool results: (Bash completed with no output)"
    );
    let (_, usage) = boss.ask("GET", "/v1/usage", Value::Null).await;
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
        boss.ask("DELETE", &format!("/v1/tasks/{id}"), Value::Null)
            .await
            .0,
        200
    );
    assert_eq!(
        boss.ask("GET", &format!("/v1/tasks/{id}"), Value::Null)
            .await
            .0,
        404
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_can_be_interrupted_in_each_phase() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await.start().await;
    let boss = Boss::new(server.url(""), &folder, json!({})).await;
    let begun = Path::new(&boss.work).join("begun");
    // While a tool runs, and while the next waits for its turn.
    let running = boss.begin(&endless(), json!({})).await;
    until_there(&begun).await;
    let waiting = boss.begin("hi", json!({})).await;
    let waiting = boss.interrupt(&waiting).await;
    assert_eq!(
        (&waiting["status"], &waiting["cost_usd"]),
        (&json!("cancelled"), &json!(0.0))
    );
    let running = boss.interrupt(&running).await;
    assert_eq!(
        (&running["status"], &running["error"]),
        (&json!("interrupted"), &Value::Null)
    );
    // While the model answers.
    let answering = boss.begin("[[tokens=100000 gap_ms=50]]", json!({})).await;
    boss.until(&answering, "the model is called", |task| {
        task["progress"]["turns"] == 1
    })
    .await;
    let answering = boss.interrupt(&answering).await;
    assert_eq!(answering["status"], "interrupted");
    assert!(
        answering["cost_usd"].as_f64().unwrap() > 0.0,
        "the CLI counts it: {answering}"
    );
    // While a question waits for its answer.
    let asking = boss
        .begin(
            &call("Bash", &json!({"command": "touch never"})),
            json!({"permission_mode": "default"}),
        )
        .await;
    boss.until(&asking, "it asks", |task| {
        task["permission_requests"] != json!([])
    })
    .await;
    let asking = boss.interrupt(&asking).await;
    assert_eq!(
        (&asking["status"], &asking["permission_requests"]),
        (&json!("interrupted"), &json!([]))
    );
    assert!(!Path::new(&boss.work).join("never").exists());
    // While its call is upstream and not answered: the CLI reports nothing for it.
    let calls = server.upstream().stats().received;
    let silent = boss.begin("[[headers_ms=600000]]", json!({})).await;
    eventually("the model is called", || async {
        (server.upstream().stats().received > calls).then_some(())
    })
    .await;
    let silent = boss.interrupt(&silent).await;
    assert_eq!(
        (&silent["status"], &silent["progress"]["turns"]),
        (&json!("interrupted"), &json!(0))
    );
    // 12,000 tokens and more, written to the prompt cache for 0.125 dollars a million.
    assert!(
        silent["cost_usd"].as_f64().unwrap() >= 0.0015,
        "its prompt is paid: {silent}"
    );
    // Before anything was done: it may have been too late for that.
    let early = boss.begin("hi", json!({})).await;
    let (status, _) = boss
        .ask("POST", &format!("/v1/tasks/{early}/interrupt"), Value::Null)
        .await;
    let early = boss.ended(&early).await;
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
async fn a_question_is_answered_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await.start().await;
    let boss = Boss::new(server.url(""), &folder, json!({})).await;
    let prompt = call("Bash", &json!({"command": "touch made"}));
    for (decision, is_made) in [("deny", false), ("allow", true)] {
        let id = boss
            .begin(&prompt, json!({"permission_mode": "default"}))
            .await;
        let task = boss
            .until(&id, "it asks", |task| {
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
            boss.ask("POST", &path, json!({"decision": decision}))
                .await
                .0,
            200
        );
        assert_eq!(boss.ended(&id).await["status"], "completed");
        assert_eq!(
            Path::new(&boss.work).join("made").exists(),
            is_made,
            "{decision}"
        );
    }
    server.end().await;
}

/// Whether a file below a folder holds `text`.
fn holds(folder: &Path, text: &str) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_found = |path: &Path| {
        String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).contains(text)
    };
    entries.map(|entry| entry.path()).any(|path| {
        if path.is_dir() {
            holds(&path, text)
        } else {
            is_found(&path)
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_agent_reads_what_another_has_done_and_what_is_deleted_is_gone() {
    const SECRET: &str = "TANGERINE";
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await.start().await;
    let agents = server.data_dir().join("agents");
    let boss = Boss::new(server.url(""), &folder, json!({})).await;
    let other = Boss::new(server.url(""), &folder, json!({})).await;
    let id = boss
        .begin(&format!("[[say=\"{SECRET}\"]]"), json!({}))
        .await;
    assert_eq!(boss.ended(&id).await["result"], SECRET);
    assert!(holds(&agents, SECRET), "the CLI keeps its sessions there");
    let search = json!({"pattern": "TANG[E]RINE", "path": agents, "output_mode": "content"});
    let found = other
        .begin(&call("Grep", &search), json!({"preset": "read_only"}))
        .await;
    other.ended(&found).await;
    let told = other.told(&found, None).await;
    assert!(
        told.iter().any(|event| event["is_error"] == true),
        "{told:?}"
    );
    assert!(!json!(told).to_string().contains(SECRET));
    assert_eq!(
        boss.ask("DELETE", &format!("/v1/tasks/{id}"), Value::Null)
            .await
            .0,
        200
    );
    eventually("what was said is gone", || async {
        (!holds(&agents, SECRET)).then_some(())
    })
    .await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_servers_task_is_interrupted_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let first = server(&folder).await.spawn_in(&data).await;
    let boss = Boss::new(first.url(""), &folder, json!({})).await;
    let write = call(
        "Write",
        &json!({"file_path": Path::new(&boss.work).join("kept"), "content": "words"}),
    );
    let id = boss
        .begin(&format!("{write}{}", endless()), json!({}))
        .await;
    until_there(&Path::new(&boss.work).join("begun")).await;
    let heard = boss
        .until(&id, "it has told so", |task| {
            task["files"]["created"] != json!([])
        })
        .await;
    first.kill().await;

    let second = server(&folder).await.spawn_in(&data).await;
    let boss = Boss {
        base: second.url(""),
        ..boss
    };
    eventually("nothing of the first server is left", || async {
        let agents = workers_of(&data)
            .into_iter()
            .filter(|id| is_agent(*id))
            .count();
        (agents == 0).then_some(())
    })
    .await;
    let task = boss.get(&id).await;
    assert_eq!(
        (&task["status"], &task["error"]),
        (&json!("interrupted"), &Value::Null)
    );
    let told = boss.told(&id, None).await;
    assert!(told.len() as u64 > heard["progress"]["events"].as_u64().unwrap());
    assert_eq!(words(&told).last().unwrap(), "complete interrupted");

    let next = boss
        .begin(
            "[[echo_request]]",
            json!({"session_id": task["session_id"], "max_turns": 3}),
        )
        .await;
    let next = boss.ended(&next).await;
    assert_eq!(
        (&next["status"], &next["session_id"]),
        (&json!("completed"), &task["session_id"])
    );
    assert!(
        next["result"]
            .as_str()
            .unwrap()
            .contains("tail -f /dev/null"),
        "it knows what was done: {next}"
    );
    second.end().await;
}

/// Whether a process works on a task.
fn is_agent(id: i32) -> bool {
    let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
    environment
        .split(|byte| *byte == 0)
        .any(|variable| variable.starts_with(b"SWITCHBOARD_TASK="))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_interrupts_its_tasks() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let first = server(&folder).await.spawn_in(&data).await;
    let boss = Boss::new(first.url(""), &folder, json!({})).await;
    let running = boss.begin(&endless(), json!({})).await;
    until_there(&Path::new(&boss.work).join("begun")).await;
    let waiting = boss.begin("hi", json!({})).await;
    let url = format!("{}/v1/tasks/{running}/events", boss.base);
    let mut events = boss
        .http
        .get(url)
        .bearer_auth(&boss.key)
        .send()
        .await
        .unwrap()
        .bytes_stream();
    events.next().await.unwrap().unwrap();
    first.signal(Signal::TERM);
    let mut told = String::new();
    while let Some(Ok(bytes)) = events.next().await {
        told.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    assert!(
        told.contains("event: complete") && told.contains(r#""status":"interrupted""#),
        "{told}"
    );
    let ended = first.ended().await;
    assert!(
        ended.code == Some(0) && !ended.log.contains("without waiting"),
        "{}",
        ended.log
    );

    let second = server(&folder).await.spawn_in(&data).await;
    let boss = Boss {
        base: second.url(""),
        ..boss
    };
    assert_eq!(boss.get(&running).await["status"], "interrupted");
    assert_eq!(boss.get(&waiting).await["status"], "cancelled");
    second.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_of_its_own_hears_of_the_end() {
    let (sender, mut requests) = mpsc::unbounded_channel();
    let handler = async move |headers: HeaderMap, body: String| {
        sender
            .send((headers, serde_json::from_str::<Value>(&body).unwrap()))
            .unwrap();
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let router = Router::new().route("/hook", axum::routing::post(handler));
    TaskTracker::new().spawn(async move { axum::serve(listener, router).await });

    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder)
        .await
        .set("SWITCHBOARD_TASKS__WEBHOOK_HOSTS", "127.0.0.1")
        .start()
        .await;
    let boss = Boss::new(server.url(""), &folder, json!({})).await;
    let (_, task) = boss
        .order("[[say=\"secret words\"]]", json!({"webhook": {"url": url}}))
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
