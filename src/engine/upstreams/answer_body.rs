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

use super::answer_memory::HeldAnswerMemory;
use super::answer_memory::HeldAnswerShare;
use super::answer_memory::OutOfAnswerMemory;
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
    /// Memory for answers that are read to their end.
    pub(super) memory: HeldAnswerMemory,
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
            memory: _,
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

    /// Reads the body to its end. Its memory is given back when the last clone is dropped.
    ///
    /// # Errors
    /// Fails when the answer breaks off, takes too long or is too large, or other answers take all the
    /// memory.
    pub async fn collect(mut self) -> Result<Bytes, Failure> {
        let mut share = self.bounds.memory.share();
        // An answer that tells its size takes its memory at once, so it never waits with a part of it.
        let told = hyper::body::Body::size_hint(&self.body).lower();
        self.take_memory(&mut share, told).await?;
        let Some(first) = self.next().await? else {
            return Ok(Bytes::new());
        };
        self.take_memory(&mut share, self.bytes).await?;
        let Some(second) = self.next().await? else {
            return Ok(share.keep_for(first));
        };
        let mut whole = BytesMut::with_capacity(first.len() + second.len());
        whole.extend_from_slice(&first);
        let mut next = Some(second);
        while let Some(piece) = next {
            self.take_memory(&mut share, self.bytes).await?;
            whole.extend_from_slice(&piece);
            next = self.next().await?;
        }
        Ok(share.keep_for(whole.freeze()))
    }

    async fn take_memory(&self, share: &mut HeldAnswerShare, bytes: u64) -> Result<(), Failure> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let taken = share.grow_to(bytes).await;
        taken.map_err(|OutOfAnswerMemory| failure::out_of_memory(&self.bounds.name))
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
