//! Who asks.

use std::sync::Arc;

use axum::extract::Extension;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;

use super::access_log::Notes;
use crate::auth::AuthError;
use crate::auth::Keys;
use crate::http::error::ApiError;
use crate::http::error::Kind;
use crate::http::routes;

/// Lets in whoever has a key, and tells the handler who it is. The paths that are open to all have no caller.
pub(in crate::http) async fn layer(
    State(keys): State<Arc<Keys>>,
    Extension(notes): Extension<Notes>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if !routes::OPEN.contains(&request.uri().path()) {
        let headers = request.headers();
        let caller = keys
            .authenticate(text(headers, header::AUTHORIZATION.as_str()), text(headers, "x-api-key"))
            .map_err(ApiError::from)?;
        notes.caller(&caller);
        request.extensions_mut().insert(caller);
    }
    Ok(next.run(request).await)
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing => Self::new(
                Kind::MissingKey,
                "You didn't provide an API key. Send one of this server's keys as `Authorization: Bearer KEY` or `x-api-key: KEY`.",
            ),
            AuthError::Wrong => Self::new(
                Kind::WrongKey,
                "Incorrect API key provided. Ask whoever runs this server for one of its keys; \
                 keys of OpenAI or Anthropic do not work here.",
            ),
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
