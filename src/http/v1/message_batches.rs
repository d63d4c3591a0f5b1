//! `/v1/messages/batches` and its subpaths, of Anthropic's API.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Extension;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use futures::StreamExt as _;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;

use super::answer::describe;
use super::answer::json;
use crate::api::anthropic::Cursor;
use crate::api::anthropic::batches;
use crate::api::anthropic::batches::MessageBatch;
use crate::api::anthropic::batches::ProcessingStatus;
use crate::api::anthropic::batches::RequestCounts;
use crate::api::openai::batches::Batch;
use crate::api::openai::batches::BatchStatus;
use crate::domain::Caller;
use crate::domain::unix_now;
use crate::engine::gateway::TurnInfo;
use crate::http::Config;
use crate::http::error::ApiError;
use crate::http::extract::RequestBody;
use crate::http::state::ApiServices;
use crate::services::batches::BatchFamily;

const MESSAGES: BatchFamily = BatchFamily::Messages;

/// Creates a batch and starts it.
pub(in crate::http) async fn create_message_batch(
    State(ApiServices { batches, .. }): State<ApiServices>,
    State(config): State<Arc<Config>>,
    Extension(caller): Extension<Caller>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let (requests, remarks) = body.decode_by(config.policy, batches::create).await?;
    let requests = requests
        .into_iter()
        .map(|request| (request.custom_id, request.params));
    let batch = batches
        .create_message_batch(&caller, requests.collect())
        .await?;
    let mut response = render_batch(&batch);
    describe(&mut response, &TurnInfo::default(), &remarks);
    Ok(response)
}

/// Lists the batches of the caller's project.
pub(in crate::http) async fn list_message_batches(
    State(ApiServices { batches, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let cursor = Cursor::from_query(|name| query.get(name).map(String::as_str))?;
    let mut all = batches.list_all(&caller, MESSAGES).await?;
    all.reverse();
    let (page, has_more) = cursor.select_page(all, |batch| &batch.id)?;
    let page: Vec<_> = page.iter().map(to_anthropic).collect();
    Ok(json(batches::list(&page, has_more, unix_now())))
}

/// Returns the current state of a batch.
pub(in crate::http) async fn retrieve_message_batch(
    State(ApiServices { batches, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(render_batch(&batches.get(&caller, MESSAGES, &id).await?))
}

/// Cancels a batch.
pub(in crate::http) async fn cancel_message_batch(
    State(ApiServices { batches, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(render_batch(&batches.cancel(&caller, MESSAGES, &id).await?))
}

/// Deletes a finished batch.
pub(in crate::http) async fn delete_message_batch(
    State(ApiServices { batches, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    batches.delete(&caller, MESSAGES, &id).await?;
    Ok(json(batches::deleted(&id)))
}

/// Streams the results of a batch, one JSON line per request.
pub(in crate::http) async fn message_batch_results(
    State(ApiServices { batches, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let files = batches.open_outcomes(&caller, MESSAGES, &id).await?;
    let lines = files.into_iter().map(|file| {
        let lines = BufReader::new(file).lines();
        futures::stream::try_unfold(lines, async |mut lines| {
            let line = lines.next_line().await?;
            Ok::<_, std::io::Error>(
                line.map(|line| (batches::result_line(&line).unwrap_or_default(), lines)),
            )
        })
    });
    let body = Body::from_stream(futures::stream::iter(lines).flatten());
    Ok(([(header::CONTENT_TYPE, "application/x-jsonl")], body).into_response())
}

fn render_batch(batch: &Batch) -> Response {
    json(to_anthropic(batch).to_json(unix_now()))
}

/// Converts a batch to Anthropic's format. As in Anthropic's API, all requests count as processing
/// until the batch ends.
fn to_anthropic(batch: &Batch) -> MessageBatch {
    let counts = batch.request_counts;
    let rest = counts
        .total
        .saturating_sub(counts.completed + counts.failed);
    let ended = RequestCounts {
        succeeded: counts.completed,
        errored: counts.failed,
        ..RequestCounts::default()
    };
    let (status, counts) = match batch.status {
        BatchStatus::Completed => (ProcessingStatus::Ended, ended),
        BatchStatus::Failed => (
            ProcessingStatus::Ended,
            RequestCounts {
                errored: counts.failed + rest,
                ..ended
            },
        ),
        BatchStatus::Expired => (
            ProcessingStatus::Ended,
            RequestCounts {
                expired: rest,
                ..ended
            },
        ),
        BatchStatus::Cancelled => (
            ProcessingStatus::Ended,
            RequestCounts {
                canceled: rest,
                ..ended
            },
        ),
        BatchStatus::Cancelling => (ProcessingStatus::Canceling, processing(counts.total)),
        BatchStatus::Validating | BatchStatus::InProgress | BatchStatus::Finalizing => {
            (ProcessingStatus::InProgress, processing(counts.total))
        }
    };
    MessageBatch {
        id: batch.id.clone(),
        status,
        counts,
        created_at: batch.created_at,
        expires_at: batch.expires_at.unwrap_or(batch.created_at),
        ended_at: batch.ended_at(),
        cancel_initiated_at: batch.cancelling_at,
    }
}

fn processing(total: u64) -> RequestCounts {
    RequestCounts {
        processing: total,
        ..RequestCounts::default()
    }
}
