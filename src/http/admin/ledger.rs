//! `/admin/usage` and `/admin/ledger`: usage of all callers, and backup and verification of the
//! ledger.

use axum::extract::Query;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use serde_json::json as object;

use super::json;
use crate::accounts::ledger::Error;
use crate::accounts::ledger::LedgerReader;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;
use crate::http::report;
use crate::http::report::QueryParameters;
use crate::http::report::ReportRequest;

const PARAMETERS: [&str; 5] = ["project_id", "key_id", "period", "group_by", "format"];

/// Returns the usage of all callers, or of one project or key. Unknown ids yield an empty report.
pub(super) async fn usage(
    State(ledger): State<LedgerReader>,
    Query(parameters): Query<QueryParameters>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let ReportRequest { query, format } = ReportRequest::read(&parameters, &headers, &PARAMETERS)?;
    Ok(report::response(
        format,
        &ledger.usage(&query).await.map_err(with_hint)?,
        None,
    ))
}

/// Returns a consistent export of the whole ledger.
pub(super) async fn backup(State(ledger): State<LedgerReader>) -> Result<Response, ApiError> {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, ledger.backup().await.map_err(with_hint)?).into_response())
}

/// Verifies that the figures of the ledger agree.
pub(super) async fn verify(State(ledger): State<LedgerReader>) -> Result<Response, ApiError> {
    let found = ledger.verify().await.map_err(with_hint)?;
    let body = object!({
        "object": "ledger.verification",
        "charges": found.charges,
        "counters": found.counters,
        "holds": found.holds,
        "problems": found.problems,
    });
    Ok(json(StatusCode::OK, &body))
}

/// Converts an error with its hint, since callers of the admin API are operators.
fn with_hint(error: Error) -> ApiError {
    match error.hint() {
        None => error.into(),
        Some(hint) => ApiError::new(ErrorKind::Internal, format!("{error}; {hint}")),
    }
}
