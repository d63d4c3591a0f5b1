//! Shared WebSocket loop: sending, heartbeat, backpressure.
//!
//! Outgoing messages are queued in the socket and sent while it is polled for input. So a client
//! that does not read can still send, and producers wait until the socket [is
//! clear](ClientSocket::is_clear), which bounds the queue.

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
use super::error::ErrorKind;
use super::shutdown::DrainExpired;

/// Time limit for sending the last messages.
const CLOSE_GRACE: Duration = Duration::from_millis(400);
/// Maximum number of consecutive unanswered pings: a client may be busy for a while.
const MAX_UNANSWERED_PINGS: usize = 2;
/// Maximum number of unsent messages while input is still read. Beyond it, input waits.
const MAX_UNSENT_MESSAGES: usize = 64;
/// Subprotocol that is accepted where a page offers it beside its key: a browser requires one of
/// its offers, and the key must not be echoed.
const SUBPROTOCOL: &str = "realtime";

/// End of a socket: the client is gone, or was sent a close frame.
#[derive(Debug)]
pub(super) struct SocketClosed;

/// Event on a socket.
#[derive(Debug)]
pub(super) enum SocketEvent {
    /// Message of the client.
    Message(String),
    /// End of the queue: every message is handed to the connection.
    Flushed,
}

/// WebSocket of one client. Input is read only by [`next`](Self::next) and [`next_message`](Self::next_message).
pub(super) struct ClientSocket {
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

impl ClientSocket {
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
    pub(super) fn queue_text(&mut self, text: String) {
        self.unsent.push_back(Message::text(text));
    }

    /// Waits for the next event. Pings a silent client, and disconnects one that does not answer; a
    /// client that does not read is bounded by the send timeout. Cancellation-safe.
    pub(super) async fn next(&mut self) -> Result<SocketEvent, SocketClosed> {
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
                if self.unanswered == MAX_UNANSWERED_PINGS {
                    return Err(SocketClosed);
                }
                self.unanswered += 1;
                self.deadline = Instant::now() + self.heartbeat;
                self.send(Message::Ping(Bytes::new())).await?;
            }
        }
    }

    /// Waits for the next message, like [`next`](Self::next).
    pub(super) async fn next_message(&mut self) -> Result<String, SocketClosed> {
        loop {
            if let SocketEvent::Message(text) = self.next().await? {
                return Ok(text);
            }
        }
    }

    /// Sends a message without reading input meanwhile; fails if the client reads nothing for the
    /// send timeout.
    pub(super) async fn send_text(&mut self, text: String) -> Result<(), SocketClosed> {
        self.send(Message::text(text)).await
    }

    /// Sends a close frame, which ends the connection.
    pub(super) async fn close(&mut self, frame: CloseFrame) -> Result<(), SocketClosed> {
        self.send(Message::Close(Some(frame))).await
    }

    async fn send(&mut self, message: Message) -> Result<(), SocketClosed> {
        self.unsent.push_back(message);
        poll_fn(|context| self.poll_send(context)).await
    }

    /// Waits like [`next`](Self::next); while `is_deaf`, only sends, and stays pending when nothing
    /// is left to send.
    pub(super) async fn next_unless(&mut self, is_deaf: bool) -> Result<SocketEvent, SocketClosed> {
        if !is_deaf {
            return self.next().await;
        }
        if self.is_clear() {
            return pending().await;
        }
        poll_fn(|context| self.poll_send(context))
            .await
            .map(|()| SocketEvent::Flushed)
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<SocketEvent, SocketClosed>> {
        if !self.is_clear() && self.poll_send(context)?.is_ready() {
            return Poll::Ready(if self.is_refused {
                Err(SocketClosed)
            } else {
                Ok(SocketEvent::Flushed)
            });
        }
        // Backpressure: messages of a client that does not read are not read beyond this bound.
        while self.unsent.len() < MAX_UNSENT_MESSAGES && !self.is_refused {
            let message = ready!(self.inner.poll_next_unpin(context)).ok_or(SocketClosed)?;
            self.unanswered = 0;
            self.deadline = Instant::now() + self.heartbeat;
            let text = match message {
                Ok(Message::Text(text)) => text.as_str().to_owned(),
                Ok(Message::Binary(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
                Ok(Message::Ping(_) | Message::Pong(_)) => continue,
                Ok(Message::Close(_)) => return Poll::Ready(Err(SocketClosed)),
                Err(error) => {
                    let Some(frame) = protocol_close_frame(&error, self.limit) else {
                        return Poll::Ready(Err(SocketClosed));
                    };
                    self.unsent.push_back(Message::Close(Some(frame)));
                    self.is_refused = true;
                    return self.poll_next(context);
                }
            };
            return Poll::Ready(Ok(SocketEvent::Message(text)));
        }
        Poll::Pending
    }

    /// Sends and flushes the queued messages.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SocketClosed>> {
        while !self.unsent.is_empty() {
            ready!(self.inner.poll_ready_unpin(context)).map_err(|_| SocketClosed)?;
            let Some(message) = self.unsent.pop_front() else {
                break;
            };
            self.is_unflushed = true;
            self.inner
                .start_send_unpin(message)
                .map_err(|_| SocketClosed)?;
        }
        ready!(self.inner.poll_flush_unpin(context)).map_err(|_| SocketClosed)?;
        self.is_unflushed = false;
        Poll::Ready(Ok(()))
    }
}

/// Upgrades to a WebSocket whose messages have at most `limit` bytes. `converse` serves it until it
/// ends, or until [`CLOSE_GRACE`] after the drain timeout. A client that is silent for `heartbeat` is
/// pinged.
pub(super) fn open<F, C>(
    upgrade: WebSocketUpgrade,
    limit: usize,
    heartbeat: Duration,
    drain_expired: DrainExpired,
    converse: F,
) -> Response
where
    F: FnOnce(ClientSocket) -> C + Send + 'static,
    C: Future<Output = Result<(), SocketClosed>> + Send + 'static,
{
    let upgrade = upgrade
        .max_message_size(limit)
        .max_frame_size(limit)
        .protocols([SUBPROTOCOL]);
    upgrade.on_upgrade(async move |inner| {
        let conversation = converse(ClientSocket::new(inner, limit, heartbeat));
        let too_late = async {
            drain_expired.0.cancelled().await;
            sleep(CLOSE_GRACE).await;
        };
        // The result is ignored: the connection is over either way.
        tokio::select! {
            _ = conversation => {}
            () = too_late => {}
        }
    })
}

/// Returns the close frame for a protocol fault; `None` if the client is gone.
fn protocol_close_frame(error: &axum::Error, limit: usize) -> Option<CloseFrame> {
    let (code, reason) = match error.source()?.downcast_ref()? {
        tungstenite::Error::Capacity(_) => return Some(too_long_close_frame(limit)),
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
fn too_long_close_frame(limit: usize) -> CloseFrame {
    let reason = format!("a message may have {limit} bytes at most");
    CloseFrame {
        code: close_code::SIZE,
        reason: reason.into(),
    }
}

/// Returns the response to a request without an upgrade on a path that only opens a WebSocket.
pub(super) fn upgrade_required(message: &str) -> Response {
    let error = ApiError::new(ErrorKind::NoSocket, message);
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
pub(super) fn shutdown_close_frame() -> CloseFrame {
    CloseFrame {
        code: close_code::RESTART,
        reason: "the server is shutting down".into(),
    }
}
