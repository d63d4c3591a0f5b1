//! Requests about work that another server runs, and requests that other servers have passed on.

use std::collections::HashMap;
use std::sync::Arc;

use axum::RequestExt as _;
use axum::extract::FromRequest as _;
use axum::extract::MatchedPath;
use axum::extract::Query;
use axum::extract::RawPathParams;
use axum::extract::Request;
use axum::extract::State;
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;

use crate::accounts::auth::Keys;
use crate::accounts::ledger::WorkKind;
use crate::accounts::ledger::WorkOwner;
use crate::domain::Caller;
use crate::http::Config;
use crate::http::error::ApiError;
use crate::http::extract::RequestBody;
use crate::http::pass_on::NodeLink;
use crate::http::pass_on::headers::NODE;
use crate::http::pass_on::passed_request::PassedOnRequest;
use crate::http::state::AppState;
use crate::services::responses::Responses;
use crate::services::tasks::Tasks;

/// Route of a task.
const TASK: &str = "/v1/tasks/{id}";
/// Routes that cancel a batch.
const CANCEL_BATCH: &str = "/v1/batches/{id}/cancel";
const CANCEL_MESSAGE_BATCH: &str = "/v1/messages/batches/{id}/cancel";

/// State of the layer that passes requests on.
#[derive(Debug, Clone)]
pub(in crate::http) struct PassOnLayer {
    link: NodeLink,
    keys: Arc<Keys>,
    responses: Responses,
    tasks: Option<Tasks>,
    config: Arc<Config>,
}

impl PassOnLayer {
    pub(in crate::http) fn new(state: &AppState) -> Self {
        Self {
            link: state.link.clone(),
            keys: Arc::clone(&state.keys),
            responses: state.services.responses.clone(),
            tasks: state.services.tasks.clone(),
            config: Arc::clone(&state.config),
        }
    }

    /// Returns the other server that runs the work that `request` is about; `None` if this server
    /// answers. That is also so while the records cannot be read, if the work runs here.
    async fn find_owner(&self, request: &mut Request) -> Result<Option<WorkOwner>, ApiError> {
        let is_passed = request.extensions().get::<PassedOnRequest>().is_some();
        if is_passed || !self.link.is_on() {
            return Ok(None);
        }
        let kind = running_work(request);
        let caller = request.extensions().get::<Caller>().cloned();
        let (Some(kind), Some(caller)) = (kind, caller) else {
            return Ok(None);
        };
        let Some(id) = id_in_path(request).await else {
            return Ok(None);
        };
        let found = self.owner_of_work(kind, &caller, &id).await;
        if found.is_err() && self.answers_alone(kind, request.method(), &caller, &id) {
            return Ok(None);
        }
        found
    }

    /// Returns the other server that runs the work `id` of `caller`; `None` if there is none.
    async fn owner_of_work(
        &self,
        kind: WorkKind,
        caller: &Caller,
        id: &str,
    ) -> Result<Option<WorkOwner>, ApiError> {
        let (owner, id) = match (kind, &self.tasks) {
            (WorkKind::Response, _) => (self.keys.owner_id(caller), id.to_owned()),
            (WorkKind::Batch, _) => (caller.project.clone(), id.to_owned()),
            (WorkKind::Task, Some(tasks)) => tasks.work_name(caller, id).await?,
            (WorkKind::Task, None) => return Ok(None),
        };
        self.link.owner_of(kind, &owner, &id).await
    }

    /// Returns true if this server runs the work `id` of `caller`, and a request about it with this method
    /// needs no records.
    fn answers_alone(&self, kind: WorkKind, method: &Method, caller: &Caller, id: &str) -> bool {
        match kind {
            // A cancellation waits for an end that has to be stored.
            WorkKind::Response => method == Method::GET && self.responses.is_running(caller, id),
            WorkKind::Task => {
                let tasks = self.tasks.as_ref();
                method != Method::DELETE && tasks.is_some_and(|it| it.is_running(caller, id))
            }
            WorkKind::Batch => false,
        }
    }

    /// Passes `request` on to the server `node` at `address`.
    async fn pass_on(
        &self,
        node: &str,
        address: &str,
        request: Request,
    ) -> Result<Response, ApiError> {
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts.clone(), body);
        let body = RequestBody::from_request(request, &self.config).await?;
        let passed = self
            .link
            .pass_on((node, address), &parts, body.bytes().clone());
        let answer = passed.await;
        drop(body);
        answer
    }

    /// Passes `request`, which needs no body, on to the server `node` at `address`, or answers it from
    /// the records if that server does not answer.
    async fn pass_on_or_answer(
        &self,
        node: &str,
        address: &str,
        request: Request,
        next: Next,
    ) -> Response {
        let (parts, body) = request.into_parts();
        let passed = self.link.pass_on((node, address), &parts, Bytes::new());
        match passed.await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(
                    error = error.log_text(),
                    "request answered from the records"
                );
                next.run(Request::from_parts(parts, body)).await
            }
        }
    }
}

/// Takes the headers of the link out of each request. A request that another server has passed on is
/// marked, and so is its answer.
pub(in crate::http) async fn guard_layer(
    State(link): State<NodeLink>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let Some(name) = link.accept(request.headers_mut())? else {
        return Ok(next.run(request).await);
    };
    request.extensions_mut().insert(PassedOnRequest);
    let mut response = next.run(request).await;
    response.headers_mut().insert(NODE, name);
    Ok(response)
}

/// Passes requests about running work on to the server that runs it.
pub(in crate::http) async fn layer(
    State(layer): State<PassOnLayer>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let owner = layer.find_owner(&mut request).await?;
    let has_records = has_records(&request);
    match owner {
        Some(WorkOwner::Live {
            node,
            address: Some(address),
        }) if has_records => Ok(layer
            .pass_on_or_answer(&node, &address, request, next)
            .await),
        Some(WorkOwner::Live {
            node,
            address: Some(address),
        }) => layer.pass_on(&node, &address, request).await,
        Some(WorkOwner::Lost) if !has_records => Err(ApiError::lost_node()),
        Some(WorkOwner::Live { address: None, .. } | WorkOwner::Lost) | None => {
            Ok(next.run(request).await)
        }
    }
}

/// Returns the kind of the work that only the server that runs it can show as it is now or change, as
/// `request` asks; `None` for other requests.
fn running_work(request: &Request) -> Option<WorkKind> {
    let route = request.extensions().get::<MatchedPath>()?.as_str();
    Some(match (request.method(), route) {
        (&Method::GET, "/v1/responses/{id}") if asks_for_events(request) => WorkKind::Response,
        (&Method::POST, "/v1/responses/{id}/cancel") | (&Method::DELETE, "/v1/responses/{id}") => {
            WorkKind::Response
        }
        (&Method::POST, CANCEL_BATCH | CANCEL_MESSAGE_BATCH) => WorkKind::Batch,
        (&Method::GET, TASK | "/v1/tasks/{id}/events" | "/v1/tasks/{id}/ws")
        | (&Method::DELETE, TASK)
        | (&Method::POST, "/v1/tasks/{id}/interrupt" | "/v1/tasks/{id}/permissions/{request_id}") => {
            WorkKind::Task
        }
        _ => return None,
    })
}

/// Returns true if any server can answer `request` by the records.
///
/// A task is shown without the live state that only its own server has. A cancelled batch is written to
/// its record, which its own server reads.
fn has_records(request: &Request) -> bool {
    let route = request.extensions().get::<MatchedPath>();
    match route.map(MatchedPath::as_str) {
        Some(TASK) => *request.method() == Method::GET,
        Some(CANCEL_BATCH | CANCEL_MESSAGE_BATCH) => true,
        _ => false,
    }
}

/// Returns true if the query asks for the events of a response.
fn asks_for_events(request: &Request) -> bool {
    let query = Query::<HashMap<String, String>>::try_from_uri(request.uri());
    query.is_ok_and(|Query(query)| query.get("stream").is_some_and(|stream| stream == "true"))
}

async fn id_in_path(request: &mut Request) -> Option<String> {
    let parameters: RawPathParams = request.extract_parts().await.ok()?;
    let id = parameters.iter().find(|(name, _)| *name == "id");
    id.map(|(_, id)| id.to_owned())
}
