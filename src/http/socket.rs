//! What all sockets have in common.
//!
//! What is to be said waits in the socket, and is sent while it is listened to. So a client is heard though it does not read,
//! and whoever makes what is to be said waits until the socket [is clear](Socket::is_clear), so that nothing is gathered.

use std::collections::VecDeque;
use std::error::Error as _;
use std::future::pending;
use std::future::poll_fn;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use axum::extract::ws::CloseFrame;
use axum::extract::ws::Message;
use axum::extract::ws::WebSocket;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::close_code;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use bytes::Bytes;
use futures::SinkExt as _;
use futures::StreamExt as _;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio::time::timeout_at;
use tungstenite::error::ProtocolError;

use super::error::ApiError;
use super::error::Kind;
use super::state::LastWords;

/// How long the last words may take to be sent.
const FAREWELL: Duration = Duration::from_millis(400);
/// Pings in a row that may stay without an answer: a client may be busy for a while, and not read.
const UNANSWERED: usize = 2;
/// Messages that may wait to be sent while a client is heard that does not read. It is not heard any more beyond.
const MOST_UNSENT: usize = 64;
/// What is agreed on where a page offers it beside its key: a browser wants one of what it offers, and the key is not told
/// back.
const PROTOCOL: &str = "realtime";

/// Why a socket ends: nobody is there any more, or is to be told anything.
#[derive(Debug)]
pub(super) struct Ended;

/// What happens on a socket.
#[derive(Debug)]
pub(super) enum Happened {
    /// The client has said something.
    Heard(String),
    /// All that was to be said is sent, as far as the connection takes it.
    Sent,
}

/// One client's socket. Nothing is read from it but by [`next`](Self::next) and [`hear`](Self::hear).
pub(super) struct Socket {
    inner: WebSocket,
    /// The most bytes of a message.
    limit: usize,
    heartbeat: Duration,
    /// When the silence has lasted too long.
    deadline: Instant,
    /// Pings since the client was heard last.
    unanswered: usize,
    /// What is still to be said.
    unsent: VecDeque<Message>,
    /// Whether what was said may still lie in this process.
    is_unflushed: bool,
    /// Whether the client was told that it is heard no more.
    is_refused: bool,
}

impl Socket {
    fn new(inner: WebSocket, limit: usize, heartbeat: Duration) -> Self {
        Self {
            inner,
            limit,
            heartbeat,
            deadline: Instant::now() + heartbeat,
            unanswered: 0,
            unsent: VecDeque::new(),
            is_unflushed: false,
            is_refused: false,
        }
    }

    /// Whether nothing is left to be sent.
    pub(super) fn is_clear(&self) -> bool {
        self.unsent.is_empty() && !self.is_unflushed
    }

    /// Has `text` said by whoever asks what happens next.
    pub(super) fn add(&mut self, text: String) {
        self.unsent.push_back(Message::text(text));
    }

    /// What happens next. Asks a silent client for a sign of life, and gives up on one that gives none; one that is sent
    /// something has the send timeout to take it. May be dropped at any time without losing anything.
    pub(super) async fn next(&mut self) -> Result<Happened, Ended> {
        loop {
            if !self.is_clear() {
                return poll_fn(|context| self.poll_next(context)).await;
            }
            let deadline = self.deadline;
            if let Ok(happened) =
                timeout_at(deadline, poll_fn(|context| self.poll_next(context))).await
            {
                return happened;
            }
            // It may have given signs of life and said nothing.
            if self.deadline == deadline {
                if self.unanswered == UNANSWERED {
                    return Err(Ended);
                }
                self.unanswered += 1;
                self.deadline = Instant::now() + self.heartbeat;
                self.send(Message::Ping(Bytes::new())).await?;
            }
        }
    }

    /// The next message. As [`next`](Self::next).
    pub(super) async fn hear(&mut self) -> Result<String, Ended> {
        loop {
            if let Happened::Heard(text) = self.next().await? {
                return Ok(text);
            }
        }
    }

    /// Sends a message, as fast as the client takes it, and hears nothing meanwhile; the connection fails when it takes nothing
    /// for the send timeout.
    pub(super) async fn say(&mut self, text: String) -> Result<(), Ended> {
        self.send(Message::text(text)).await
    }

    /// Ends the connection.
    pub(super) async fn close(&mut self, frame: CloseFrame) -> Result<(), Ended> {
        self.send(Message::Close(Some(frame))).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Ended> {
        self.unsent.push_back(message);
        poll_fn(|context| self.poll_send(context)).await
    }

    /// As [`next`](Self::next); while `is_deaf`, only sends, and stays pending when nothing is left to send.
    pub(super) async fn next_unless(&mut self, is_deaf: bool) -> Result<Happened, Ended> {
        if !is_deaf {
            return self.next().await;
        }
        if self.is_clear() {
            return pending().await;
        }
        poll_fn(|context| self.poll_send(context))
            .await
            .map(|()| Happened::Sent)
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Happened, Ended>> {
        if !self.is_clear() && self.poll_send(context)?.is_ready() {
            return Poll::Ready(if self.is_refused {
                Err(Ended)
            } else {
                Ok(Happened::Sent)
            });
        }
        while self.unsent.len() < MOST_UNSENT && !self.is_refused {
            let message = ready!(self.inner.poll_next_unpin(context)).ok_or(Ended)?;
            self.unanswered = 0;
            self.deadline = Instant::now() + self.heartbeat;
            let text = match message {
                Ok(Message::Text(text)) => text.as_str().to_owned(),
                Ok(Message::Binary(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
                Ok(Message::Ping(_) | Message::Pong(_)) => continue,
                Ok(Message::Close(_)) => return Poll::Ready(Err(Ended)),
                Err(error) => {
                    let Some(frame) = refusal(&error, self.limit) else {
                        return Poll::Ready(Err(Ended));
                    };
                    self.unsent.push_back(Message::Close(Some(frame)));
                    self.is_refused = true;
                    return self.poll_next(context);
                }
            };
            return Poll::Ready(Ok(Happened::Heard(text)));
        }
        Poll::Pending
    }

    /// Sends what is to be said.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        while !self.unsent.is_empty() {
            ready!(self.inner.poll_ready_unpin(context)).map_err(|_| Ended)?;
            let Some(message) = self.unsent.pop_front() else {
                break;
            };
            self.is_unflushed = true;
            self.inner.start_send_unpin(message).map_err(|_| Ended)?;
        }
        ready!(self.inner.poll_flush_unpin(context)).map_err(|_| Ended)?;
        self.is_unflushed = false;
        Poll::Ready(Ok(()))
    }
}

/// Opens a socket whose messages have at most `limit` bytes, and has `converse` serve it until that ends, or the server has had
/// its last words. A client that is silent for the time of `heartbeat` is asked for a sign of life.
pub(super) fn open<F, C>(
    upgrade: WebSocketUpgrade,
    limit: usize,
    heartbeat: Duration,
    last_words: LastWords,
    converse: F,
) -> Response
where
    F: FnOnce(Socket) -> C + Send + 'static,
    C: Future<Output = Result<(), Ended>> + Send + 'static,
{
    let upgrade = upgrade
        .max_message_size(limit)
        .max_frame_size(limit)
        .protocols([PROTOCOL]);
    upgrade.on_upgrade(async move |inner| {
        let conversation = converse(Socket::new(inner, limit, heartbeat));
        let too_late = async {
            last_words.0.cancelled().await;
            sleep(FAREWELL).await;
        };
        // However it ends, nobody is left to be told.
        tokio::select! {
            _ = conversation => {}
            () = too_late => {}
        }
    })
}

/// How a socket is closed whose client does not keep to the protocol; none where nobody is there any more.
fn refusal(error: &axum::Error, limit: usize) -> Option<CloseFrame> {
    let (code, reason) = match error.source()?.downcast_ref()? {
        tungstenite::Error::Capacity(_) => return Some(too_long(limit)),
        tungstenite::Error::Utf8(_) => (
            close_code::INVALID,
            "a message of text is no valid UTF-8".to_owned(),
        ),
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return None,
        tungstenite::Error::Protocol(fault) => (close_code::PROTOCOL, fault.to_string()),
        _ => return None,
    };
    Some(CloseFrame {
        code,
        reason: reason.into(),
    })
}

/// What a client is told whose message is larger than may be. A reason has at most 123 bytes.
fn too_long(limit: usize) -> CloseFrame {
    let reason = format!("a message may have {limit} bytes at most");
    CloseFrame {
        code: close_code::SIZE,
        reason: reason.into(),
    }
}

/// The answer to a request that does not open a socket where nothing else can be done.
pub(super) fn required(message: &str) -> Response {
    let error = ApiError::new(Kind::NoSocket, message);
    (
        [
            (header::UPGRADE, "websocket"),
            (header::CONNECTION, "upgrade"),
        ],
        error,
    )
        .into_response()
}

/// What a client is told when the server stops.
pub(super) fn farewell() -> CloseFrame {
    CloseFrame {
        code: close_code::RESTART,
        reason: "the server is shutting down".into(),
    }
}
