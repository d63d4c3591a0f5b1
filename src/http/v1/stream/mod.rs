//! `GET /v1/stream`, an API of this server: a WebSocket that carries many concurrent turns.

mod strangers;
mod turns;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Extension;
use axum::extract::State;
use axum::extract::ws::CloseFrame;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::close_code;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::Response;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::timeout;
use uuid::Uuid;

use self::strangers::too_many as too_many_strangers;
use self::turns::All;
use self::turns::message_of;
use crate::accounts::auth::Credentials;
use crate::accounts::auth::Keys;
use crate::accounts::auth::Permission;
use crate::api::openai::chat::ChatRequest;
use crate::api::openai::chat::Said;
use crate::api::openai::chat::SocketEncoder;
use crate::api::openai::chat::hear;
use crate::api::openai::chat::id_of;
use crate::api::openai::chat::id_of_unread;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::domain::Caller;
use crate::engine::gateway::Turns;
use crate::http::Config;
use crate::http::bodies::Bodies;
use crate::http::bodies::SocketPlace;
use crate::http::connection::Connection;
use crate::http::crowd::Guest;
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
use crate::runtime::compute::in_place;

pub(in crate::http) use self::strangers::Strangers;

/// Path of the endpoint in log lines.
const PATH: &str = "/v1/stream";
/// Maximum number of concurrent turns per socket.
const MOST_TURNS: usize = 16;
/// Authentication timeout of a client that sent no key with its request.
const GREETING: Duration = Duration::from_secs(10);
/// Maximum size of a message before authentication, in bytes.
const LATE_LIMIT: usize = 4 << 20;
/// Close code for failed authentication.
const UNAUTHORIZED: u16 = 4401;
const AUTHENTICATED: &str = r#"{"type":"authenticated"}"#;
const PONG: &str = r#"{"type":"pong"}"#;

/// Opens the WebSocket.
pub(in crate::http) async fn open(
    State(state): State<AppState>,
    caller: Option<Extension<Caller>>,
    (Extension(strangers), connection): (Extension<Strangers>, Option<Extension<Connection>>),
    (Extension(id), Extension(bodies)): (Extension<RequestId>, Extension<Bodies>),
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let Ok(upgrade) = upgrade else {
        return Ok(no_socket());
    };
    let AppState {
        turns,
        keys,
        config,
        last_words,
        stopping,
        ..
    } = state;
    let (client, limit) = match caller {
        Some(Extension(caller)) => {
            let place = bodies.socket(&caller.name)?;
            (Client::Known(caller, place), config.body_limit)
        }
        None => (
            Client::Unknown(strangers.admit(connection.as_deref())),
            config.body_limit.min(LATE_LIMIT),
        ),
    };
    let heartbeat = config.heartbeat;
    let session = Session {
        turns,
        keys,
        config,
        stopping,
        last_words: last_words.clone(),
        bodies,
        id,
    };
    Ok(socket::open(
        upgrade,
        limit,
        heartbeat,
        last_words,
        async move |socket| session.converse(socket, client).await,
    ))
}

fn no_socket() -> Response {
    socket::required(
        "GET /v1/stream opens a WebSocket, and this request does not ask for one. To have an answer streamed over HTTP, use \
         POST /v1/chat/completions with `\"stream\": true`.",
    )
}

/// Client of a socket: authenticated, or still to authenticate.
enum Client {
    Known(Caller, SocketPlace),
    Unknown(Guest),
}

/// Decoded message, or its error with the id of the turn that it names.
type Read = Result<Said, (Option<String>, ApiError)>;

/// Shared state of one socket.
struct Session {
    turns: Arc<dyn Turns>,
    keys: Arc<Keys>,
    config: Arc<Config>,
    stopping: Stopping,
    last_words: LastWords,
    bodies: Bodies,
    /// Id of the request that opened the WebSocket.
    id: RequestId,
}

impl Session {
    /// Serves the socket until the client leaves or the server stops. Dropping the future cancels
    /// the running turns.
    async fn converse(&self, mut socket: Socket, client: Client) -> Result<(), Ended> {
        let (mut caller, _place) = match client {
            Client::Known(caller, place) => (caller, place),
            Client::Unknown(stranger) => self.greet(&mut socket, stranger).await?,
        };
        let mut running = All::default();
        // Messages are decoded one at a time, beside the running turns. No further one is read
        // meanwhile, which keeps their order and applies backpressure: they stay in the socket's
        // buffers.
        let mut reading: Option<BoxFuture<'static, Read>> = None;
        loop {
            let (is_clear, is_reading) = (socket.is_clear(), reading.is_some());
            let read = async {
                match &mut reading {
                    Some(reading) => reading.await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = self.last_words.0.cancelled() => {
                    for message in running.fail(&ApiError::shutting_down()) {
                        socket.say(message).await?;
                    }
                    return socket.close(socket::farewell()).await;
                }
                () = self.stopping.0.cancelled(), if running.count() == 0 && !is_reading => {
                    return socket.close(socket::farewell()).await;
                }
                happened = socket.next_unless(is_reading) => if let Happened::Heard(text) = happened? {
                    reading = Some(self.read(text, &caller));
                },
                read = read => {
                    reading = None;
                    let answer = self.answer(read, &mut caller, &mut running);
                    socket.add(answer);
                }
                messages = running.next(), if is_clear => {
                    messages.into_iter().for_each(|message| socket.add(message));
                }
            }
        }
    }

    /// Authenticates the client by its first message.
    async fn greet(
        &self,
        socket: &mut Socket,
        stranger: Guest,
    ) -> Result<(Caller, SocketPlace), Ended> {
        let heard = self
            .stopping
            .0
            .run_until_cancelled(timeout(GREETING, socket.hear()));
        let heard = tokio::select! {
            heard = heard => heard,
            () = stranger.left().cancelled() => {
                let error = too_many_strangers();
                Line::of_message(&self.id, None, PATH).fail(&error);
                socket.say(message_of(None, &error)).await?;
                socket.close(strangers::farewell()).await?;
                return Err(Ended);
            }
        };
        let caller = match heard {
            Some(Ok(text)) => self.read_greeting(&text?).and_then(|caller| {
                let place = self.bodies.socket(&caller.name)?;
                Ok((caller, place))
            }),
            Some(Err(_)) => Err(no_greeting()),
            None => {
                socket.close(socket::farewell()).await?;
                return Err(Ended);
            }
        };
        match caller {
            Ok(known) => {
                // Frees the slot before the client may send, so that it cannot be evicted any more.
                drop(stranger);
                socket.say(AUTHENTICATED.to_owned()).await.map(|()| known)
            }
            Err(error) => {
                Line::of_message(&self.id, None, PATH).fail(&error);
                socket.say(message_of(None, &error)).await?;
                socket.close(stranger_refused(&error)).await?;
                Err(Ended)
            }
        }
    }

    fn read_greeting(&self, text: &str) -> Result<Caller, ApiError> {
        match in_place(text.len(), || hear(text, self.config.policy))? {
            Said::Auth { api_key } => self.identify(&api_key),
            Said::Chat { .. } | Said::Cancel { .. } | Said::Ping => Err(no_greeting()),
        }
    }

    fn identify(&self, api_key: &str) -> Result<Caller, ApiError> {
        let credentials = Credentials {
            api_key: Some(api_key),
            ..Credentials::default()
        };
        Ok(self
            .keys
            .authenticate(&credentials, Some(Permission::Inference))?)
    }

    /// Decodes the message `text` once memory is granted. An error has the id of the turn that the
    /// message names.
    fn read(&self, text: String, caller: &Caller) -> BoxFuture<'static, Read> {
        let (bodies, name, policy) = (self.bodies.clone(), caller.name.clone(), self.config.policy);
        let text = Arc::new(text);
        let unread = Arc::clone(&text);
        let hear =
            move |text: &str| hear(text, policy).map_err(|error| (id_of(text), error.into()));
        let read = async move {
            match bodies.read(&name, text, hear).await {
                Ok(read) => read,
                Err(error) => Err((elsewhere(move || id_of_unread(&unread)).await, error)),
            }
        };
        read.boxed()
    }

    /// Handles the message `read` and returns the immediate answer.
    fn answer(&self, read: Read, caller: &mut Caller, running: &mut All) -> String {
        let (id, said) = match read {
            Ok(said) => (said.id().map(ToOwned::to_owned), Ok(said)),
            Err((id, error)) => (id, Err(error)),
        };
        let answer = said.and_then(|said| match said {
            Said::Ping => Ok(PONG.to_owned()),
            Said::Auth { api_key } => {
                *caller = self.identify(&api_key)?;
                Ok(AUTHENTICATED.to_owned())
            }
            Said::Cancel { id } => running.cancel(&id).ok_or_else(|| unknown_turn(&id)),
            Said::Chat { id, request } => self.begin(id, *request, caller, running),
        });
        answer.unwrap_or_else(|error| {
            Line::of_message(&self.id, Some(caller), PATH).fail(&error);
            message_of(id.as_deref(), &error)
        })
    }

    fn begin(
        &self,
        id: Option<String>,
        request: ChatRequest,
        caller: &Caller,
        running: &mut All,
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
        if running.count() == MOST_TURNS {
            return Err(too_many());
        }
        // The key may have been changed or revoked since authentication.
        let again = self
            .keys
            .authenticate_again(caller, Some(Permission::Inference))?;
        let again = Caller {
            cache_control: caller.cache_control,
            ..again
        };
        let encoder = SocketEncoder::new(id);
        let started = encoder.started(request.turn.model.as_str(), &request.remarks);
        let line = Line::of_message(&self.id, Some(&again), PATH);
        running.begin(&self.turns, again, request.turn, encoder, line);
        Ok(started)
    }
}

/// Returns the close frame for a client that was refused with `error`.
fn stranger_refused(error: &ApiError) -> CloseFrame {
    if error.kind() == Kind::TooManySockets {
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

fn no_greeting() -> ApiError {
    ApiError::new(
        Kind::MissingKey,
        "You didn't provide an API key. Send it in the header `Authorization: Bearer KEY`, or within 10 seconds as the first \
         message: {\"type\": \"auth\", \"api_key\": \"KEY\"}.",
    )
}

fn unknown_turn(id: &str) -> ApiError {
    let message =
        format!("No turn called `{id}` is running on this socket; it may have just ended.");
    ApiError::new(Kind::UnknownTurn, message).at("id")
}

fn too_many() -> ApiError {
    let message = format!(
        "{MOST_TURNS} turns are running on this socket, and no more may. Send the next when one of them is done."
    );
    ApiError::new(Kind::TooManyTurns, message)
}
