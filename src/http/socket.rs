//! What all sockets have in common.

use std::time::Duration;

use axum::extract::ws::CloseFrame;
use axum::extract::ws::Message;
use axum::extract::ws::WebSocket;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::close_code;
use bytes::Bytes;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio::time::timeout_at;

use super::state::LastWords;

/// How long the last words may take to be sent.
const FAREWELL: Duration = Duration::from_millis(400);
/// Pings in a row that may stay without an answer: a client may be busy for a while, and not read.
const UNANSWERED: usize = 2;
/// What is agreed on where a page offers it beside its key: a browser wants one of what it offers, and the key is not told
/// back.
const PROTOCOL: &str = "realtime";

/// Why a socket ends: nobody is there any more, or is to be told anything.
#[derive(Debug)]
pub(super) struct Ended;

/// One client's socket. Nothing is read from it but by [`hear`](Self::hear).
pub(super) struct Socket {
    inner: WebSocket,
    heartbeat: Duration,
    /// When the silence has lasted too long.
    deadline: Instant,
    /// Pings since the client was heard last.
    unanswered: usize,
}

impl Socket {
    pub(super) fn new(inner: WebSocket, heartbeat: Duration) -> Self {
        Self { inner, heartbeat, deadline: Instant::now() + heartbeat, unanswered: 0 }
    }

    /// The next message. Asks a silent client for a sign of life, and gives up on one that gives none. May be dropped at any
    /// time without losing anything.
    pub(super) async fn hear(&mut self) -> Result<String, Ended> {
        loop {
            let Ok(message) = timeout_at(self.deadline, self.inner.recv()).await else {
                if self.unanswered == UNANSWERED {
                    return Err(Ended);
                }
                self.unanswered += 1;
                self.deadline = Instant::now() + self.heartbeat;
                self.send(Message::Ping(Bytes::new())).await?;
                continue;
            };
            self.unanswered = 0;
            self.deadline = Instant::now() + self.heartbeat;
            match message.ok_or(Ended)?.map_err(|_| Ended)? {
                Message::Text(text) => return Ok(text.as_str().to_owned()),
                Message::Binary(bytes) => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
                Message::Close(_) => return Err(Ended),
                Message::Ping(_) | Message::Pong(_) => {}
            }
        }
    }

    /// Sends a message, as fast as the client takes it; the connection fails when it takes nothing for the send timeout.
    pub(super) async fn say(&mut self, text: String) -> Result<(), Ended> {
        self.send(Message::text(text)).await
    }

    /// Ends the connection.
    pub(super) async fn close(&mut self, frame: CloseFrame) -> Result<(), Ended> {
        self.send(Message::Close(Some(frame))).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Ended> {
        self.inner.send(message).await.map_err(|_| Ended)
    }
}

/// An upgrade to a socket whose messages have at most `limit` bytes.
pub(super) fn prepared(upgrade: WebSocketUpgrade, limit: usize) -> WebSocketUpgrade {
    upgrade.max_message_size(limit).max_frame_size(limit).protocols([PROTOCOL])
}

/// Serves a socket until it ends, or the server has had its last words.
pub(super) async fn serve(conversation: impl Future<Output = Result<(), Ended>>, last_words: &LastWords) {
    let too_late = async {
        last_words.0.cancelled().await;
        sleep(FAREWELL).await;
    };
    tokio::select! {
        _ = conversation => {}
        () = too_late => {}
    }
}

/// What a client is told when the server stops.
pub(super) fn farewell() -> CloseFrame {
    CloseFrame { code: close_code::RESTART, reason: "the server is shutting down".into() }
}
