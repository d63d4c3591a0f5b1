//! Live part of the dashboard's API: running and ended turns, figures over time, and the events by
//! which a page follows them. Without prompts and answers.

mod json;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::Extension;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use axum::routing::get;
use axum::routing::post;
use futures::Stream;
use futures::StreamExt as _;
use futures::stream;
use serde_json::Value;

use crate::accounts::ledger::LedgerReader;
use crate::accounts::ledger::UsagePeriod;
use crate::accounts::ledger::UsageQuery;
use crate::accounts::ledger::UsageTotals;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::http::AppState;
use crate::http::Config;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;
use crate::http::middleware::access_log::RequestNotes;
use crate::http::shutdown::DrainExpired;
use crate::http::shutdown::ShutdownStarted;
use crate::http::sse::EventStream;
use crate::http::sse::SseEncoder;
use crate::telemetry::activity::Activity;
use crate::telemetry::activity::ActivityEvent;
use crate::telemetry::activity::ActivityFollower;
use crate::telemetry::activity::FigureSpan;
use crate::telemetry::activity::MAX_VIEWERS;
use crate::telemetry::logs::ErrorChain;

/// Header with the last event that a reconnecting page has received; browsers send it by themselves.
const LAST_EVENT_ID: &str = "last-event-id";
/// Query parameter with the same meaning, for the first connection.
const FROM: &str = "from";
/// First frame of the events: how soon a page connects again.
const FIRST_FRAME: &str = "retry: 2000\n\n";
/// Last frame of the events, a comment.
const LAST_FRAME: &str = ": the server stops\n\n";
/// `Retry-After` of a refused viewer.
const RETRY_VIEWER: Duration = Duration::from_secs(10);

/// Returns the routes of the live part, whose requests must have a session.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/dashboard/api/snapshot", get(show_snapshot))
        .route("/dashboard/api/series", get(show_series))
        .route("/dashboard/api/events", get(stream_events))
        .route("/dashboard/api/requests/{id}/cancel", post(cancel_request))
}

/// Returns the whole state, with the number of the event from which it can be followed.
async fn show_snapshot(
    State(activity): State<Activity>,
    State(ledger): State<LedgerReader>,
) -> Response {
    let today = read_today(&ledger).await;
    let snapshot = activity.snapshot();
    let points = activity.points(FigureSpan::TenMinutes);
    answer(
        StatusCode::OK,
        json::snapshot(&snapshot, &points, today.as_ref()),
    )
}

/// Reads what is charged since midnight in UTC; `None` if the ledger cannot be read.
async fn read_today(ledger: &LedgerReader) -> Option<UsageTotals> {
    let query = UsageQuery {
        project: None,
        key: None,
        period: UsagePeriod::Day,
        group_by: None,
    };
    let report = ledger.usage(&query).await.inspect_err(|error| {
        tracing::warn!(error = %ErrorChain(error), "usage of today not read for dashboard");
    });
    report.ok().map(|report| report.totals)
}

/// Returns the figures of one span over time.
async fn show_series(
    State(activity): State<Activity>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let name = query.get("span").map_or("", String::as_str);
    let span = FigureSpan::from_name(name).ok_or_else(|| {
        let message = "`span`: expected `10m`, `24h` or `90d`.";
        InvalidRequest::at("span", code::VALUE, message)
    })?;
    let points = activity.points(span);
    Ok(answer(StatusCode::OK, json::series(span, &points)))
}

/// Cancels a running turn as if its client had left.
async fn cancel_request(
    State(activity): State<Activity>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let number = id.parse::<u64>().ok();
    if !number.is_some_and(|number| activity.cancel_turn(number)) {
        let message = format!(
            "No request '{}' is running. It may have just ended.",
            printable(&id)
        );
        return Err(ApiError::new(ErrorKind::UnknownRequest, message));
    }
    tracing::info!(turn = id, "turn cancelled by operator");
    Ok(answer(StatusCode::ACCEPTED, json::cancelling(&id)))
}

/// Streams the events after the one that the page has received last.
async fn stream_events(
    State(activity): State<Activity>,
    State(config): State<Arc<Config>>,
    State(stopping): State<ShutdownStarted>,
    State(drain_expired): State<DrainExpired>,
    Extension(notes): Extension<RequestNotes>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let after = last_seen(&headers, &query)?;
    let follower = activity.follow(after).map_err(|_| too_many_viewers())?;
    let frames = frames_until(follower, stopping);
    let events = Box::pin(frames.map(Ok::<_, ApiError>));
    let stream = EventStream::new(events, LiveEncoder, config.heartbeat, drain_expired, notes);
    Ok(stream.into_response())
}

/// Frame of the stream of events.
enum LiveFrame {
    First,
    Event(ActivityEvent),
    Last,
}

/// Returns the frames of the events until the shutdown begins: a page must not keep a server from
/// its end.
fn frames_until(
    follower: ActivityFollower,
    stopping: ShutdownStarted,
) -> impl Stream<Item = LiveFrame> + Send {
    let events = follower.into_events().map(LiveFrame::Event);
    let events = events.take_until(stopping.0.cancelled_owned());
    let last = stream::once(std::future::ready(LiveFrame::Last));
    stream::once(std::future::ready(LiveFrame::First))
        .chain(events)
        .chain(last)
}

/// Reads the number of the event that the page has received last.
fn last_seen(
    headers: &HeaderMap,
    query: &HashMap<String, String>,
) -> Result<Option<u64>, InvalidRequest> {
    let header = headers.get(LAST_EVENT_ID);
    let header = header.map(|value| value.to_str().unwrap_or("?"));
    let header = header.filter(|text| !text.is_empty());
    let (name, text) = match (header, query.get(FROM)) {
        (Some(text), _) => ("Last-Event-ID", text),
        (None, Some(text)) => (FROM, text.as_str()),
        (None, None) => return Ok(None),
    };
    text.parse::<u64>().map(Some).map_err(|_| {
        let message = format!("`{name}`: expected the `seq` of a snapshot or the id of an event.");
        InvalidRequest::at(name, code::VALUE, message)
    })
}

fn too_many_viewers() -> ApiError {
    let message = format!(
        "{MAX_VIEWERS} pages of the dashboard are open, and no more can be served. Close one of them."
    );
    ApiError::new(ErrorKind::TooManyViewers, message).retry_after(RETRY_VIEWER)
}

fn answer(status: StatusCode, body: Value) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

struct LiveEncoder;

impl SseEncoder for LiveEncoder {
    type Event = LiveFrame;

    fn event(&mut self, frame: LiveFrame, frames: &mut String) -> bool {
        match &frame {
            LiveFrame::First => frames.push_str(FIRST_FRAME),
            LiveFrame::Event(event) => {
                let (name, data) = json::event(event);
                let number = event.seq;
                let _ = write!(frames, "id: {number}\nevent: {name}\ndata: {data}\n\n");
            }
            LiveFrame::Last => frames.push_str(LAST_FRAME),
        }
        matches!(frame, LiveFrame::Last)
    }

    /// Ends the stream with a comment line. Pages connect again by themselves.
    fn failed(&mut self, error: &ApiError, frames: &mut String) {
        let message = error.envelope().message;
        let _ = write!(frames, ": {}\n\n", message.replace('\n', " "));
    }
}
