//! Tests of tasks, with scripted agents.

mod chosen_ids;
mod families;
mod running;

use std::fmt::Write as _;

use super::*;
use crate::accounts::auth::FieldChange;
use crate::accounts::auth::KeyChange;
use crate::accounts::auth::Permission;
use crate::accounts::auth::RatesChange;
use crate::services::tasks::testing::TaskTestServer;

pub(crate) use crate::engine::agent::AgentEvent;
pub(crate) use crate::engine::agent::AgentStop;
pub(crate) use crate::engine::agent::PermissionDecision;
pub(crate) use crate::services::tasks::testing::AgentCall;
pub(crate) use crate::services::tasks::testing::AgentScript;

/// Server whose callers may have tasks: two keys that may, and one that may not.
pub(crate) struct TaskFixture {
    router: Router,
    pub(crate) server: TaskTestServer,
    pub(crate) keys: [String; 2],
    other: String,
    known: Keys,
    pub(crate) registry: Registry,
}

impl TaskFixture {
    pub(crate) async fn open() -> Self {
        let registry = Registry::temporary().await.unwrap();
        let key = async |permissions: FieldChange<Vec<Permission>>| {
            let change = KeyChange {
                name: Some("key".to_owned()),
                permissions,
                ..KeyChange::default()
            };
            registry
                .create_key("default".to_owned(), change)
                .await
                .unwrap()
                .1
                .reveal()
                .to_owned()
        };
        let may = || FieldChange::Set(vec![Permission::Tasks]);
        let keys = [key(may()).await, key(may()).await];
        let other = key(FieldChange::Keep).await;
        let known = Keys::none().with_stored(&registry);
        let server = TaskTestServer::for_keys(known.clone()).await;
        let turns = ScriptedTurns::playing(greeting_steps());
        let turns = gateway::testing::pipeline(turns, gateway::testing::admission_deps().await);
        let state = app_state(
            &ResponseTables::temporary(),
            turns,
            known.clone(),
            DrainExpired::default(),
        );
        let router = router(AppState {
            services: ApiServices {
                tasks: Some(server.tasks.clone()),
                ..state.services
            },
            ..state
        });
        Self {
            router,
            server,
            keys,
            other,
            known,
            registry,
        }
    }

    /// Adds the keys and tasks to `state`.
    pub(crate) fn state(&self, state: AppState) -> AppState {
        AppState {
            services: ApiServices {
                tasks: Some(self.server.tasks.clone()),
                ..state.services
            },
            keys: self.known.clone().into(),
            ..state
        }
    }

    async fn request_as(&self, key: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        let bearer = format!("Bearer {key}");
        let body_text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = request(method, path, &[("authorization", &bearer)], body_text);
        let response = send(self.router.clone(), request).await;
        (
            response.status().as_u16(),
            serde_json::from_str(&super::body(response).await).unwrap(),
        )
    }

    async fn request(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.request_as(&self.keys[0], method, path, body).await
    }

    /// Returns a request for a task with these fields beside the required ones.
    fn order(&self, fields: Value) -> Value {
        let mut body =
            json!({"prompt": "do it", "workspace": self.server.folder.path(), "preset": "edit"});
        let Value::Object(fields) = fields else {
            panic!("no fields")
        };
        body.as_object_mut().unwrap().extend(fields);
        body
    }

    /// Creates a task, and returns it with the handle that drives its agent.
    pub(crate) async fn start_task(&mut self, fields: Value) -> (String, AgentScript) {
        let (status, task) = self.request("POST", "/v1/tasks", self.order(fields)).await;
        assert_eq!(status, 201, "{task}");
        (
            task["id"].as_str().unwrap().to_owned(),
            self.server.agents.recv().await.unwrap(),
        )
    }

    async fn events(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let bearer = format!("Bearer {}", self.keys[0]);
        let headers: Vec<_> = headers
            .iter()
            .copied()
            .chain([("authorization", &*bearer)])
            .collect();
        send(
            self.router.clone(),
            request("GET", path, &headers, Body::empty()),
        )
        .await
    }

    /// Waits until a task fulfills the condition.
    async fn wait_until(&self, id: &str, condition: impl Fn(&Value) -> bool) -> Value {
        loop {
            let (_, task) = self
                .request("GET", &format!("/v1/tasks/{id}"), json!(null))
                .await;
            if condition(&task) {
                return task;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Removes the fields that differ from run to run.
fn steady(text: &str) -> String {
    let mut steady = String::new();
    for line in text.lines() {
        let Some(json) = line.strip_prefix("data: ") else {
            writeln!(steady, "{line}").unwrap();
            continue;
        };
        let mut event: Value = serde_json::from_str(json).unwrap();
        let created_at = event["created_at"].as_u64().unwrap();
        let created_at_ms = event["created_at_ms"].as_u64().unwrap();
        assert!(created_at > 0 && created_at_ms / 1000 == created_at);
        assert!(event["task_id"].as_str().is_some());
        let differing = ["created_at", "created_at_ms", "task_id"];
        let fields = event.as_object_mut().unwrap();
        fields.retain(|name, _| !differing.contains(&&**name));
        writeln!(steady, "data: {event}").unwrap();
    }
    steady
}

#[tokio::test(start_paused = true)]
async fn task_is_created_followed_and_deleted() {
    let mut fixture = TaskFixture::open().await;
    let (id, agent) = fixture
        .start_task(json!({"max_turns": 9, "max_budget_usd": 0.5, "system_prompt": "Brief."}))
        .await;
    assert_eq!(
        (agent.job.model.as_str(), agent.job.max_turns),
        ("claude-sonnet-5-5", Some(9))
    );
    agent.emit(AgentEvent::Message("hm".to_owned()));
    agent.emit(AgentEvent::ToolUse {
        id: "toolu_1".to_owned(),
        name: "Bash".to_owned(),
        input: "{}".to_owned(),
    });
    let task = fixture
        .wait_until(&id, |task| task["progress"]["tools"] == json!(["Bash"]))
        .await;
    assert_eq!(
        (&task["status"], &task["result"]),
        (&json!("running"), &Value::Null)
    );
    agent.end(AgentStop::Completed, "0.25");
    let events = fixture.events(&format!("/v1/tasks/{id}/events"), &[]).await;
    assert_eq!(
        events.headers()["content-type"],
        "text/event-stream; charset=utf-8"
    );
    insta::assert_snapshot!(steady(&body(events).await), @r#"
    id: 0
    event: progress
    data: {"sequence_number":0,"status":"running","turns":0,"type":"progress","usage":{"input_tokens":0,"input_tokens_details":{"cache_write_tokens":0,"cached_tokens":0},"output_tokens":0,"total_tokens":0}}

    id: 1
    event: message
    data: {"sequence_number":1,"text":"hm","type":"message"}

    id: 2
    event: tool_use
    data: {"id":"toolu_1","input":{},"name":"Bash","path":null,"sequence_number":2,"type":"tool_use"}

    id: 3
    event: complete
    data: {"result":"words","sequence_number":3,"status":"completed","type":"complete"}
    "#);
    let (_, list) = fixture
        .request("GET", "/v1/tasks?limit=1", json!(null))
        .await;
    assert_eq!(
        (&list["data"][0]["id"], &list["has_more"]),
        (&json!(id), &json!(false))
    );
    let (status, deleted) = fixture
        .request("DELETE", &format!("/v1/tasks/{id}"), json!(null))
        .await;
    assert_eq!(
        (status, deleted),
        (
            200,
            json!({"id": id, "task_id": id, "object": "task.deleted", "deleted": true})
        )
    );
    assert_eq!(
        fixture
            .request("GET", &format!("/v1/tasks/{id}"), json!(null))
            .await
            .0,
        404
    );
}

#[tokio::test(start_paused = true)]
async fn task_shows_its_outcome() {
    let mut fixture = TaskFixture::open().await;
    let (id, agent) = fixture
        .start_task(json!({"max_turns": 9, "max_budget_usd": 0.5, "system_prompt": "B"}))
        .await;
    agent.end(AgentStop::Completed, "0.25");
    let mut task = fixture
        .wait_until(&id, |task| task["status"] == "completed")
        .await;
    assert_eq!(
        fixture
            .request("GET", &format!("/api/v1/tasks/{id}"), json!(null))
            .await
            .1,
        task
    );
    for name in [
        "id",
        "task_id",
        "created_at",
        "started_at",
        "ended_at",
        "workspace",
        "session_id",
    ] {
        assert!(!task[name].take().is_null(), "{name}");
    }
    insta::assert_snapshot!(serde_json::to_string_pretty(&task).unwrap(), @r#"
    {
      "child_task_ids": [],
      "cost_usd": 0.25,
      "created_at": null,
      "ended_at": null,
      "error": null,
      "family": null,
      "files": {
        "created": [],
        "modified": []
      },
      "id": null,
      "max_budget_usd": 0.5,
      "max_turns": 9,
      "model": "haiku",
      "object": "task",
      "parent_task_id": null,
      "permission_mode": "acceptEdits",
      "permission_requests": [],
      "progress": {
        "events": 2,
        "tools": [],
        "turns": 1
      },
      "project_id": "default",
      "prompt": "do it",
      "result": "words",
      "session_id": null,
      "started_at": null,
      "status": "completed",
      "system_prompt": "B",
      "task_id": null,
      "timeout_seconds": 60,
      "tools": [
        "Read",
        "Glob",
        "Grep",
        "Edit",
        "Write",
        "NotebookEdit"
      ],
      "usage": {
        "input_tokens": 7,
        "input_tokens_details": {
          "cache_write_tokens": 0,
          "cached_tokens": 0
        },
        "output_tokens": 3,
        "total_tokens": 10
      },
      "webhook": null,
      "workspace": null
    }
    "#);
}

#[tokio::test(start_paused = true)]
async fn tasks_are_per_key_and_need_the_permission() {
    let mut fixture = TaskFixture::open().await;
    let (id, _agent) = fixture.start_task(json!({})).await;
    let paths = [
        ("GET", format!("/v1/tasks/{id}")),
        ("DELETE", format!("/v1/tasks/{id}")),
        ("POST", format!("/v1/tasks/{id}/interrupt")),
        ("POST", format!("/v1/tasks/{id}/interrupt?cascade=true")),
        ("GET", format!("/v1/tasks/{id}/events")),
        ("POST", format!("/v1/tasks/{id}/permissions/q")),
    ];
    for (method, path) in &paths {
        let (status, error) = fixture
            .request_as(&fixture.keys[1], method, path, json!({"decision": "allow"}))
            .await;
        assert_eq!(
            (status, &error["error"]["code"]),
            (404, &json!("task_not_found")),
            "{method} {path}"
        );
        let (status, error) = fixture
            .request_as(&fixture.other, method, path, json!({"decision": "allow"}))
            .await;
        assert_eq!(
            (status, &error["error"]["code"]),
            (403, &json!("insufficient_permissions"))
        );
    }
    assert_eq!(
        fixture
            .request_as(&fixture.keys[1], "GET", "/v1/tasks", json!(null))
            .await
            .1["data"],
        json!([])
    );
    assert_eq!(
        fixture
            .request_as(
                &fixture.other,
                "POST",
                "/v1/tasks",
                fixture.order(json!({}))
            )
            .await
            .0,
        403
    );
}

#[tokio::test]
async fn tasks_are_off_without_configured_folders() {
    let registry = Registry::temporary().await.unwrap();
    let permissions = FieldChange::Set(vec![Permission::Tasks]);
    let change = KeyChange {
        name: Some("key".to_owned()),
        permissions,
        ..KeyChange::default()
    };
    let key = registry
        .create_key("default".to_owned(), change)
        .await
        .unwrap()
        .1;
    let keys = Keys::none().with_stored(&registry);
    let turns = ScriptedTurns::playing([]);
    let router = router(app_state(
        &ResponseTables::temporary(),
        turns,
        keys,
        DrainExpired::default(),
    ));
    let bearer = format!("Bearer {}", key.reveal());
    let response = send(
        router,
        request("POST", "/v1/tasks", &[("authorization", &bearer)], "{}"),
    )
    .await;
    let (status, error) = error(response).await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (404, &json!("tasks_disabled"))
    );
}

#[tokio::test(start_paused = true)]
async fn invalid_task_request_names_the_field() {
    let fixture = TaskFixture::open().await;
    let root = fixture.server.folder.path().to_owned();
    for (fields, status, param) in [
        (json!({"prompt": " "}), 400, "prompt"),
        (json!({"prompt": null}), 400, "prompt"),
        (json!({"workspace": null}), 400, "workspace"),
        (json!({"workspace": "relative"}), 400, "workspace"),
        (json!({"workspace": "/etc"}), 400, "workspace"),
        (json!({"workspace": root.join("..")}), 400, "workspace"),
        (json!({"workspace": root.join("missing")}), 400, "workspace"),
        (json!({"model": "gemini-9"}), 404, "model"),
        (json!({"model": ""}), 400, "model"),
        (json!({"preset": "all"}), 400, "preset"),
        (json!({"permission_mode": "yolo"}), 400, "permission_mode"),
        (json!({"tools": ["Bash"]}), 400, "tools"),
        (json!({"tools": {"allow": ["Shell"]}}), 400, "tools"),
        (json!({"tools": {"allow": [1]}}), 400, "tools.allow"),
        (json!({"tools": {"only": []}}), 400, "tools.only"),
        (json!({"max_turns": 0}), 400, "max_turns"),
        (json!({"max_budget_usd": 0}), 400, "max_budget_usd"),
        (json!({"max_budget_usd": "a lot"}), 400, "max_budget_usd"),
        (json!({"timeout_seconds": 61}), 400, "timeout_seconds"),
        (json!({"session_id": "x"}), 400, "session_id"),
        (
            json!({"session_id": "6a0e3a0e-8f5c-4d1b-9d3c-0a4f4d1f7c11"}),
            404,
            "session_id",
        ),
        (json!({"parent_task_id": 5}), 400, "parent_task_id"),
        (json!({"parent_task_id": "x"}), 404, "parent_task_id"),
        (json!({"webhook": {}}), 400, "webhook.url"),
        (json!({"webhook": {"url": "ftp://x"}}), 400, "webhook.url"),
        (
            json!({"webhook": {"url": "https://169.254.169.254/"}}),
            400,
            "webhook.url",
        ),
        (json!({"max_turn": 1}), 400, "max_turn"),
    ] {
        let (found, error) = fixture
            .request("POST", "/v1/tasks", fixture.order(fields.clone()))
            .await;
        assert_eq!(
            (found, &error["error"]["param"]),
            (status, &json!(param)),
            "{fields}: {error}"
        );
    }
    let (status, error) = fixture
        .request(
            "POST",
            "/v1/tasks",
            fixture.order(json!({"project_id": "other"})),
        )
        .await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (403, &json!("mismatched_project"))
    );
}

#[tokio::test(start_paused = true)]
async fn presets_and_lists_select_the_tools_of_an_agent() {
    let mut fixture = TaskFixture::open().await;
    for (fields, tools, mode) in [
        (
            json!({"preset": null}),
            json!(["Read", "Glob", "Grep"]),
            "dontAsk",
        ),
        (
            json!({"tools": {"deny": ["NotebookEdit"]}}),
            json!(["Read", "Glob", "Grep", "Edit", "Write"]),
            "acceptEdits",
        ),
        (
            json!({"tools": {"allow": ["Bash"]}, "permission_mode": "default"}),
            json!(["Bash"]),
            "default",
        ),
    ] {
        let (id, agent) = fixture.start_task(fields).await;
        agent.end(AgentStop::Completed, "0.01");
        let task = fixture
            .wait_until(&id, |task| task["status"] == "completed")
            .await;
        assert_eq!(
            (&task["tools"], &task["permission_mode"]),
            (&tools, &json!(mode))
        );
    }
    let (_, task) = fixture
        .request(
            "POST",
            "/v1/tasks",
            fixture.order(json!({"webhook": {"url": "https://hooks.example.com/a"}})),
        )
        .await;
    assert!(
        task["webhook"]["secret"]
            .as_str()
            .unwrap()
            .starts_with("whsec_"),
        "{task}"
    );
    let (_, again) = fixture
        .request(
            "GET",
            &format!("/v1/tasks/{}", task["id"].as_str().unwrap()),
            json!(null),
        )
        .await;
    assert_eq!(
        again["webhook"],
        json!({"url": "https://hooks.example.com/a"})
    );
}

/// Waiting for the second body would end with a 408.
#[tokio::test(start_paused = true)]
async fn rate_limit_of_tasks_is_checked_before_the_body_is_read() {
    let fixture = TaskFixture::open().await;
    let change = KeyChange {
        name: Some("limited".to_owned()),
        permissions: FieldChange::Set(vec![Permission::Tasks]),
        rates: RatesChange {
            requests_per_minute: FieldChange::Set(1),
            ..RatesChange::default()
        },
        ..KeyChange::default()
    };
    let made = fixture
        .registry
        .create_key("default".to_owned(), change)
        .await;
    let bearer = format!("Bearer {}", made.unwrap().1.reveal());
    let never = stream::pending::<Result<bytes::Bytes, std::io::Error>>();
    for (body, expected) in [
        (Body::from("{}"), StatusCode::BAD_REQUEST),
        (Body::from_stream(never), StatusCode::TOO_MANY_REQUESTS),
    ] {
        let request = request("POST", "/v1/tasks", &[("authorization", &bearer)], body);
        let response = send(fixture.router.clone(), request).await;
        assert_eq!(response.status(), expected);
    }
}
