//! Body of an answer of another server, bounded in size, time and silence.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytes::BytesMut;
use futures::Stream;
use futures::stream;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::Instant;
use tokio::time::timeout_at;

use super::failure;
use crate::domain::Failure;
use crate::runtime::http_client::HttpClientError;

/// Body that is still being received. Dropping it closes the connection.
#[derive(Debug)]
pub struct AnswerBody {
    body: Incoming,
    bounds: AnswerBounds,
    bytes: u64,
}

/// Bounds of an answer.
#[derive(Debug, Clone)]
pub(super) struct AnswerBounds {
    /// Name of the upstream, for errors.
    pub(super) name: Arc<str>,
    pub(super) deadline: Instant,
    /// Timeout of the whole call, which ends at the deadline.
    pub(super) timeout: Duration,
    pub(super) silence: Duration,
    pub(super) max_bytes: u64,
}

impl AnswerBody {
    /// Begins to read `body`.
    ///
    /// # Errors
    /// Fails when its head tells a size over the limit.
    pub(super) fn new(body: Incoming, bounds: AnswerBounds) -> Result<Self, Failure> {
        let told = hyper::body::Body::size_hint(&body).lower();
        if told > bounds.max_bytes {
            return Err(failure::too_large(&bounds.name, bounds.max_bytes));
        }
        Ok(Self {
            body,
            bounds,
            bytes: 0,
        })
    }

    /// Returns the next piece; `None` at the end.
    ///
    /// # Errors
    /// Fails when the answer breaks off, takes too long or is too large.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let AnswerBounds {
            name,
            deadline,
            timeout,
            silence,
            max_bytes,
        } = &self.bounds;
        loop {
            let quiet_until = Instant::now() + *silence;
            let limit = quiet_until.min(*deadline);
            let Ok(frame) = timeout_at(limit, self.body.frame()).await else {
                let waited = if *deadline <= quiet_until {
                    timeout
                } else {
                    silence
                };
                return Err(failure::timed_out(name, *waited));
            };
            let Some(frame) = frame else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| {
                let error = HttpClientError::from_innermost_cause(&error);
                tracing::warn!(upstream = &**name, %error, "answer of upstream broken off");
                failure::broken_answer(name, "broke off its answer")
            })?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            self.bytes = self.bytes.saturating_add(data.len() as u64);
            if self.bytes > *max_bytes {
                return Err(failure::too_large(name, *max_bytes));
            }
            return Ok(Some(data));
        }
    }

    /// Reads the body to its end.
    ///
    /// # Errors
    /// Fails when the answer breaks off, takes too long or is too large.
    pub async fn collect(mut self) -> Result<Bytes, Failure> {
        let Some(first) = self.next().await? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.next().await? else {
            return Ok(first);
        };
        let mut whole = BytesMut::with_capacity(first.len() + second.len());
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&second);
        while let Some(piece) = self.next().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// Returns the pieces as a stream, which ends with the first error.
    pub fn into_pieces(self) -> impl Stream<Item = Result<Bytes, Failure>> + Send {
        stream::unfold(Some(self), |body| async move {
            let mut body = body?;
            match body.next().await {
                Ok(Some(piece)) => Some((Ok(piece), Some(body))),
                Ok(None) => None,
                Err(failure) => Some((Err(failure), None)),
            }
        })
    }
}
