//! Extractors: request body, admitted caller, query parameters.

use std::collections::HashMap;
use std::error::Error;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRef;
use axum::extract::FromRequest;
use axum::extract::FromRequestParts;
use axum::extract::Request;
use axum::http::request::Parts;
use bytes::Bytes;
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use http_body_util::LengthLimitError;
use tokio::task::coop::consume_budget;
use tokio::task::yield_now;
use tokio::time::Instant;
use tokio::time::timeout_at;

use super::Config;
use super::bodies::Bodies;
use super::bodies::BodyReservation;
use super::error::ApiError;
use super::error::ErrorKind;
use super::middleware::body_limit;
use super::middleware::content_encoding::BrokenEncoding;
use crate::api::openai::PageRequest;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Policy;
use crate::api::request_schema::code;
use crate::domain::Caller;
use crate::engine::gateway::TurnPipeline;
use crate::runtime::compute::LARGE;

/// First reservation for a body of unknown size, in bytes; doubled each time that it is full.
const FIRST_RESERVATION: usize = 1 << 20;
/// Bytes after which reading a body yields to other tasks.
const YIELD_AFTER_BYTES: usize = 256 * 1024;

/// Whole request body. Its content type is ignored, because clients send JSON under any.
#[derive(Debug)]
pub(super) struct RequestBody {
    bytes: Bytes,
    /// Reserved memory of a large body; `None` for a small one.
    reservation: Option<BodyReservation>,
}

impl RequestBody {
    /// Returns the bytes of the body, which has to be kept as long as they are used: it holds the
    /// memory that is reserved for them.
    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Decodes the body with `decode`; a large body waits for a decoder and is decoded off the
    /// threads that serve connections.
    pub(super) async fn decode<T, E>(
        self,
        decode: impl FnOnce(&[u8]) -> Result<T, E> + Send + 'static,
    ) -> Result<T, ApiError>
    where
        T: Send + 'static,
        E: Into<ApiError> + Send + 'static,
    {
        let Self {
            bytes,
            reservation: room,
        } = self;
        // The body is dropped on the thread that decodes it, as soon as that is done.
        let work = move || decode(&bytes);
        match room {
            None => work(),
            Some(room) => room.decode(work).await?,
        }
        .map_err(E::into)
    }

    /// Decodes the body like [`decode`](Self::decode), with a `decode` that takes the policy for
    /// unknown fields.
    pub(super) async fn decode_by<T, E>(
        self,
        policy: Policy,
        decode: impl FnOnce(&[u8], Policy) -> Result<T, E> + Send + 'static,
    ) -> Result<T, ApiError>
    where
        T: Send + 'static,
        E: Into<ApiError> + Send + 'static,
    {
        self.decode(move |body| decode(body, policy)).await
    }
}

/// Caller admitted by the rate limits. Must precede the body among a handler's arguments.
pub(super) struct AdmittedCaller(pub(super) Caller);

impl<S> FromRequestParts<S> for AdmittedCaller
where
    S: Send + Sync,
    TurnPipeline: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let caller = parts
            .extensions
            .get::<Caller>()
            .cloned()
            .ok_or_else(missing_layers)?;
        Ok(Self(TurnPipeline::from_ref(state).enter(caller).await?))
    }
}

impl<S> FromRequest<S> for RequestBody
where
    S: Send + Sync,
    Arc<Config>: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let config = Arc::<Config>::from_ref(state);
        let extensions = request.extensions();
        let bodies = extensions
            .get::<Bodies>()
            .cloned()
            .ok_or_else(missing_layers)?;
        let name = extensions
            .get::<Caller>()
            .map_or_else(String::new, |caller| caller.name.clone());
        read(request.into_body(), &config, &bodies, &name).await
    }
}

/// Reads `body` of the key `name`, reserving memory of `bodies` if it is large.
async fn read(
    mut body: Body,
    config: &Config,
    bodies: &Bodies,
    name: &str,
) -> Result<RequestBody, ApiError> {
    let size = http_body::Body::size_hint(&body)
        .exact()
        .and_then(|size| usize::try_from(size).ok());
    let mut room = None;
    if let Some(size) = size.filter(|size| *size > LARGE) {
        room = Some(bodies.reserve(name, size).await?);
    }
    // `Content-Length` is trusted for the allocation only after the memory is reserved.
    let mut whole = BytesMut::with_capacity(size.unwrap_or(0));
    let mut stretch = 0;
    let mut deadline = Instant::now() + config.body_read_timeout;
    loop {
        let pause = Instant::now() + config.body_pause_timeout;
        let Ok(frame) = timeout_at(pause.min(deadline), body.frame()).await else {
            return Err(late_body(config, pause < deadline));
        };
        match frame {
            Some(Ok(frame)) => {
                let Some(data) = frame.data_ref() else {
                    continue;
                };
                let needed = whole.len() + data.len();
                if needed > room.as_ref().map_or(LARGE, BodyReservation::bytes) {
                    let asked = Instant::now();
                    let next = room
                        .as_ref()
                        .map_or(FIRST_RESERVATION, |room| room.bytes() * 2);
                    let next = next.min(config.body_limit).max(needed);
                    match &mut room {
                        None => room = Some(bodies.reserve(name, next).await?),
                        Some(room) => room.grow(next).or_else(|_| room.grow(needed))?,
                    }
                    // Waiting for memory does not count against the client's time to send.
                    deadline += asked.elapsed();
                }
                whole.extend_from_slice(data);
                stretch += data.len();
                if stretch >= YIELD_AFTER_BYTES {
                    stretch = 0;
                    yield_now().await;
                }
                // A highly compressed body may never be pending, so the task budget is consumed
                // explicitly.
                consume_budget().await;
            }
            Some(Err(error)) => return Err(unreadable_body(error, config.body_limit as u64)),
            None => {
                if let Some(room) = &mut room {
                    room.shrink(whole.len());
                }
                return Ok(RequestBody {
                    bytes: whole.freeze(),
                    reservation: room,
                });
            }
        }
    }
}

/// Error: the handler runs without the layers of [`routes`](super::routes).
fn missing_layers() -> ApiError {
    ApiError::new(ErrorKind::Internal, "This server is put together wrongly.")
}

/// Error: the body paused for too long, or was not complete in time.
fn late_body(config: &Config, has_paused: bool) -> ApiError {
    if has_paused {
        return paused_body(config.body_pause_timeout);
    }
    let limit = config.body_read_timeout;
    body_timeout(&format!("was not complete after {limit:?}"))
}

fn body_timeout(what: &str) -> ApiError {
    ApiError::new(ErrorKind::BodyTimeout, format!("The request body {what}."))
}

/// Error: no chunk of the body arrived within `limit`.
pub(super) fn paused_body(limit: Duration) -> ApiError {
    body_timeout(&format!("paused for {limit:?}"))
}

/// Error: the body cannot be read because of `error`: over `limit` bytes, incomplete, or wrongly
/// compressed.
pub(super) fn unreadable_body(error: impl Error + Send + Sync + 'static, limit: u64) -> ApiError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(this) = cause {
        if this.is::<LengthLimitError>() {
            return body_limit::too_large(limit);
        }
        if let Some(broken) = this.downcast_ref::<BrokenEncoding>() {
            return wrongly_encoded(broken.encoding).caused_by(error);
        }
        cause = this.source();
    }
    ApiError::new(
        ErrorKind::BodyUnreadable,
        "The request body stopped before its end.",
    )
    .caused_by(error)
}

fn wrongly_encoded(encoding: &str) -> ApiError {
    let message = format!(
        "The request body is no valid {encoding}, which its `Content-Encoding` says it is. Compress it whole, or send it plain \
         without the header."
    );
    ApiError::new(ErrorKind::BodyUnreadable, message)
}

/// Reads the number `name` of the query.
///
/// # Errors
/// Fails when it is not a number within `range`.
pub(super) fn number(
    query: &HashMap<String, String>,
    name: &str,
    range: RangeInclusive<usize>,
) -> Result<Option<usize>, InvalidRequest> {
    let Some(text) = query.get(name) else {
        return Ok(None);
    };
    match text.parse().ok().filter(|number| range.contains(number)) {
        Some(number) => Ok(Some(number)),
        None => {
            let message = format!(
                "`{name}`: expected a number from {} to {}.",
                range.start(),
                range.end()
            );
            Err(InvalidRequest::at(name, code::VALUE, message))
        }
    }
}

/// Reads the value of the query parameter `name` as a truth value.
///
/// # Errors
/// Fails when it is neither `true` nor `false`.
pub(super) fn boolean(name: &str, value: &str) -> Result<bool, InvalidRequest> {
    value.parse::<bool>().map_err(|_| {
        let message = format!("`{name}`: expected `true` or `false`.");
        InvalidRequest::at(name, code::VALUE, message)
    })
}

/// Reads the page parameters of the query: `usual` items by default, at most `most`.
///
/// # Errors
/// Fails when a parameter is not valid.
pub(super) fn page(
    query: &HashMap<String, String>,
    usual: usize,
    most: usize,
) -> Result<PageRequest, InvalidRequest> {
    let limit = number(query, "limit", 1..=most)?.unwrap_or(usual);
    let is_ascending = match query.get("order").map(String::as_str) {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(_) => {
            return Err(InvalidRequest::at(
                "order",
                code::VALUE,
                "`order`: expected `asc` or `desc`.",
            ));
        }
    };
    Ok(PageRequest {
        limit,
        after: query.get("after").cloned(),
        is_ascending,
    })
}
