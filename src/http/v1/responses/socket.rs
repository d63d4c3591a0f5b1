//! Responses over a WebSocket: the requests of one connection, answered in order.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::extract::Extension;
use axum::extract::State;
use axum::extract::ws::CloseFrame;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::close_code;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use futures::FutureExt as _;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream::BoxStream;

use crate::accounts::auth::Keys;
use crate::accounts::auth::Permission;
use crate::api::openai::responses::CreateResponseRequest;
use crate::api::openai::responses::SocketStreamId;
use crate::api::openai::responses::decode_message;
use crate::api::request_schema::Remarks;
use crate::domain::Caller;
use crate::engine::hooks::HookNotes;
use crate::http::Config;
use crate::http::bodies::Bodies;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;
use crate::http::middleware::access_log::AccessLogLine;
use crate::http::middleware::request_id::RequestId;
use crate::http::shutdown::DrainExpired;
use crate::http::shutdown::ShutdownStarted;
use crate::http::socket;
use crate::http::socket::ClientSocket;
use crate::http::socket::SocketClosed;
use crate::http::socket::SocketEvent;
use crate::http::state::ApiServices;
use crate::http::state::AppState;
use crate::runtime::compute::run_blocking;
use crate::services::responses::CreatedResponse;
use crate::services::responses::ResponseExecution;
use crate::services::responses::ResponseStep;
use crate::services::responses::Responses;
use crate::services::responses::SocketHistory;

/// Maximum number of requests that wait for the one being answered.
const MAX_QUEUED_REQUESTS: usize = 8;
/// Path of the endpoint in log lines.
const PATH: &str = "/v1/responses";

/// Opens the WebSocket.
pub(in crate::http) async fn open(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    (Extension(id), Extension(bodies)): (Extension<RequestId>, Extension<Bodies>),
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return no_socket();
    };
    let place = match bodies.acquire_socket(&caller.name) {
        Ok(place) => place,
        Err(error) => return error.into_response(),
    };
    let AppState {
        services: ApiServices { responses, .. },
        keys,
        config,
        drain_expired,
        shutdown_started: stopping,
        ..
    } = state;
    let limit = config.body_limit;
    let heartbeat = config.heartbeat;
    let memory = SocketHistory::default();
    let waiting = VecDeque::new();
    let mut session = ResponsesSocketSession {
        responses,
        keys,
        config,
        bodies,
        caller,
        id,
        memory,
        waiting,
    };
    socket::open(
        upgrade,
        limit,
        heartbeat,
        drain_expired.clone(),
        async move |socket| {
            let _place = place;
            session.converse(socket, &drain_expired, &stopping).await
        },
    )
}

fn no_socket() -> Response {
    let error = ApiError::new(
        ErrorKind::MethodNotAllowed,
        "GET /v1/responses opens a WebSocket, and this request does not ask for one. To create a response, use POST; to \
         get one, GET /v1/responses/{id}.",
    );
    ([(header::ALLOW, "POST")], error).into_response()
}

/// Step of a response; the first one with the remarks on its request and the hooks of its turn.
type SocketStep = (Option<(Remarks, HookNotes)>, ResponseStep);

/// Connection of one client.
struct ResponsesSocketSession {
    responses: Responses,
    keys: Arc<Keys>,
    config: Arc<Config>,
    bodies: Bodies,
    caller: Caller,
    /// Id of the request that opened the WebSocket.
    id: RequestId,
    memory: SocketHistory,
    /// Messages that arrived while a response was being made.
    waiting: VecDeque<String>,
}

impl ResponsesSocketSession {
    /// Answers requests until the client leaves or the server stops. Dropping the future cancels
    /// the running turn.
    async fn converse(
        &mut self,
        mut socket: ClientSocket,
        drain_expired: &DrainExpired,
        stopping: &ShutdownStarted,
    ) -> Result<(), SocketClosed> {
        loop {
            let text = match self.waiting.pop_front() {
                Some(text) => text,
                None => match stopping.0.run_until_cancelled(socket.next_message()).await {
                    Some(message) => message?,
                    None => return socket.close(socket::shutdown_close_frame()).await,
                },
            };
            if stopping.0.is_cancelled() {
                let error = ApiError::shutting_down();
                AccessLogLine::for_message(&self.id, Some(&self.caller), PATH).fail(&error);
                let error =
                    SocketStreamId::parse(&text).error_message(&error.envelope(), error.status());
                socket.send_text(error).await?;
            } else {
                self.answer(&mut socket, text, drain_expired).await?;
            }
        }
    }

    /// Answers the message `text`. Messages that arrive meanwhile are queued.
    async fn answer(
        &mut self,
        socket: &mut ClientSocket,
        text: String,
        drain_expired: &DrainExpired,
    ) -> Result<(), SocketClosed> {
        let policy = self.config.policy;
        let read = move |text: &str| (SocketStreamId::parse(text), decode_message(text, policy));
        let text = Arc::new(text);
        let unread = Arc::clone(&text);
        let (stream_id, request) = match self
            .bodies
            .decode_message(&self.caller.name, text, read)
            .await
        {
            Ok((stream_id, request)) => (stream_id, request.map_err(ApiError::from)),
            Err(error) => (
                run_blocking(move || SocketStreamId::scan(&unread)).await,
                Err(error),
            ),
        };
        let line = AccessLogLine::for_message(&self.id, Some(&self.caller), PATH);
        let mut steps = self.steps(request, &line, drain_expired);
        let mut is_over = false;
        while !is_over || !socket.is_clear() {
            let is_clear = socket.is_clear();
            tokio::select! {
                // Backpressure: no further step is polled until the last one is sent.
                step = steps.next(), if is_clear => {
                    let Some(step) = step else { return Ok(()) };
                    is_over = queue_step(socket, &stream_id, &line, step);
                }
                happened = socket.next() => if let SocketEvent::Message(text) = happened? {
                    self.waiting.push_back(text);
                    let limit = self.config.body_limit;
                    let bytes: usize = self.waiting.iter().map(String::len).sum();
                    if self.waiting.len() > MAX_QUEUED_REQUESTS || bytes > limit {
                        socket.close(too_many(limit)).await?;
                        return Err(SocketClosed);
                    }
                },
            }
        }
        line.complete();
        Ok(())
    }

    /// Runs `request` and returns its steps, the first one with the remarks on the request and the
    /// hooks of its turn. The work is that of the message of `line`.
    ///
    /// A response that has begun reacts to the shutdown by itself.
    fn steps(
        &self,
        request: Result<CreateResponseRequest, ApiError>,
        line: &AccessLogLine,
        drain_expired: &DrainExpired,
    ) -> BoxStream<'static, Result<SocketStep, ApiError>> {
        // The key may have been changed or revoked since the connection was opened.
        let origin = self.caller.origin;
        let end_user = self.caller.end_user.clone();
        let refuses_fallbacks = self.caller.refuses_fallbacks;
        let trace = line.request_trace();
        let keys = Arc::clone(&self.keys);
        let caller = Caller::named(&self.caller.name);
        let responses = self.responses.clone();
        let memory = self.memory.clone();
        let limit = self.config.first_event_wait;
        let begun = async move {
            keys.refresh().await?;
            let caller = Caller {
                origin,
                end_user,
                refuses_fallbacks,
                trace,
                ..keys.authenticate_again(&caller, Some(Permission::Inference))?
            };
            let CreatedResponse {
                execution: making,
                mut remarks,
            } = responses.create(caller, request?, Some(memory)).await?;
            let (steps, turn_info) = match making {
                ResponseExecution::Foreground { mut run, turn_info } => {
                    let first = run.first_step(limit).await?;
                    (run.into_steps(first).left_stream(), turn_info)
                }
                ResponseExecution::Background {
                    events, turn_info, ..
                } => (events.into_steps().right_stream(), turn_info),
            };
            remarks.ignored.extend(turn_info.all_left_out());
            remarks.repaired.extend(turn_info.all_repaired());
            let mut first = Some((remarks, turn_info.hooks));
            Ok::<_, ApiError>(steps.map(move |step| Ok((first.take(), step))))
        };
        let begun = line.exemplar().scope(begun).boxed();
        let drain_expired = drain_expired.0.clone();
        let begun = async move {
            drain_expired
                .run_until_cancelled(begun)
                .await
                .unwrap_or_else(|| Err(ApiError::shutting_down()))
        };
        begun.into_stream().try_flatten().boxed()
    }
}

/// Queues the events of `step` for sending, and returns true if it is the last step.
fn queue_step(
    socket: &mut ClientSocket,
    stream_id: &SocketStreamId,
    line: &AccessLogLine,
    step: Result<SocketStep, ApiError>,
) -> bool {
    match step {
        Ok((
            first,
            ResponseStep {
                events,
                failure,
                is_last,
            },
        )) => {
            if let Some(failure) = failure {
                line.record_failure(&failure.into());
            }
            let mut remarks = first.map(|(remarks, hooks)| {
                line.record_hooks(&hooks);
                remarks
            });
            for event in &events {
                socket.queue_text(match remarks.take() {
                    Some(remarks) => stream_id.first_event_message(event, &remarks),
                    None => stream_id.event_message(event),
                });
            }
            is_last
        }
        Err(error) => {
            line.record_failure(&error);
            socket.queue_text(stream_id.error_message(&error.envelope(), error.status()));
            true
        }
    }
}

/// Close reasons are limited to 123 bytes.
fn too_many(limit: usize) -> CloseFrame {
    let reason = format!(
        "more than {MAX_QUEUED_REQUESTS} requests or {limit} bytes are waiting; send the next when one is answered"
    );
    CloseFrame {
        code: close_code::POLICY,
        reason: reason.into(),
    }
}
