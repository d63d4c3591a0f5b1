//! WebSockets that are passed on: once both sides have upgraded, bytes go both ways.

use std::io;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::header;
use axum::http::request::Parts;
use bytes::BytesMut;
use futures::future::try_join;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt as _;
use tokio::io::split;
use tokio::time::Instant;
use tokio::time::sleep_until;
use tokio::time::timeout;

/// Maximum number of bytes that are passed at once.
const BUFFER_BYTES: usize = 8 * 1024;
/// Time for which one side may go on when the other has closed. A side that never closes would keep the
/// connection for ever.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// Moment at which bytes have come last, from either side.
struct LastBytes(Mutex<Instant>);

/// Returns true if the request asks for a WebSocket.
pub(super) fn wants_socket(request: &Parts) -> bool {
    let upgrade = request.headers.get(header::UPGRADE);
    upgrade.is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Sets the headers of an upgrade to a WebSocket, which are those of one connection.
pub(super) fn set_upgrade(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// Passes bytes both ways between a client and another server, until one has closed, a connection fails,
/// or nothing has come from either for `max_silence`: the other server pings a silent client. Cancellation
/// closes both connections.
pub(super) async fn pass_both_ways(client: OnUpgrade, node: OnUpgrade, max_silence: Duration) {
    let upgraded = try_join(client, node).await;
    let (client, node) = match upgraded {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(%error, "socket not passed on");
            return;
        }
    };
    let (client, node) = (TokioIo::new(client), TokioIo::new(node));
    if let Err(error) = join_streams(client, node, max_silence).await {
        tracing::debug!(%error, "passed socket broken off");
    }
}

async fn join_streams(
    client: impl AsyncRead + AsyncWrite,
    node: impl AsyncRead + AsyncWrite,
    max_silence: Duration,
) -> io::Result<()> {
    let last = LastBytes(Mutex::new(Instant::now()));
    let (from_client, to_client) = split(client);
    let (from_node, to_node) = split(node);
    let mut to_node = pin!(pass_one_way(from_client, to_node, &last));
    let mut to_client = pin!(pass_one_way(from_node, to_client, &last));
    let rest = tokio::select! {
        ended = &mut to_node => {
            ended?;
            timeout(CLOSE_GRACE, to_client).await
        }
        ended = &mut to_client => {
            ended?;
            timeout(CLOSE_GRACE, to_node).await
        }
        () = last.wait_for_silence(max_silence) => {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "both sides are silent"));
        }
    };
    rest.unwrap_or(Ok(()))
}

/// Passes bytes on until `source` ends, and closes `sink` then.
async fn pass_one_way(
    mut source: impl AsyncRead + Unpin,
    mut sink: impl AsyncWrite + Unpin,
    last: &LastBytes,
) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(BUFFER_BYTES);
        let received = source.read_buf(&mut buffer).await?;
        *last.lock() = Instant::now();
        if received == 0 {
            return sink.shutdown().await;
        }
        sink.write_all_buf(&mut buffer).await?;
        sink.flush().await?;
    }
}

impl LastBytes {
    fn lock(&self) -> MutexGuard<'_, Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nothing has come for `max_silence`.
    async fn wait_for_silence(&self, max_silence: Duration) {
        loop {
            let end = *self.lock() + max_silence;
            if end <= Instant::now() {
                return;
            }
            sleep_until(end).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join;
    use tokio::io::duplex;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn passed_socket_ends_when_nothing_comes_from_either_side() {
        let (client, _far_client) = duplex(64);
        let (node, mut far_node) = duplex(64);
        let begun = Instant::now();
        let talking = async move {
            tokio::time::sleep(MINUTE / 2).await;
            far_node.write_all(b"ping").await.unwrap();
            far_node
        };
        let (joined, _far_node) = join(join_streams(client, node, MINUTE), talking).await;
        assert_eq!(joined.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!((MINUTE..2 * MINUTE).contains(&begun.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn passed_socket_ends_when_one_side_has_closed_and_the_other_does_not() {
        let (client, mut far_client) = duplex(64);
        let (node, mut far_node) = duplex(64);
        let begun = Instant::now();
        let talking = async move {
            far_client.write_all(b"hello").await.unwrap();
            let mut received = [0; 5];
            far_node.read_exact(&mut received).await.unwrap();
            assert_eq!(&received, b"hello");
            far_node.write_all(b"bye").await.unwrap();
            drop(far_node);
            let mut rest = Vec::new();
            far_client.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, b"bye");
            far_client
        };
        let (joined, _far_client) = join(join_streams(client, node, MINUTE), talking).await;
        joined.unwrap();
        assert!(begun.elapsed() < MINUTE);
    }
}
