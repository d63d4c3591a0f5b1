//! `/admin/cache`: statistics and clearing of the response cache.

use std::time::Duration;

use axum::extract::Query;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json as object;

use super::json;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::engine::gateway::AnswerCache;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;
use crate::http::report::QueryParameters;

/// `Retry-After` while the Redis of the shared answers does not answer: it is tried once a second.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Returns hits, misses and size of the response cache since the start of the server.
pub(super) async fn stats(State(cache): State<AnswerCache>) -> Response {
    let stats = cache.stats();
    let lookups = stats.hits + stats.misses;
    let ratio = if lookups == 0 {
        0.0
    } else {
        stats.hits as f64 / lookups as f64
    };
    let body = object!({
        "object": "cache",
        "hits": stats.hits,
        "misses": stats.misses,
        "bypassed": stats.bypassed,
        "hit_ratio": ratio,
        "entries": stats.entries,
        "bytes": stats.bytes,
    });
    json(StatusCode::OK, &body)
}

/// Clears the cached answers of one project, or of all, at all servers that share them.
pub(super) async fn clear(
    State(cache): State<AnswerCache>,
    Query(parameters): Query<QueryParameters>,
) -> Result<Response, ApiError> {
    let project = match parameters.as_slice() {
        [] => None,
        [(name, project)] if name == "project_id" => Some(project.as_str()),
        [(name, _), ..] => {
            let message = "There is one parameter here, once: `project_id`. Without it all answers are forgotten.";
            return Err(InvalidRequest::at(printable(name), code::UNKNOWN, message).into());
        }
    };
    if let Err(cause) = cache.clear_everywhere(project).await {
        let message = "The answers of this server are cleared. Those that it shares with other servers are not, because their Redis \
                       did not answer. Try again later. Operator: see its log.";
        return Err(ApiError::new(ErrorKind::StorageUnavailable, message)
            .retry_after(RETRY_AFTER)
            .caused_by(cause));
    }
    let body = object!({"object": "cache.cleared", "project_id": project, "cleared": true});
    Ok(json(StatusCode::OK, &body))
}
