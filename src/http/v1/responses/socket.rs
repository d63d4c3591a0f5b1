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
use crate::api::openai::responses::CreateRequest;
use crate::api::openai::responses::Lane;
use crate::api::openai::responses::decode_message;
use crate::api::request_schema::Remarks;
use crate::domain::Caller;
use crate::http::Config;
use crate::http::bodies::Bodies;
use crate::http::error::ApiError;
use crate::http::error::Kind;
use crate::http::middleware::access_log::Line;
use crate::http::middleware::request_id::RequestId;
use crate::http::socket;
use crate::http::socket::Ended;
use crate::http::socket::Happened;
use crate::http::socket::Socket;
use crate::http::state::AppState;
use crate::http::state::LastWords;
use crate::http::state::Stopping;
use crate::runtime::compute::elsewhere;
use crate::services::responses::Created;
use crate::services::responses::Making;
use crate::services::responses::Memory;
use crate::services::responses::Responses;
use crate::services::responses::Step;

/// Maximum number of requests that wait for the one being answered.
const QUEUE: usize = 8;
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
    let place = match bodies.socket(&caller.name) {
        Ok(place) => place,
        Err(error) => return error.into_response(),
    };
    let AppState {
        responses,
        keys,
        config,
        last_words,
        stopping,
        ..
    } = state;
    let (limit, heartbeat) = (config.body_limit, config.heartbeat);
    let (memory, waiting) = (Memory::default(), VecDeque::new());
    let mut session = Session {
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
        last_words.clone(),
        async move |socket| {
            let _place = place;
            session.converse(socket, &last_words, &stopping).await
        },
    )
}

fn no_socket() -> Response {
    let error = ApiError::new(
        Kind::MethodNotAllowed,
        "GET /v1/responses opens a WebSocket, and this request does not ask for one. To create a response, use POST; to \
         get one, GET /v1/responses/{id}.",
    );
    ([(header::ALLOW, "POST")], error).into_response()
}

/// Connection of one client.
struct Session {
    responses: Responses,
    keys: Arc<Keys>,
    config: Arc<Config>,
    bodies: Bodies,
    caller: Caller,
    /// Id of the request that opened the WebSocket.
    id: RequestId,
    memory: Memory,
    /// Messages that arrived while a response was being made.
    waiting: VecDeque<String>,
}

impl Session {
    /// Answers requests until the client leaves or the server stops. Dropping the future cancels
    /// the running turn.
    async fn converse(
        &mut self,
        mut socket: Socket,
        last_words: &LastWords,
        stopping: &Stopping,
    ) -> Result<(), Ended> {
        loop {
            let text = match self.waiting.pop_front() {
                Some(text) => text,
                None => match stopping.0.run_until_cancelled(socket.hear()).await {
                    Some(heard) => heard?,
                    None => return socket.close(socket::farewell()).await,
                },
            };
            if stopping.0.is_cancelled() {
                let error = ApiError::shutting_down();
                let error = Lane::of(&text).error(&error.envelope(), error.status());
                socket.say(error).await?;
            } else {
                self.answer(&mut socket, text, last_words).await?;
            }
        }
    }

    /// Answers the message `text`. Messages that arrive meanwhile are queued.
    async fn answer(
        &mut self,
        socket: &mut Socket,
        text: String,
        last_words: &LastWords,
    ) -> Result<(), Ended> {
        let policy = self.config.policy;
        let read = move |text: &str| (Lane::of(text), decode_message(text, policy));
        let text = Arc::new(text);
        let unread = Arc::clone(&text);
        let (lane, request) = match self.bodies.read(&self.caller.name, text, read).await {
            Ok((lane, request)) => (lane, request.map_err(ApiError::from)),
            Err(error) => (
                elsewhere(move || Lane::of_unread(&unread)).await,
                Err(error),
            ),
        };
        let line = Line::of_message(&self.id, Some(&self.caller), PATH);
        let mut steps = self.steps(request, last_words);
        let mut is_over = false;
        while !is_over || !socket.is_clear() {
            let is_clear = socket.is_clear();
            tokio::select! {
                // Backpressure: no further step is polled until the last one is sent.
                step = steps.next(), if is_clear => {
                    let Some(step) = step else { return Ok(()) };
                    is_over = add(socket, &lane, &line, step);
                }
                happened = socket.next() => if let Happened::Heard(text) = happened? {
                    self.waiting.push_back(text);
                    let limit = self.config.body_limit;
                    let bytes: usize = self.waiting.iter().map(String::len).sum();
                    if self.waiting.len() > QUEUE || bytes > limit {
                        socket.close(too_many(limit)).await?;
                        return Err(Ended);
                    }
                },
            }
        }
        line.complete();
        Ok(())
    }

    /// Runs `request` and returns its steps, the first one with the remarks on the request.
    ///
    /// A response that has begun reacts to the shutdown by itself.
    fn steps(
        &self,
        request: Result<CreateRequest, ApiError>,
        last_words: &LastWords,
    ) -> BoxStream<'static, Result<(Option<Remarks>, Step), ApiError>> {
        // The key may have been changed or revoked since the connection was opened.
        let caller = self
            .keys
            .authenticate_again(&self.caller, Some(Permission::Inference));
        let (responses, memory) = (self.responses.clone(), self.memory.clone());
        let limit = self.config.first_event_wait;
        let begun = async move {
            let Created {
                making,
                mut remarks,
            } = responses.create(caller?, request?, Some(memory)).await?;
            let (steps, told) = match making {
                Making::Here { mut run, told } => {
                    let first = run.begin(limit).await?;
                    (run.into_steps(first).left_stream(), told)
                }
                Making::There { events, told, .. } => (events.into_steps().right_stream(), told),
            };
            remarks.ignored.extend(told.all_left_out());
            remarks.repaired.extend(told.repaired);
            let mut remarks = Some(remarks);
            Ok::<_, ApiError>(steps.map(move |step| Ok((remarks.take(), step))))
        }
        .boxed();
        let last_words = last_words.0.clone();
        let begun = async move {
            last_words
                .run_until_cancelled(begun)
                .await
                .unwrap_or_else(|| Err(ApiError::shutting_down()))
        };
        begun.into_stream().try_flatten().boxed()
    }
}

/// Queues the events of `step` for sending, and returns true if it is the last step.
fn add(
    socket: &mut Socket,
    lane: &Lane,
    line: &Line,
    step: Result<(Option<Remarks>, Step), ApiError>,
) -> bool {
    match step {
        Ok((
            remarks,
            Step {
                events,
                failure,
                is_last,
            },
        )) => {
            if let Some(failure) = failure {
                line.failed(&failure.into());
            }
            let mut remarks = remarks;
            for event in &events {
                socket.add(match remarks.take() {
                    Some(remarks) => lane.first_event(event, &remarks),
                    None => lane.event(event),
                });
            }
            is_last
        }
        Err(error) => {
            line.failed(&error);
            socket.add(lane.error(&error.envelope(), error.status()));
            true
        }
    }
}

/// Close reasons are limited to 123 bytes.
fn too_many(limit: usize) -> CloseFrame {
    let reason = format!(
        "more than {QUEUE} requests or {limit} bytes are waiting; send the next when one is answered"
    );
    CloseFrame {
        code: close_code::POLICY,
        reason: reason.into(),
    }
}
