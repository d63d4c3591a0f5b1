//! `GET /v1/usage`, an API of this server: usage and remaining budget of the caller's project.

use axum::extract::Extension;
use axum::extract::Query;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::accounts::auth::AuthError;
use crate::accounts::ledger::LedgerReader;
use crate::domain::Caller;
use crate::http::error::ApiError;
use crate::http::report;
use crate::http::report::QueryParameters;
use crate::http::report::ReportRequest;

const PARAMETERS: [&str; 4] = ["project_id", "period", "group_by", "format"];

/// Returns the usage of all keys of the caller's project, since they share its budgets.
pub(in crate::http) async fn usage(
    State(ledger): State<LedgerReader>,
    Extension(caller): Extension<Caller>,
    Query(parameters): Query<QueryParameters>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let ReportRequest { mut query, format } =
        ReportRequest::read(&parameters, &headers, &PARAMETERS)?;
    if query
        .project
        .is_some_and(|project| !caller.is_in_project(&project))
    {
        return Err(ApiError::from(AuthError::ForeignProject).at("project_id"));
    }
    query.project = Some(caller.project.clone());
    let report = ledger.usage(&query).await?;
    let budgets = ledger.budgets(&caller).await?;
    Ok(report::response(format, &report, Some(&budgets)))
}
