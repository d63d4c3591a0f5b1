//! Server-sent events: streams of answers with heartbeats.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header;
use axum::response::Response;
use bytes::Bytes;
use http_body::Body as HttpBody;
use http_body::Frame;
use tokio::time::Instant;
use tokio::time::Sleep;
use tokio::time::sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::error::ApiError;
use super::middleware::access_log::RequestNotes;
use super::shutdown::DrainExpired;
use crate::services::answers::AnswerEvents;

/// Heartbeat: a comment, the only thing every client ignores.
const COMMENT: &[u8] = b": heartbeat\n\n";

/// Encoder of events to server-sent events, in the format of one API.
pub(super) trait SseEncoder: Send + Unpin + 'static {
    /// Type of the events.
    type Event: Send + Unpin;

    /// Bytes sent in a silence.
    const HEARTBEAT: &'static [u8] = COMMENT;

    /// Appends the frames of `event`, and returns true if it was the last.
    fn event(&mut self, event: Self::Event, frames: &mut String) -> bool;

    /// Appends the frames that end a failed stream.
    fn failed(&mut self, error: &ApiError, frames: &mut String);
}

/// Turn that is streamed to the client. Dropping it cancels the turn.
pub(super) struct EventStream<E: SseEncoder, F> {
    /// Source of events; `None` once the answer is over.
    events: Option<AnswerEvents<E::Event, F>>,
    /// Event that was received before the response began.
    first: Option<E::Event>,
    encoder: E,
    heartbeat: Duration,
    last_sent: Instant,
    /// Timer of the next possible heartbeat. Only reset when it fires, so that events need no timer
    /// operation.
    heartbeat_timer: Pin<Box<Sleep>>,
    drain_expired: Pin<Box<WaitForCancellationFutureOwned>>,
    notes: RequestNotes,
}

impl<E: SseEncoder, F: Into<ApiError> + 'static> EventStream<E, F> {
    pub(super) fn new(
        events: AnswerEvents<E::Event, F>,
        encoder: E,
        heartbeat: Duration,
        drain_expired: DrainExpired,
        notes: RequestNotes,
    ) -> Self {
        Self {
            events: Some(events),
            first: None,
            encoder,
            heartbeat,
            last_sent: Instant::now(),
            heartbeat_timer: Box::pin(sleep(heartbeat)),
            drain_expired: Box::pin(drain_expired.0.cancelled_owned()),
            notes,
        }
    }

    /// Waits at most `limit` for the first event, so that an early failure gets its own status.
    ///
    /// # Errors
    /// Fails when the turn fails before its first event.
    pub(super) async fn wait_for_first(&mut self, limit: Duration) -> Result<(), ApiError> {
        let Some(events) = &mut self.events else {
            return Ok(());
        };
        match tokio::time::timeout(limit, futures::StreamExt::next(events)).await {
            Ok(Some(event)) => self.first = Some(event.map_err(F::into)?),
            Ok(None) => return Err(ApiError::ended_early()),
            Err(_) => {}
        }
        Ok(())
    }

    pub(super) fn into_response(self) -> Response {
        let mut response = Response::new(Body::new(self));
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream; charset=utf-8"),
        );
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-cache, no-transform"),
        );
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }

    fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        while let Some(events) = &mut self.events {
            let event = match self.first.take() {
                Some(event) => Ok(event),
                None => match events.as_mut().poll_next(context) {
                    Poll::Ready(Some(event)) => event.map_err(F::into),
                    Poll::Ready(None) => Err(ApiError::ended_early()),
                    Poll::Pending => return self.poll_heartbeat(context).map(Some),
                },
            };
            let bytes = match event {
                Ok(event) => self.event(event),
                Err(error) => self.fail(&error),
            };
            if !bytes.is_empty() {
                self.last_sent = Instant::now();
                return Poll::Ready(Some(bytes));
            }
        }
        Poll::Ready(None)
    }

    /// Returns what is sent while no event comes: an error at shutdown, or a heartbeat.
    fn poll_heartbeat(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        if self.drain_expired.as_mut().poll(context).is_ready() {
            return Poll::Ready(self.fail(&ApiError::shutting_down()));
        }
        loop {
            ready!(self.heartbeat_timer.as_mut().poll(context));
            let now = Instant::now();
            let is_due = self.last_sent + self.heartbeat <= now;
            if is_due {
                self.last_sent = now;
            }
            self.heartbeat_timer
                .as_mut()
                .reset(self.last_sent + self.heartbeat);
            if is_due {
                return Poll::Ready(Bytes::from_static(E::HEARTBEAT));
            }
        }
    }

    fn event(&mut self, event: E::Event) -> Bytes {
        let mut frames = String::new();
        if self.encoder.event(event, &mut frames) {
            self.events = None;
        }
        Bytes::from(frames)
    }

    fn fail(&mut self, error: &ApiError) -> Bytes {
        self.events = None;
        self.notes.record_error(error);
        let mut frames = String::new();
        self.encoder.failed(error, &mut frames);
        Bytes::from(frames)
    }
}

/// Appends an event without a name. Payloads are JSON or `[DONE]` and have no line breaks.
pub(super) fn frame(frames: &mut String, payload: &str) {
    frames.reserve(payload.len() + 8);
    let _ = write!(frames, "data: {payload}\n\n");
}

/// Appends an event with a name, like [`frame`].
pub(super) fn named_frame(frames: &mut String, name: &str, payload: &str) {
    frames.reserve(name.len() + payload.len() + 16);
    let _ = write!(frames, "event: {name}\ndata: {payload}\n\n");
}

impl<E: SseEncoder, F: Into<ApiError> + 'static> HttpBody for EventStream<E, F> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.get_mut()
            .poll_bytes(context)
            .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.events.is_none()
    }
}
