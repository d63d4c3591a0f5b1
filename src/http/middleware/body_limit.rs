//! Size limit of request bodies, both compressed and unpacked.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::MatchedPath;
use axum::extract::Request;
use axum::extract::State;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::Limited;

use super::content_encoding;
use crate::http::Config;
use crate::http::bodies::Bodies;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;

/// Path of uploads, whose bodies are streamed to disk.
pub(in crate::http) const UPLOADS: &str = "/v1/files";
/// Allowance for the form around an uploaded file, in bytes.
const FORM_OVERHEAD_BYTES: u64 = 1 << 20;

/// State of the layer.
#[derive(Debug, Clone)]
pub(in crate::http) struct BodyLimits {
    config: Arc<Config>,
    bodies: Bodies,
}

impl BodyLimits {
    pub(in crate::http) fn new(config: &Arc<Config>) -> Self {
        Self {
            config: Arc::clone(config),
            bodies: Bodies::new(config.body_budget),
        }
    }
}

/// Refuses a body whose declared length is over the limit before reading it, and stops one that
/// exceeds the limit.
pub(in crate::http) async fn layer(
    State(BodyLimits { config, bodies }): State<BodyLimits>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let route = request.extensions().get::<MatchedPath>();
    let is_upload = route.is_some_and(|route| route.as_str() == UPLOADS);
    let limit = if is_upload {
        upload_form_limit(&config)
    } else {
        config.body_limit as u64
    };
    let length = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    if length
        .and_then(|length| length.parse::<u64>().ok())
        .is_some_and(|length| length > limit)
    {
        return Err(too_large(limit));
    }
    request.extensions_mut().insert(bodies);
    let max_bytes = usize::try_from(limit).unwrap_or(usize::MAX);
    let request = request.map(|body| Body::new(Limited::new(body, max_bytes)));
    Ok(next
        .run(content_encoding::unpack(request, max_bytes)?)
        .await)
}

/// Maximum size of a form with a file, in bytes.
pub(in crate::http) fn upload_form_limit(config: &Config) -> u64 {
    config.upload_limit.saturating_add(FORM_OVERHEAD_BYTES)
}

/// Error: the body is over `limit` bytes.
pub(in crate::http) fn too_large(limit: u64) -> ApiError {
    ApiError::new(
        ErrorKind::TooLarge,
        format!("The request body is larger than the {limit} bytes this server takes."),
    )
}
