//! A response as a stream of server-sent events.

use std::time::Duration;

use axum::response::Response;
use futures::Stream;
use futures::StreamExt as _;

use crate::http::error::ApiError;
use crate::http::middleware::access_log::RequestNotes;
use crate::http::shutdown::DrainExpired;
use crate::http::sse::EventStream;
use crate::http::sse::SseEncoder;
use crate::http::sse::named_frame;
use crate::services::responses::ResponseStep;

/// Streams `steps`, which report failures and the shutdown themselves.
pub(super) fn response(
    steps: impl Stream<Item = ResponseStep> + Send + 'static,
    heartbeat: Duration,
    notes: RequestNotes,
) -> Response {
    let encoder = StepEncoder {
        notes: notes.clone(),
    };
    EventStream::new(
        Box::pin(steps.map(Ok::<_, ApiError>)),
        encoder,
        heartbeat,
        DrainExpired::default(),
        notes,
    )
    .into_response()
}

struct StepEncoder {
    notes: RequestNotes,
}

impl SseEncoder for StepEncoder {
    type Event = ResponseStep;

    fn event(&mut self, step: ResponseStep, frames: &mut String) -> bool {
        for event in &step.events {
            named_frame(frames, &event.name, &event.data);
        }
        if let Some(error) = step.failure {
            self.notes.record_error(&ApiError::from(error));
        }
        step.is_last
    }

    /// Reached only if the steps end without a last one, which does not happen.
    fn failed(&mut self, error: &ApiError, frames: &mut String) {
        named_frame(frames, "error", &error.envelope().to_json());
    }
}
