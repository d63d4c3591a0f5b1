//! `GET /v1/tasks/{id}/ws`: events and control of a task over a WebSocket.

use std::sync::Arc;

use axum::extract::Extension;
use axum::extract::Path;
use axum::extract::State;
use axum::extract::ws::CloseFrame;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::close_code;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::Response;
use futures::Stream;
use futures::StreamExt as _;
use serde_json::json;

use super::enabled::EnabledTasks;
use super::events::FirstEvent;
use super::events::readable_events;
use super::request;
use super::request::TaskSocketMessage;
use super::view;
use crate::accounts::auth::Keys;
use crate::accounts::auth::Permission;
use crate::domain::Caller;
use crate::http::error::ApiError;
use crate::http::middleware::access_log::AccessLogLine;
use crate::http::middleware::request_id::RequestId;
use crate::http::shutdown::DrainExpired;
use crate::http::socket;
use crate::http::socket::ClientSocket;
use crate::http::socket::SocketClosed;
use crate::http::socket::SocketEvent;
use crate::http::state::AppState;
use crate::services::tasks::FollowedEvent;
use crate::services::tasks::Tasks;

const PATH: &str = "/v1/tasks/{id}/ws";
const PONG: &str = r#"{"type":"pong"}"#;
/// Maximum size of a message, in bytes: a decision with a short text.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// Opens the WebSocket.
pub(in crate::http) async fn open(
    State(state): State<AppState>,
    EnabledTasks(tasks): EnabledTasks,
    Extension(caller): Extension<Caller>,
    Extension(request): Extension<RequestId>,
    Path(id): Path<String>,
    FirstEvent(first): FirstEvent,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let Ok(upgrade) = upgrade else {
        return Ok(no_socket());
    };
    // What the client sends has to reach the server that runs the task.
    let follower = tasks.follow(&caller, &id, first).await?.until_begun();
    // The generated id is used from here on: a chosen id may name another task before the socket
    // closes.
    let id = follower.id();
    let task_id = follower.task_id();
    let is_whole = follower.is_done();
    let events = readable_events(follower);
    let AppState {
        keys,
        config,
        drain_expired,
        ..
    } = state;
    let heartbeat = config.heartbeat;
    let view = TaskSocketSession {
        tasks,
        keys,
        caller,
        id,
        task_id,
        is_whole,
        request,
        drain_expired: drain_expired.clone(),
    };
    Ok(socket::open(
        upgrade,
        MAX_MESSAGE_BYTES,
        heartbeat,
        drain_expired,
        async move |socket| view.converse(socket, events).await,
    ))
}

fn no_socket() -> Response {
    socket::upgrade_required(
        "GET /v1/tasks/{id}/ws opens a WebSocket, and this request does not ask for one. The same events come over HTTP from \
         GET /v1/tasks/{id}/events.",
    )
}

/// Shared state of one socket.
struct TaskSocketSession {
    tasks: Tasks,
    keys: Arc<Keys>,
    caller: Caller,
    /// Generated id of the task.
    id: String,
    /// Id that the owner uses for the task.
    task_id: String,
    /// Set when all events are already delivered.
    is_whole: bool,
    /// Id of the request that opened the WebSocket.
    request: RequestId,
    drain_expired: DrainExpired,
}

impl TaskSocketSession {
    /// Sends events until the task ends, the client leaves or the server stops.
    async fn converse(
        &self,
        mut socket: ClientSocket,
        events: impl Stream<Item = FollowedEvent> + Send,
    ) -> Result<(), SocketClosed> {
        let mut events = std::pin::pin!(events);
        let mut is_whole = self.is_whole;
        loop {
            tokio::select! {
                () = self.drain_expired.0.cancelled() => return socket.close(socket::shutdown_close_frame()).await,
                happened = socket.next() => {
                    if let SocketEvent::Message(text) = happened? {
                        let answer = self.answer(&text).await;
                        answer.into_iter().for_each(|answer| socket.queue_text(answer));
                    }
                }
                // Backpressure: no event is read while an earlier one is unsent.
                event = events.next(), if socket.is_clear() => match event {
                    Some(FollowedEvent { event, is_last }) => {
                        is_whole = is_last;
                        socket.queue_text(view::event(&self.task_id, &event));
                    }
                    None => return socket.close(close_frame(is_whole)).await,
                },
            }
        }
    }

    /// Handles the message `text` and returns the immediate answer, if any.
    async fn answer(&self, text: &str) -> Option<String> {
        let done = match request::parse_message(text) {
            Ok(message) => self.apply(message).await,
            Err(error) => Err(error.into()),
        };
        done.unwrap_or_else(|error| {
            AccessLogLine::for_message(&self.request, Some(&self.caller), PATH).fail(&error);
            Some(encode_error(&error))
        })
    }

    /// Applies a message; its effect is reported by an event.
    async fn apply(&self, message: TaskSocketMessage) -> Result<Option<String>, ApiError> {
        // The key may have been changed or revoked since the connection was opened.
        self.keys.refresh().await?;
        let caller = self
            .keys
            .authenticate_again(&self.caller, Some(Permission::Tasks))?;
        match message {
            TaskSocketMessage::Ping => return Ok(Some(PONG.to_owned())),
            TaskSocketMessage::Interrupt => {
                self.tasks.interrupt(&caller, &self.id).await?;
            }
            TaskSocketMessage::Permission { request_id, answer } => {
                self.tasks
                    .answer_permission(&caller, &self.id, &request_id, answer)
                    .await?;
            }
        }
        Ok(None)
    }
}

/// Returns the close frame after the last event.
fn close_frame(is_whole: bool) -> CloseFrame {
    if is_whole {
        return CloseFrame {
            code: close_code::NORMAL,
            reason: "the task is over".into(),
        };
    }
    CloseFrame {
        code: close_code::ERROR,
        reason: "what follows cannot be read now; come again".into(),
    }
}

/// Encodes a failure as a message. Its type is not `error`, which would mean that the task has
/// failed.
fn encode_error(error: &ApiError) -> String {
    let envelope = error.envelope();
    let words = json!({
        "type": envelope.r#type, "code": envelope.code, "message": envelope.message, "param": envelope.param,
    });
    json!({"type": "request_error", "status": error.status(), "error": words}).to_string()
}
