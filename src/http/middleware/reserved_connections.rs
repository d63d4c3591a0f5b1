//! Restricts reserved connections to `/health`.

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

use crate::http::connection::Connection;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;

/// Path served on reserved connections.
const HEALTH: &str = "/health";
/// `Retry-After` of a refused request.
const RETRY: Duration = Duration::from_secs(1);

/// Refuses all paths but `/health` on a reserved connection.
pub(in crate::http) async fn layer(request: Request, next: Next) -> Result<Response, ApiError> {
    let is_spare = request
        .extensions()
        .get::<Connection>()
        .is_some_and(|connection| connection.is_spare);
    if is_spare && request.uri().path() != HEALTH {
        let message = "This server has as many connections as it can serve. Try again when some are closed, or keep fewer open.";
        return Err(ApiError::new(ErrorKind::TooManyConnections, message).retry_after(RETRY));
    }
    Ok(next.run(request).await)
}
