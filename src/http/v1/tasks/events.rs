//! Events of a task as server-sent events.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::Extension;
use axum::extract::FromRequestParts;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::IntoResponse as _;
use axum::response::Response;
use futures::Stream;
use futures::StreamExt as _;

use super::enabled::EnabledTasks;
use super::view;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::domain::Caller;
use crate::http::Config;
use crate::http::error::ApiError;
use crate::http::extract::number;
use crate::http::middleware::access_log::RequestNotes;
use crate::http::shutdown::DrainExpired;
use crate::http::sse::EventStream;
use crate::http::sse::SseEncoder;
use crate::services::tasks::FollowedEvent;
use crate::services::tasks::TaskFollower;
use crate::telemetry::logs::ErrorChain;

/// Header with the last event that a reconnecting client has received; browsers send it by
/// themselves.
const LAST_EVENT_ID: &str = "last-event-id";
/// Query parameter with the same meaning, for the first connection.
const STARTING_AFTER: &str = "starting_after";

/// Streams the past and future events of a task until it ends.
pub(in crate::http) async fn stream_events(
    EnabledTasks(tasks): EnabledTasks,
    State(config): State<Arc<Config>>,
    State(drain_expired): State<DrainExpired>,
    Extension(caller): Extension<Caller>,
    Extension(notes): Extension<RequestNotes>,
    Path(id): Path<String>,
    FirstEvent(first): FirstEvent,
) -> Result<Response, ApiError> {
    let follower = tasks.follow(&caller, &id, first).await?;
    Ok(stream_follower(follower, &config, drain_expired, notes))
}

/// Streams the events that `follower` reads.
pub(in crate::http) fn stream_follower(
    follower: TaskFollower,
    config: &Config,
    drain_expired: DrainExpired,
    notes: RequestNotes,
) -> Response {
    if follower.is_done() {
        // In the HTML standard, 204 is the only status that keeps an `EventSource` from
        // reconnecting.
        return StatusCode::NO_CONTENT.into_response();
    }
    let encoder = TaskEncoder {
        id: follower.task_id(),
    };
    let events = readable_events(follower);
    let stream = EventStream::new(
        Box::pin(events.map(Ok::<_, ApiError>)),
        encoder,
        config.heartbeat,
        drain_expired,
        notes,
    );
    stream.into_response()
}

/// Returns the events up to the first that cannot be read; a client that reconnects retries it.
pub(super) fn readable_events(follower: TaskFollower) -> impl Stream<Item = FollowedEvent> + Send {
    follower.into_events().filter_map(|event| {
        let readable = event.inspect_err(|error| {
            tracing::error!(error = %ErrorChain(error), "task event not readable");
        });
        futures::future::ready(readable.ok())
    })
}

/// Sequence number of the first wanted event.
pub(in crate::http) struct FirstEvent(pub(in crate::http) u64);

impl<S: Sync> FromRequestParts<S> for FirstEvent {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let after = match parts
            .headers
            .get(LAST_EVENT_ID)
            .filter(|last| !last.is_empty())
        {
            Some(last) => {
                let last = last.to_str().ok().and_then(|last| last.parse::<u64>().ok());
                Some(last.ok_or_else(|| {
                    let message = "`Last-Event-ID`: expected the `sequence_number` of an event.";
                    InvalidRequest::at("Last-Event-ID", code::VALUE, message)
                })?)
            }
            None => {
                let query =
                    Query::<HashMap<String, String>>::try_from_uri(&parts.uri).unwrap_or_default();
                number(&query, STARTING_AFTER, 0..=usize::MAX)?.map(|after| after as u64)
            }
        };
        Ok(Self(after.map_or(0, |after| after.saturating_add(1))))
    }
}

struct TaskEncoder {
    id: String,
}

impl SseEncoder for TaskEncoder {
    type Event = FollowedEvent;

    fn event(&mut self, followed: FollowedEvent, frames: &mut String) -> bool {
        let FollowedEvent { event, is_last } = followed;
        let number = event.sequence_number;
        let name = event.kind.name();
        let data = view::event(&self.id, &event);
        let _ = write!(frames, "id: {number}\nevent: {name}\ndata: {data}\n\n");
        is_last
    }

    /// Ends the stream with a comment line, because an `error` event would mean that the task
    /// failed. Clients of the stream reconnect by themselves.
    fn failed(&mut self, error: &ApiError, frames: &mut String) {
        let _ = write!(
            frames,
            ": {}\n\n",
            error.envelope().message.replace('\n', " ")
        );
    }
}
