//! Reader of a shared answer, which is the body of a response.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::response::Response;
use bytes::Bytes;
use http_body::Body as HttpBody;
use http_body::Frame;
use http_body::SizeHint;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::SharedAnswer;
use super::answer_state::AnswerPiece;
use super::answer_state::SharedHead;
use crate::domain::Caller;
use crate::services::idempotency::BodyDigest;

/// Header of an answer to an earlier request with the same key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Header with the id of that request.
const FIRST_REQUEST_ID: HeaderName = HeaderName::from_static("x-switchboard-first-request-id");

/// Error: the answer ended before its end, or is too large for another reader.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the answer to the first request with the idempotency key was cut off")]
pub(in crate::http) struct AnswerCutOff;

/// Reader of a shared answer from its beginning. The last one that is dropped ends the answer.
pub(in crate::http) struct AnswerReader {
    answer: Arc<SharedAnswer>,
    id: u64,
    /// Number of the next chunk.
    next: usize,
    /// Set if no client reads.
    is_lingering: bool,
    /// Caller whose rate limit permit is held until the end.
    _admitted: Option<Box<Caller>>,
}

impl AnswerReader {
    pub(super) fn new(answer: Arc<SharedAnswer>, id: u64) -> Self {
        Self {
            answer,
            id,
            next: 0,
            is_lingering: false,
            _admitted: None,
        }
    }

    /// Creates a reader behind which there is no client. It counts as lingering from now on, also if it
    /// is never polled.
    pub(super) fn lingering(answer: Arc<SharedAnswer>, id: u64) -> Self {
        let mut this = Self::new(answer, id);
        this.is_lingering = true;
        this
    }

    /// Waits for the digest of the body of the first request; `None` if that body was never read.
    pub(in crate::http) async fn wait_for_body(&self) -> Option<BodyDigest> {
        poll_fn(|context| {
            self.answer.poll_until(self.id, context, |state| {
                let is_known = state.body.is_some() || state.is_over;
                is_known.then(|| state.body.clone())
            })
        })
        .await
    }

    /// Waits for the head of the answer; `None` if there will be none.
    pub(in crate::http) async fn wait_for_head(&self) -> Option<SharedHead> {
        poll_fn(|context| {
            self.answer.poll_until(self.id, context, |state| {
                let is_known = state.head.is_some() || state.is_over;
                is_known.then(|| state.head.clone())
            })
        })
        .await
    }

    /// Turns the reader into the response of the first request.
    pub(in crate::http) fn into_first_response(self, head: SharedHead) -> Response {
        let SharedHead {
            status,
            headers,
            extensions,
            ..
        } = head;
        let mut response = Response::new(Body::new(self));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        *response.extensions_mut() = extensions;
        response
    }

    /// Turns the reader into the response of a later request. The rate limit permit of `admitted` is
    /// held until the end.
    pub(in crate::http) fn into_repeated_response(
        mut self,
        head: SharedHead,
        admitted: Option<Box<Caller>>,
    ) -> Response {
        self._admitted = admitted;
        let id = HeaderValue::from_str(&head.request_id);
        let mut response = self.into_first_response(head);
        let headers = response.headers_mut();
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
        headers.extend(id.map(|id| (FIRST_REQUEST_ID, id)));
        response
    }

    /// Reads the answer for nobody, until its end, for `limit` or until `stop`, so that a retry can
    /// join it.
    pub(super) async fn linger(mut self, limit: Duration, stop: CancellationToken) {
        let rest = poll_fn(|context| self.poll_rest(context));
        stop.run_until_cancelled(timeout(limit, rest)).await;
    }

    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match ready!(self.poll_piece(context)) {
                AnswerPiece::Chunk(_) => {}
                AnswerPiece::End | AnswerPiece::CutOff => return Poll::Ready(()),
            }
        }
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<AnswerPiece> {
        let Self {
            answer, id, next, ..
        } = self;
        let piece = answer.poll_until(*id, context, |state| state.piece(*id, *next));
        let piece = ready!(piece);
        if matches!(piece, AnswerPiece::Chunk(_)) {
            *next += 1;
        }
        Poll::Ready(piece)
    }
}

impl HttpBody for AnswerReader {
    type Data = Bytes;
    type Error = AnswerCutOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerCutOff>>> {
        let piece = ready!(self.get_mut().poll_piece(context));
        Poll::Ready(match piece {
            AnswerPiece::Chunk(chunk) => Some(Ok(Frame::data(chunk))),
            AnswerPiece::End => None,
            AnswerPiece::CutOff => Some(Err(AnswerCutOff)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.answer.lock().rest_bytes(self.next) == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.answer.lock().rest_bytes(self.next);
        rest.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for AnswerReader {
    fn drop(&mut self) {
        self.answer.leave(self.is_lingering);
    }
}
