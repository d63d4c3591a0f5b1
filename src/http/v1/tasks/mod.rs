//! `/v1/tasks`, an API of this server: agents that work in folders of the server.

mod enabled;
mod events;
mod fields;
mod request;
mod socket;
pub(in crate::http) mod view;

use std::collections::HashMap;

use axum::extract::Extension;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::response::Response;

use self::request::CreateTaskRequest;
use super::answer::json;
use crate::accounts::auth;
use crate::accounts::auth::NewWebhook;
use crate::api::openai;
use crate::domain::Caller;
use crate::domain::Native;
use crate::domain::Part;
use crate::domain::Sampling;
use crate::domain::Tools;
use crate::domain::Turn;
use crate::engine::gateway::TurnPipeline;
use crate::http::error::ApiError;
use crate::http::extract::AdmittedCaller;
use crate::http::extract::RequestBody;
use crate::http::extract::boolean;
use crate::http::extract::page;
use crate::services::tasks::Task;
use crate::services::tasks::TaskSpec;
use crate::services::tasks::Tasks;

pub(in crate::http) use self::enabled::EnabledTasks;
pub(in crate::http) use self::events::FirstEvent;
pub(in crate::http) use self::events::stream_events;
pub(in crate::http) use self::events::stream_follower;
pub(in crate::http) use self::fields::DECISION;
pub(in crate::http) use self::fields::HANDOVER;
pub(in crate::http) use self::fields::SOCKET;
pub(in crate::http) use self::fields::TASK;
pub(in crate::http) use self::request::answer as decode_answer;
pub(in crate::http) use self::socket::open as open_socket;

const MAX_PAGE_SIZE: usize = 100;
const DEFAULT_PAGE_SIZE: usize = 20;

/// Creates a task, which starts when a slot is free.
pub(in crate::http) async fn create_task(
    EnabledTasks(tasks): EnabledTasks,
    State(turns): State<TurnPipeline>,
    AdmittedCaller(caller): AdmittedCaller,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let model = tasks.default_model().clone();
    let request = body
        .decode(move |body| request::create(body, &model))
        .await?;
    start_task(&tasks, &turns, &caller, request).await
}

/// Creates a task that continues the work of one that has ended.
pub(in crate::http) async fn hand_over_task(
    EnabledTasks(tasks): EnabledTasks,
    State(turns): State<TurnPipeline>,
    AdmittedCaller(caller): AdmittedCaller,
    Path(id): Path<String>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let model = tasks.default_model().clone();
    let first = id.clone();
    let CreateTaskRequest {
        spec,
        webhook,
        project,
    } = body
        .decode(move |body| request::hand_over(body, &first, &model))
        .await?;
    let request = CreateTaskRequest {
        spec: tasks.prepare_handover(&caller, &id, spec).await?,
        webhook,
        project,
    };
    start_task(&tasks, &turns, &caller, request).await
}

/// Resolves the model of a task and creates it.
async fn start_task(
    tasks: &Tasks,
    turns: &TurnPipeline,
    caller: &Caller,
    request: CreateTaskRequest,
) -> Result<Response, ApiError> {
    let CreateTaskRequest {
        mut spec,
        webhook,
        project,
    } = request;
    spec.model = turns
        .resolve(caller.clone(), as_turn(&spec, project))
        .await?;
    let endpoint = webhook.map(NewWebhook::endpoint).transpose();
    spec.webhook = endpoint.map_err(auth::Error::from)?;
    let (task, is_new) = tasks.create_once(caller, spec).await?;
    if !is_new {
        return Ok(shown(&task));
    }
    Ok((StatusCode::CREATED, json(view::created(&task).to_string())).into_response())
}

/// Builds the turn by which the model of a task is resolved and routed.
fn as_turn(spec: &TaskSpec, project: Option<String>) -> Turn {
    Turn {
        model: spec.model.clone(),
        system: spec.system_prompt.iter().cloned().collect(),
        tools: Tools::default(),
        history: Vec::new(),
        prompt: vec![Part::text(&spec.prompt)],
        sampling: Sampling::default(),
        project,
        native: Native::default(),
    }
}

/// Lists the caller's tasks, or those below one of them.
pub(in crate::http) async fn list_tasks(
    EnabledTasks(tasks): EnabledTasks,
    Extension(caller): Extension<Caller>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let mut page = page(&query, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)?;
    let list = match query.get("parent_task_id") {
        Some(parent) => tasks.list_children(&caller, parent).await?,
        None => tasks.list(&caller).await?,
    };
    if let Some(after) = &mut page.after
        && let Some(task) = list.iter().find(|task| task.task_id() == *after)
    {
        after.clone_from(&task.id);
    }
    let (list, has_more) = page.select(list, |task| Some(&task.id))?;
    let list: Vec<_> = list.iter().map(view::task).collect();
    Ok(json(openai::list_body(
        &list,
        |task| task["id"].as_str(),
        has_more,
    )))
}

/// Returns the current state of a task.
pub(in crate::http) async fn retrieve_task(
    EnabledTasks(tasks): EnabledTasks,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(shown(&tasks.get(&caller, &id).await?))
}

/// Asks a task to stop and, with `cascade`, all tasks below it.
pub(in crate::http) async fn interrupt_task(
    EnabledTasks(tasks): EnabledTasks,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let cascade = query.get("cascade");
    let cascade = cascade.map(|value| boolean("cascade", value)).transpose()?;
    let task = if cascade == Some(true) {
        tasks.interrupt_family(&caller, &id).await?
    } else {
        tasks.interrupt(&caller, &id).await?
    };
    Ok(shown(&task))
}

/// Deletes a task and its events.
pub(in crate::http) async fn delete_task(
    EnabledTasks(tasks): EnabledTasks,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(json(
        view::deleted(&tasks.delete(&caller, &id).await?).to_string(),
    ))
}

/// Answers a permission request of a task.
pub(in crate::http) async fn answer_permission(
    EnabledTasks(tasks): EnabledTasks,
    Extension(caller): Extension<Caller>,
    Path((id, question)): Path<(String, String)>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let answer = body.decode(request::answer).await?;
    let shown = view::answered(&question, &answer).to_string();
    tasks
        .answer_permission(&caller, &id, &question, answer)
        .await?;
    Ok(json(shown))
}

fn shown(task: &Task) -> Response {
    json(view::task(task).to_string())
}
