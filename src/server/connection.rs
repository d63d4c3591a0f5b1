//! Lifecycle of one connection.

use std::pin::pin;
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower::util::MapRequest;
use tower::util::MapResponse;

use super::Config;
use super::HttpService;
use super::Shutdown;
use super::deadline_io::DeadlineIo;
use super::head_watch::HeadWatch;
use crate::http::AmbiguousLength;
use crate::http::Connection;
use crate::telemetry::logs::ErrorChain;

/// Maximum buffered size of a request head, and of a response that the client is slow to read, in
/// bytes.
const MAX_BUFFER_BYTES: usize = 64 * 1024;

/// Head timeout of the spare connections that are reserved for `/health`.
const SPARE_HEAD_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves `stream` until the client leaves, `shutdown` ends it, or it is evicted for a new
/// connection. Dropping a running request cancels its turn.
///
/// A connection that is upgraded to a WebSocket moves, with its count, to the task that serves the
/// WebSocket.
pub(super) async fn run<A: HttpService>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: A,
    config: Config,
    shutdown: Shutdown,
    (count, visit): (TaskTrackerToken, Option<Connection>),
) {
    let watch = HeadWatch::default();
    let io = TokioIo::new(
        DeadlineIo::new(stream, config.send_timeout)
            .with_count(count)
            .with_head_watch(watch.clone()),
    );
    let left = visit
        .as_ref()
        .map(|visit| visit.unauthenticated.evicted().clone())
        .unwrap_or_default();
    let is_spare = visit.as_ref().is_some_and(|visit| visit.is_spare);
    let head = if is_spare {
        config.header_read_timeout.min(SPARE_HEAD_TIMEOUT)
    } else {
        config.header_read_timeout
    };
    let upgraded = watch.clone();
    let router = MapResponse::new(router, move |response: A::Response| {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            upgraded.stop();
        }
        response
    });
    let router = MapRequest::new(router, move |mut request: hyper::Request<Incoming>| {
        if let Some(visit) = &visit {
            request.extensions_mut().insert(visit.clone());
        }
        if watch.has_ambiguous_length() {
            request.extensions_mut().insert(AmbiguousLength);
        }
        request
    });
    // A spare connection serves one request, so that it is soon free for the next health check.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .keep_alive(!is_spare)
        .max_buf_size(MAX_BUFFER_BYTES)
        .serve_connection(io, TowerToHyperService::new(router))
        .with_upgrades();
    let mut connection = pin!(connection);
    let stop = shutdown.started();
    let ended = shutdown.aborted();
    let ended = async {
        tokio::select! {
            () = ended.cancelled() => {}
            () = left.cancelled() => {}
        }
    };
    let mut ended = pin!(ended);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        // Dropping the connection cancels the request futures, which release their workers.
        () = ended.as_mut() => return,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                result = connection.as_mut() => result,
                () = ended => return,
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(
            error = %ErrorChain(&error),
            "connection ended early"
        );
    }
}
