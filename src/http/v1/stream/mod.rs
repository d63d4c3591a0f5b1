//! `GET /v1/stream`, an API of this server: a WebSocket that carries many concurrent turns.

mod turns;
mod unauthenticated;

use std::future::pending;
use std::sync::Arc;

use axum::extract::Extension;
use axum::extract::State;
use axum::extract::ws::CloseFrame;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::close_code;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::HeaderMap;
use axum::response::Response;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::timeout;
use uuid::Uuid;

use self::turns::ActiveTurns;
use self::turns::encode_error;
use self::unauthenticated::AUTH_TIMEOUT;
use self::unauthenticated::too_many as too_many_unauthenticated;
use crate::accounts::auth::Credentials;
use crate::accounts::auth::Keys;
use crate::accounts::auth::Permission;
use crate::api::openai::chat::ChatClientMessage;
use crate::api::openai::chat::ChatRequest;
use crate::api::openai::chat::SocketEncoder;
use crate::api::openai::chat::parse_message;
use crate::api::openai::chat::scan_turn_id;
use crate::api::openai::chat::turn_id;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::domain::Caller;
use crate::domain::Surface;
use crate::engine::gateway::TurnPipeline;
use crate::http::Config;
use crate::http::bodies::Bodies;
use crate::http::bodies::SocketSlot;
use crate::http::connection::Connection;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;
use crate::http::middleware::access_log::AccessLogLine;
use crate::http::middleware::hook_mark::is_from_hook;
use crate::http::middleware::request_id::RequestId;
use crate::http::shutdown::DrainExpired;
use crate::http::shutdown::ShutdownStarted;
use crate::http::socket;
use crate::http::socket::ClientSocket;
use crate::http::socket::SocketClosed;
use crate::http::socket::SocketEvent;
use crate::http::state::AppState;
use crate::http::unauthenticated::UnauthenticatedClient;
use crate::runtime::compute::run_blocking;

pub(in crate::http) use self::unauthenticated::UnauthenticatedSockets;

/// Path of the endpoint in log lines.
const PATH: &str = "/v1/stream";
/// Maximum number of concurrent turns per socket.
const MAX_TURNS: usize = 16;
/// Maximum size of a message before authentication, in bytes.
const MAX_UNAUTHENTICATED_MESSAGE_BYTES: usize = 4 << 20;
/// Maximum size of the message that authenticates a socket, in bytes: a key and little else.
const MAX_AUTH_MESSAGE_BYTES: usize = 64 * 1024;
/// Close code for failed authentication.
const UNAUTHORIZED: u16 = 4401;
const AUTHENTICATED: &str = r#"{"type":"authenticated"}"#;
const PONG: &str = r#"{"type":"pong"}"#;

/// Opens the WebSocket.
pub(in crate::http) async fn open(
    State(state): State<AppState>,
    caller: Option<Extension<Caller>>,
    (Extension(sockets), connection): (
        Extension<UnauthenticatedSockets>,
        Option<Extension<Connection>>,
    ),
    (Extension(id), Extension(bodies)): (Extension<RequestId>, Extension<Bodies>),
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let Ok(upgrade) = upgrade else {
        return Ok(no_socket());
    };
    let AppState {
        turns,
        keys,
        config,
        drain_expired,
        shutdown_started: stopping,
        ..
    } = state;
    let (client, limit) = match caller {
        Some(Extension(caller)) => {
            let place = bodies.acquire_socket(&caller.name)?;
            (StreamClient::Known(caller, place), config.body_limit)
        }
        None => (
            StreamClient::Unknown(sockets.admit(connection.as_deref())),
            config.body_limit.min(MAX_UNAUTHENTICATED_MESSAGE_BYTES),
        ),
    };
    let heartbeat = config.heartbeat;
    let session = StreamSocketSession {
        turns,
        keys,
        config,
        stopping,
        drain_expired: drain_expired.clone(),
        bodies,
        id,
        is_from_hook: is_from_hook(&headers),
    };
    Ok(socket::open(
        upgrade,
        limit,
        heartbeat,
        drain_expired,
        async move |socket| session.converse(socket, client).await,
    ))
}

fn no_socket() -> Response {
    socket::upgrade_required(
        "GET /v1/stream opens a WebSocket, and this request does not ask for one. To have an answer streamed over HTTP, use \
         POST /v1/chat/completions with `\"stream\": true`.",
    )
}

/// Client of a socket: authenticated, or still to authenticate.
enum StreamClient {
    Known(Caller, SocketSlot),
    Unknown(UnauthenticatedClient),
}

/// Decoded message, or its error with the id of the turn that it names.
type DecodedMessage = Result<ChatClientMessage, (Option<String>, ApiError)>;

/// Shared state of one socket.
struct StreamSocketSession {
    turns: TurnPipeline,
    keys: Arc<Keys>,
    config: Arc<Config>,
    stopping: ShutdownStarted,
    drain_expired: DrainExpired,
    bodies: Bodies,
    /// Id of the request that opened the WebSocket.
    id: RequestId,
    /// Set if a hook of this server opened it.
    is_from_hook: bool,
}

impl StreamSocketSession {
    /// Serves the socket until the client leaves or the server stops. Dropping the future cancels
    /// the running turns.
    async fn converse(
        &self,
        mut socket: ClientSocket,
        client: StreamClient,
    ) -> Result<(), SocketClosed> {
        let (mut caller, _place) = match client {
            StreamClient::Known(caller, place) => (caller, place),
            StreamClient::Unknown(client) => self.authenticate_client(&mut socket, client).await?,
        };
        let mut running = ActiveTurns::default();
        // Messages are decoded one at a time, beside the running turns. No further one is read
        // meanwhile, which keeps their order and applies backpressure: they stay in the socket's
        // buffers.
        let mut reading: Option<BoxFuture<'static, DecodedMessage>> = None;
        loop {
            let is_clear = socket.is_clear();
            let is_reading = reading.is_some();
            let read = async {
                match &mut reading {
                    Some(reading) => reading.await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = self.drain_expired.0.cancelled() => {
                    for message in running.fail(&ApiError::shutting_down()) {
                        socket.send_text(message).await?;
                    }
                    return socket.close(socket::shutdown_close_frame()).await;
                }
                () = self.stopping.0.cancelled(), if running.count() == 0 && !is_reading => {
                    return socket.close(socket::shutdown_close_frame()).await;
                }
                happened = socket.next_unless(is_reading) => if let SocketEvent::Message(text) = happened? {
                    reading = Some(self.read(text, &caller));
                },
                read = read => {
                    reading = None;
                    let answer = self.answer(read, &mut caller, &mut running);
                    socket.queue_text(answer);
                }
                messages = running.next(), if is_clear => {
                    messages.into_iter().for_each(|message| socket.queue_text(message));
                }
            }
        }
    }

    /// Authenticates the client by its first message.
    async fn authenticate_client(
        &self,
        socket: &mut ClientSocket,
        client: UnauthenticatedClient,
    ) -> Result<(Caller, SocketSlot), SocketClosed> {
        let first_message = self
            .stopping
            .0
            .run_until_cancelled(timeout(AUTH_TIMEOUT, socket.next_message()));
        let first_message = tokio::select! {
            first_message = first_message => first_message,
            () = client.evicted().cancelled() => {
                let error = too_many_unauthenticated();
                AccessLogLine::for_message(&self.id, None, PATH).fail(&error);
                socket.send_text(encode_error(None, &error)).await?;
                socket.close(unauthenticated::evicted_close_frame()).await?;
                return Err(SocketClosed);
            }
        };
        let caller = match first_message {
            Some(Ok(text)) => self.admit_client(&text?).await,
            Some(Err(_)) => Err(missing_key()),
            None => {
                socket.close(socket::shutdown_close_frame()).await?;
                return Err(SocketClosed);
            }
        };
        match caller {
            Ok(known) => {
                // Frees the slot before the client may send, so that it cannot be evicted any more.
                drop(client);
                socket
                    .send_text(AUTHENTICATED.to_owned())
                    .await
                    .map(|()| known)
            }
            Err(error) => {
                AccessLogLine::for_message(&self.id, None, PATH).fail(&error);
                socket.send_text(encode_error(None, &error)).await?;
                socket.close(refused_close_frame(&error)).await?;
                Err(SocketClosed)
            }
        }
    }

    async fn admit_client(&self, text: &str) -> Result<(Caller, SocketSlot), ApiError> {
        self.keys.refresh().await?;
        let caller = self.read_auth_message(text)?;
        let place = self.bodies.acquire_socket(&caller.name)?;
        Ok((caller, place))
    }

    fn read_auth_message(&self, text: &str) -> Result<Caller, ApiError> {
        // Checked before parsing: the memory that it takes is no key's yet.
        if text.len() > MAX_AUTH_MESSAGE_BYTES {
            return Err(missing_key());
        }
        match parse_message(text, self.config.policy)? {
            ChatClientMessage::Auth { api_key } => self.identify(&api_key),
            ChatClientMessage::Chat { .. }
            | ChatClientMessage::Cancel { .. }
            | ChatClientMessage::Ping => Err(missing_key()),
        }
    }

    fn identify(&self, api_key: &str) -> Result<Caller, ApiError> {
        let credentials = Credentials {
            api_key: Some(api_key),
            ..Credentials::default()
        };
        let needed = Some(Permission::Inference);
        let mut caller = self.keys.authenticate(&credentials, needed)?;
        caller.origin.surface = Surface::Stream;
        caller.origin.is_from_hook = self.is_from_hook;
        Ok(caller)
    }

    /// Decodes the message `text` once memory is granted, and brings the keys up to date for it. An
    /// error has the id of the turn that the message names.
    fn read(&self, text: String, caller: &Caller) -> BoxFuture<'static, DecodedMessage> {
        let bodies = self.bodies.clone();
        let keys = Arc::clone(&self.keys);
        let name = caller.name.clone();
        let policy = self.config.policy;
        let text = Arc::new(text);
        let unread = Arc::clone(&text);
        let hear = move |text: &str| {
            parse_message(text, policy).map_err(|error| (turn_id(text), error.into()))
        };
        let read = async move {
            match bodies.decode_message(&name, text, hear).await {
                Ok(read) => match keys.refresh().await {
                    Ok(()) => read,
                    Err(error) => Err((read_turn_id(&read), error.into())),
                },
                Err(error) => Err((run_blocking(move || scan_turn_id(&unread)).await, error)),
            }
        };
        read.boxed()
    }

    /// Handles the message `read` and returns the immediate answer.
    fn answer(
        &self,
        read: DecodedMessage,
        caller: &mut Caller,
        running: &mut ActiveTurns,
    ) -> String {
        let (id, said) = match read {
            Ok(said) => (said.id().map(ToOwned::to_owned), Ok(said)),
            Err((id, error)) => (id, Err(error)),
        };
        let answer = said.and_then(|said| match said {
            ChatClientMessage::Ping => Ok(PONG.to_owned()),
            ChatClientMessage::Auth { api_key } => {
                *caller = Caller {
                    origin: caller.origin,
                    ..self.identify(&api_key)?
                };
                Ok(AUTHENTICATED.to_owned())
            }
            ChatClientMessage::Cancel { id } => {
                running.cancel(&id).ok_or_else(|| unknown_turn(&id))
            }
            ChatClientMessage::Chat { id, request } => self.begin(id, *request, caller, running),
        });
        answer.unwrap_or_else(|error| {
            AccessLogLine::for_message(&self.id, Some(caller), PATH).fail(&error);
            encode_error(id.as_deref(), &error)
        })
    }

    fn begin(
        &self,
        id: Option<String>,
        request: ChatRequest,
        caller: &Caller,
        running: &mut ActiveTurns,
    ) -> Result<String, ApiError> {
        if self.stopping.0.is_cancelled() {
            return Err(ApiError::shutting_down());
        }
        let id = id.unwrap_or_else(|| format!("turn_{}", Uuid::new_v4().simple()));
        if running.has(&id) {
            let message =
                format!("`id`: a turn called `{id}` is still running. Choose another name.");
            return Err(InvalidRequest::at("id", code::VALUE, message).into());
        }
        if running.count() == MAX_TURNS {
            return Err(too_many());
        }
        // The key may have been changed or revoked since authentication.
        let again = self
            .keys
            .authenticate_again(caller, Some(Permission::Inference))?;
        let line = AccessLogLine::for_message(&self.id, Some(&again), PATH);
        let again = Caller {
            cache_control: caller.cache_control,
            end_user: caller.end_user.clone(),
            refuses_fallbacks: caller.refuses_fallbacks,
            origin: caller.origin.streamed(true),
            trace: line.request_trace(),
            ..again
        };
        let encoder = SocketEncoder::new(id);
        let started = encoder.started(request.turn.model.as_str(), &request.remarks);
        running.begin(&self.turns, again, request.turn, encoder, line);
        Ok(started)
    }
}

/// Returns the id of the turn that a message names.
fn read_turn_id(read: &DecodedMessage) -> Option<String> {
    match read {
        Ok(message) => message.id().map(ToOwned::to_owned),
        Err((id, _)) => id.clone(),
    }
}

/// Returns the close frame for a client that was refused with `error`.
fn refused_close_frame(error: &ApiError) -> CloseFrame {
    if error.kind() == ErrorKind::TooManySockets {
        return CloseFrame {
            code: close_code::AGAIN,
            reason: "the key has too many sockets".into(),
        };
    }
    CloseFrame {
        code: UNAUTHORIZED,
        reason: "no good API key".into(),
    }
}

fn missing_key() -> ApiError {
    ApiError::new(
        ErrorKind::MissingKey,
        "You didn't provide an API key. Send it in the header `Authorization: Bearer KEY`, or within 10 seconds as the first \
         message: {\"type\": \"auth\", \"api_key\": \"KEY\"}.",
    )
}

fn unknown_turn(id: &str) -> ApiError {
    let message =
        format!("No turn called `{id}` is running on this socket; it may have just ended.");
    ApiError::new(ErrorKind::UnknownTurn, message).at("id")
}

fn too_many() -> ApiError {
    let message = format!(
        "{MAX_TURNS} turns are running on this socket, and no more may. Send the next when one of them is done."
    );
    ApiError::new(ErrorKind::TooManyTurns, message)
}
