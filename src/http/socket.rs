//! Shared WebSocket loop: sending, heartbeat, backpressure.
//!
//! Outgoing messages are queued in the socket and sent while it is polled for input. So a client
//! that does not read can still send, and producers wait until the socket [is
//! clear](Socket::is_clear), which bounds the queue.

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

/// Time limit for sending the last messages.
const FAREWELL: Duration = Duration::from_millis(400);
/// Maximum number of unanswered pings in a row: a client may be busy for a while.
const UNANSWERED: usize = 2;
/// Maximum number of unsent messages while input is still read. Beyond it, input waits.
const MOST_UNSENT: usize = 64;
/// Subprotocol that is accepted where a page offers it beside its key: a browser requires one of
/// its offers, and the key must not be echoed.
const PROTOCOL: &str = "realtime";

/// End of a socket: the client is gone, or was sent a close frame.
#[derive(Debug)]
pub(super) struct Ended;

/// Event on a socket.
#[derive(Debug)]
pub(super) enum Happened {
    /// Message of the client.
    Heard(String),
    /// End of the queue: every message is handed to the connection.
    Sent,
}

/// WebSocket of one client. Input is read only by [`next`](Self::next) and [`hear`](Self::hear).
pub(super) struct Socket {
    inner: WebSocket,
    /// Maximum size of a message, in bytes.
    limit: usize,
    heartbeat: Duration,
    /// Time at which the silence of the client gets a ping.
    deadline: Instant,
    /// Pings since the client's last sign of life.
    unanswered: usize,
    /// Messages still to be sent.
    unsent: VecDeque<Message>,
    /// Set while sent messages may still be buffered in this process.
    is_unflushed: bool,
    /// Set when a close frame for a protocol fault is queued; no more input is read.
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

    /// Returns true if nothing is left to send.
    pub(super) fn is_clear(&self) -> bool {
        self.unsent.is_empty() && !self.is_unflushed
    }

    /// Queues `text`, which is sent while [`next`](Self::next) is awaited.
    pub(super) fn add(&mut self, text: String) {
        self.unsent.push_back(Message::text(text));
    }

    /// Waits for the next event. Pings a silent client, and gives up on one that does not answer; a
    /// client that does not read is bounded by the send timeout. Cancellation-safe.
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
            // Pings and pongs move the deadline without ending the wait.
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

    /// Waits for the next message, like [`next`](Self::next).
    pub(super) async fn hear(&mut self) -> Result<String, Ended> {
        loop {
            if let Happened::Heard(text) = self.next().await? {
                return Ok(text);
            }
        }
    }

    /// Sends a message without reading input meanwhile; fails if the client reads nothing for the
    /// send timeout.
    pub(super) async fn say(&mut self, text: String) -> Result<(), Ended> {
        self.send(Message::text(text)).await
    }

    /// Sends a close frame, which ends the connection.
    pub(super) async fn close(&mut self, frame: CloseFrame) -> Result<(), Ended> {
        self.send(Message::Close(Some(frame))).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Ended> {
        self.unsent.push_back(message);
        poll_fn(|context| self.poll_send(context)).await
    }

    /// Waits like [`next`](Self::next); while `is_deaf`, only sends, and stays pending when nothing
    /// is left to send.
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
        // Backpressure: a client that does not read is not listened to beyond this bound.
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

    /// Sends and flushes the queued messages.
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

/// Upgrades to a WebSocket whose messages have at most `limit` bytes. `converse` serves it until it
/// ends, or until [`FAREWELL`] after the drain timeout. A client that is silent for `heartbeat` is
/// pinged.
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
        // The result is ignored: the connection is over either way.
        tokio::select! {
            _ = conversation => {}
            () = too_late => {}
        }
    })
}

/// Returns the close frame for a protocol fault; `None` if the client is gone.
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

/// Returns the close frame for a message over the limit. Close reasons are limited to 123 bytes.
fn too_long(limit: usize) -> CloseFrame {
    let reason = format!("a message may have {limit} bytes at most");
    CloseFrame {
        code: close_code::SIZE,
        reason: reason.into(),
    }
}

/// Returns the response to a request without an upgrade on a path that only opens a WebSocket.
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

/// Returns the close frame for a shutdown.
pub(super) fn farewell() -> CloseFrame {
    CloseFrame {
        code: close_code::RESTART,
        reason: "the server is shutting down".into(),
    }
}
