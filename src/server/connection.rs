//! The life of one connection.

use std::pin::pin;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::Answers;
use super::Config;
use super::Shutdown;
use super::deadline_io::DeadlineIo;

/// The most that is buffered of a request's head or of an answer the client is slow to take, in bytes.
const BUFFER: usize = 64 * 1024;

/// Serves `stream` until its client leaves or `shutdown` ends it. Dropping what still runs ends its turn.
///
/// A connection that becomes a WebSocket is handed to whoever serves that; `count` goes with it.
pub(super) async fn run<A: Answers>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: A,
    config: Config,
    shutdown: Shutdown,
    count: TaskTrackerToken,
) {
    let io = TokioIo::new(DeadlineIo::new(stream, config.send_timeout).counted(count));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_read_timeout)
        .max_buf_size(BUFFER)
        .serve_connection(io, TowerToHyperService::new(router))
        .with_upgrades();
    let mut connection = pin!(connection);
    let begun = shutdown.begun();
    let ended = shutdown.ended();
    let mut ended = pin!(ended.cancelled());
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = ended.as_mut() => return,
        () = begun.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                result = connection.as_mut() => result,
                () = ended => return,
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended early");
    }
}
