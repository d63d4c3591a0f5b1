//! `/admin/doctor`: checks that the server makes of itself.

use std::sync::Arc;

use axum::extract::Query;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::to_value;

use super::json;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;
use crate::http::extract::boolean;
use crate::http::report::QueryParameters;
use crate::http::state::SetupDoctor;

/// Makes the checks and returns their report.
pub(super) async fn check(
    State(doctor): State<Option<Arc<dyn SetupDoctor>>>,
    Query(parameters): Query<QueryParameters>,
) -> Result<Response, ApiError> {
    let is_quick = is_quick(&parameters)?;
    let doctor = doctor.ok_or_else(|| {
        let message = "A command answers here, which has no setup to check. Ask a running server.";
        ApiError::new(ErrorKind::UnknownUrl, message)
    })?;
    let report = doctor.check(is_quick).await;
    let report = to_value(report).map_err(|error| {
        ApiError::new(ErrorKind::Internal, "The report cannot be written.").caused_by(error)
    })?;
    Ok(json(StatusCode::OK, &report))
}

/// Reads `quick`, the only parameter.
fn is_quick(parameters: &QueryParameters) -> Result<bool, InvalidRequest> {
    match parameters.as_slice() {
        [] => Ok(false),
        [(name, value)] if name == "quick" => boolean(name, value),
        [(name, _), ..] => {
            let message = "There is one parameter here, once: `quick`.";
            Err(InvalidRequest::at(printable(name), code::UNKNOWN, message))
        }
    }
}
