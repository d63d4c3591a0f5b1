//! What handlers take out of a request.

use std::collections::HashMap;
use std::error::Error;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRef;
use axum::extract::FromRequest;
use axum::extract::Request;
use bytes::Bytes;
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use http_body_util::LengthLimitError;
use tokio::time::timeout;

use super::Config;
use super::error::ApiError;
use super::error::Kind;
use super::middleware::body_limit;
use super::middleware::content_encoding::BrokenEncoding;
use crate::fields::InvalidRequest;
use crate::fields::code;
use crate::openai::Page;

/// The most that is reserved on a client's word for how much will come, in bytes.
const RESERVED: usize = 64 * 1024;

/// The whole body, whatever its content type says: clients are known to send JSON under any.
pub(super) struct RequestBody(pub(super) Bytes);

impl<S> FromRequest<S> for RequestBody
where
    S: Send + Sync,
    Arc<Config>: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let config = Arc::<Config>::from_ref(state);
        match timeout(config.body_read_timeout, read(request.into_body(), &config)).await {
            Ok(body) => body.map(Self),
            Err(_) => Err(late(&format!("was not complete after {:?}", config.body_read_timeout))),
        }
    }
}

async fn read(mut body: Body, config: &Config) -> Result<Bytes, ApiError> {
    let expected = usize::try_from(http_body::Body::size_hint(&body).lower()).unwrap_or(usize::MAX);
    let mut whole = BytesMut::with_capacity(expected.min(RESERVED));
    loop {
        let Ok(frame) = timeout(config.body_pause_timeout, body.frame()).await else {
            return Err(paused(config.body_pause_timeout));
        };
        match frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    whole.extend_from_slice(data);
                }
            }
            Some(Err(error)) => return Err(unreadable(error, config.body_limit as u64)),
            None => return Ok(whole.freeze()),
        }
    }
}

fn late(what: &str) -> ApiError {
    ApiError::new(Kind::BodyTimeout, format!("The request body {what}."))
}

/// No piece of a body has come for `limit`.
pub(super) fn paused(limit: Duration) -> ApiError {
    late(&format!("paused for {limit:?}"))
}

/// A body cannot be read on for `error`: it has more than `limit` bytes, ends too early, or is not compressed as it says.
pub(super) fn unreadable(error: impl Error + Send + Sync + 'static, limit: u64) -> ApiError {
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
    ApiError::new(Kind::BodyUnreadable, "The request body stopped before its end.").caused_by(error)
}

fn wrongly_encoded(encoding: &str) -> ApiError {
    let message = format!(
        "The request body is no valid {encoding}, which its `Content-Encoding` says it is. Compress it whole, or send it plain \
         without the header."
    );
    ApiError::new(Kind::BodyUnreadable, message)
}

/// The number that the query gives for `name`.
///
/// # Errors
/// When it is no number of `range`.
pub(super) fn number(
    query: &HashMap<String, String>,
    name: &str,
    range: RangeInclusive<usize>,
) -> Result<Option<usize>, InvalidRequest> {
    let Some(text) = query.get(name) else { return Ok(None) };
    match text.parse().ok().filter(|number| range.contains(number)) {
        Some(number) => Ok(Some(number)),
        None => {
            let message = format!("`{name}`: expected a number from {} to {}.", range.start(), range.end());
            Err(InvalidRequest::at(name, code::VALUE, message))
        }
    }
}

/// The page that the query asks for: `usual` items, unless it says how many, up to `most`.
///
/// # Errors
/// When it makes no sense.
pub(super) fn page(
    query: &HashMap<String, String>,
    usual: usize,
    most: usize,
) -> Result<Page, InvalidRequest> {
    let limit = number(query, "limit", 1..=most)?.unwrap_or(usual);
    let is_ascending = match query.get("order").map(String::as_str) {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(_) => {
            return Err(InvalidRequest::at("order", code::VALUE, "`order`: expected `asc` or `desc`."));
        }
    };
    Ok(Page { limit, after: query.get("after").cloned(), is_ascending })
}
