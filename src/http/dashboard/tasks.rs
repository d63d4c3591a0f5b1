//! `/dashboard/api/tasks` and `permissions`: the tasks of all keys, for the operator.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::Extension;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;

use super::owners::OwnerNames;
use super::task_conflicts;
use super::task_spans;
use crate::accounts::auth::Keys;
use crate::accounts::auth::Permission;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::api::request_schema::typed;
use crate::domain::unix_now;
use crate::http::AppState;
use crate::http::DashboardServices;
use crate::http::admin;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;
use crate::http::extract::RequestBody;
use crate::http::extract::number;
use crate::http::middleware::access_log::RequestNotes;
use crate::http::v1::tasks as public;
use crate::http::v1::tasks::EnabledTasks;
use crate::http::v1::tasks::FirstEvent;
use crate::services::tasks::OwnedTask;
use crate::services::tasks::Task;
use crate::services::tasks::Tasks;

const MAX_PAGE_SIZE: usize = 500;
const DEFAULT_PAGE_SIZE: usize = 200;
/// Maximum length of a prompt in the inbox, in characters.
const MAX_PROMPT_CHARACTERS: usize = 200;
/// Maximum length of a message to a task, in bytes.
const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// Fields of `POST /dashboard/api/tasks/{id}/messages`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageFields {
    text: String,
}

/// Renderer of tasks with their owners.
struct TaskView {
    tasks: Tasks,
    keys: Arc<Keys>,
    names: OwnerNames,
}

/// Lists the tasks: unfinished ones first, then the newest first.
pub(super) async fn list_tasks(
    EnabledTasks(tasks): EnabledTasks,
    Extension(dashboard): Extension<DashboardServices>,
    State(keys): State<Arc<Keys>>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let limit = number(&query, "limit", 1..=MAX_PAGE_SIZE)?.unwrap_or(DEFAULT_PAGE_SIZE);
    let mut all = tasks.list_all_owners().await?;
    let has_more = all.len() > limit;
    all.truncate(limit);
    let view = TaskView::new(tasks, keys, &dashboard).await?;
    let rows: Vec<Value> = all.iter().map(|found| view.render(found)).collect();
    let shown: Vec<&Task> = all.iter().map(|found| &found.task).collect();
    let body = json!({
        "object": "list",
        "now": unix_now(),
        "has_more": has_more,
        "permission_timeout_seconds": view.tasks.permission_timeout_seconds(),
        "data": rows,
        "conflicts": task_conflicts::render_conflicts(&shown),
    });
    Ok(admin::json(StatusCode::OK, &body))
}

/// Returns one task.
pub(super) async fn retrieve_task(
    EnabledTasks(tasks): EnabledTasks,
    Extension(dashboard): Extension<DashboardServices>,
    State(keys): State<Arc<Keys>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let found = tasks.find(&id).await?;
    let view = TaskView::new(tasks, keys, &dashboard).await?;
    Ok(admin::json(StatusCode::OK, &view.render(&found)))
}

/// Streams the past and future events of a task until it ends.
pub(super) async fn stream_events(
    EnabledTasks(tasks): EnabledTasks,
    State(state): State<AppState>,
    Extension(notes): Extension<RequestNotes>,
    Path(id): Path<String>,
    FirstEvent(first): FirstEvent,
) -> Result<Response, ApiError> {
    let found = tasks.find(&id).await?;
    let follower = tasks.follow_found(found, first);
    Ok(public::stream_follower(
        follower,
        &state.config,
        state.drain_expired,
        notes,
    ))
}

/// Lists what the agent of a task did when.
pub(super) async fn list_spans(
    EnabledTasks(tasks): EnabledTasks,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let found = tasks.find(&id).await?;
    let body = task_spans::read_spans(&tasks, &found).await?;
    Ok(admin::json(StatusCode::OK, &body))
}

/// Asks a task to stop.
pub(super) async fn interrupt_task(
    EnabledTasks(tasks): EnabledTasks,
    Extension(dashboard): Extension<DashboardServices>,
    State(keys): State<Arc<Keys>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let found = tasks.find(&id).await?;
    tasks.interrupt_found(&found).await?;
    let view = TaskView::new(tasks, keys, &dashboard).await?;
    Ok(admin::json(StatusCode::OK, &view.render(&found)))
}

/// Creates a task that goes on with an ended one, for the same key.
pub(super) async fn continue_task(
    EnabledTasks(tasks): EnabledTasks,
    Extension(dashboard): Extension<DashboardServices>,
    State(keys): State<Arc<Keys>>,
    Path(id): Path<String>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let text = body.decode(message).await?;
    let OwnedTask { owner, task } = tasks.find(&id).await?;
    if !task.status.is_over() {
        return Err(still_running());
    }
    keys.refresh().await?;
    let caller = keys.caller_of_owner(&owner, Some(Permission::Tasks))?;
    let task = tasks.create(&caller, task.follow_up(text)).await?;
    let view = TaskView::new(tasks, keys, &dashboard).await?;
    let shown = view.render(&OwnedTask { owner, task });
    Ok(admin::json(StatusCode::CREATED, &shown))
}

/// Answers a permission request of a task.
pub(super) async fn answer_permission(
    EnabledTasks(tasks): EnabledTasks,
    Path((id, question)): Path<(String, String)>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let answer = body.decode(public::decode_answer).await?;
    let found = tasks.find(&id).await?;
    let shown = public::view::answered(&question, &answer);
    tasks.answer_found(&found, &question, answer).await?;
    Ok(admin::json(StatusCode::OK, &shown))
}

/// Lists the open permission requests of all tasks, the oldest first.
pub(super) async fn list_permission_requests(
    EnabledTasks(tasks): EnabledTasks,
    Extension(dashboard): Extension<DashboardServices>,
    State(keys): State<Arc<Keys>>,
) -> Result<Response, ApiError> {
    let asking = tasks.list_asking();
    let view = TaskView::new(tasks, keys, &dashboard).await?;
    let mut rows: Vec<Value> = asking
        .iter()
        .flat_map(|found| view.render_requests(found))
        .collect();
    rows.sort_by_key(|row| row["asked_at"].as_u64());
    let body = json!({"object": "list", "now": unix_now(), "data": rows});
    Ok(admin::json(StatusCode::OK, &body))
}

impl TaskView {
    async fn new(
        tasks: Tasks,
        keys: Arc<Keys>,
        dashboard: &DashboardServices,
    ) -> Result<Self, ApiError> {
        let names = OwnerNames::read(&dashboard.admin.registry).await?;
        Ok(Self { tasks, keys, names })
    }

    /// Renders a task as its own client gets it, with what only the operator sees.
    fn render(&self, found: &OwnedTask) -> Value {
        let OwnedTask { owner, task } = found;
        let mut value = public::view::task(task);
        let cost = self.tasks.cost_so_far(task);
        value["owner"] = self.names.render(&self.keys, owner);
        value["spent_nano_usd"] = json!(cost.map(|cost| cost.nanos()));
        value["permission_requests"] = self.requests(task, &value["permission_requests"]);
        value
    }

    /// Adds the times of permission requests to the rendered ones.
    fn requests(&self, task: &Task, rendered: &Value) -> Value {
        let timeout = self.tasks.permission_timeout_seconds();
        let mut requests = rendered.clone();
        for request in requests.as_array_mut().into_iter().flatten() {
            let id = request["request_id"].as_str().unwrap_or_default();
            let asked_at = task.asked_at.get(id).copied();
            request["asked_at"] = json!(asked_at);
            request["expires_at"] = json!(asked_at.map(|asked| asked + timeout));
        }
        requests
    }

    /// Renders the open permission requests of a task, each with the task that it belongs to.
    fn render_requests(&self, found: &OwnedTask) -> Vec<Value> {
        let task = &found.task;
        let rendered = self.render(found);
        let requests = rendered["permission_requests"].as_array().into_iter();
        let prompt: String = task.prompt.chars().take(MAX_PROMPT_CHARACTERS).collect();
        let rows = requests.flatten().map(|request| {
            let mut row = request.clone();
            row["task_id"] = json!(task.id);
            row["project_id"] = json!(task.project);
            row["owner"] = rendered["owner"].clone();
            row["prompt"] = json!(prompt);
            row["workspace"] = rendered["workspace"].clone();
            row["model"] = json!(task.model);
            row
        });
        rows.collect()
    }
}

fn message(body: &[u8]) -> Result<String, InvalidRequest> {
    let fields: MessageFields = typed::parse_typed(body, "`text`")?;
    let is_good = !fields.text.trim().is_empty() && fields.text.len() <= MAX_MESSAGE_BYTES;
    is_good.then_some(fields.text).ok_or_else(|| {
        let message = "`text`: expected a text of 1 byte to 1 MiB.";
        InvalidRequest::at("text", code::VALUE, message)
    })
}

fn still_running() -> ApiError {
    ApiError::new(
        ErrorKind::TaskRunning,
        "The task has not ended, and takes no message. Interrupt it, or wait for its end; a message then becomes a task that \
         goes on in its session.",
    )
}
