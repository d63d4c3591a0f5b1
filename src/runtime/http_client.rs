//! HTTP/1.1 client for the calls that the server makes itself: webhooks, exports of traces, other servers.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use futures::StreamExt as _;
use futures::stream;
use http_body_util::BodyExt as _;
use http_body_util::Full;
use http_body_util::Limited;
use hyper::Request;
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::header::USER_AGENT;
use hyper::rt::Executor;
use hyper_rustls::HttpsConnector;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

const PRODUCT: &str = concat!("claude-switchboard/", env!("CARGO_PKG_VERSION"));
/// Maximum silence of a server that sends: four heartbeats of an event stream.
pub const MAX_SILENCE: Duration = Duration::from_secs(60);
/// Description of a connection without a sign of life.
pub const SILENT: &str = "nothing has come for a minute";

type HttpsClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;
type LazyClient = LazyLock<HttpsClient, Box<dyn FnOnce() -> HttpsClient + Send>>;

/// Client over TCP and TLS. Connects directly: private addresses are allowed; proxies and redirects
/// are not used, and there is no time-out. Clones share its connections.
#[derive(Clone)]
pub struct HttpClient(Arc<LazyClient>);

/// Failure of a call. Its text is the innermost cause, without the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpClientError {
    cause: String,
    is_unconnected: bool,
}

/// Executor that spawns connection tasks on the task tracker of the server.
#[derive(Clone)]
pub(super) struct TrackerExecutor(pub(super) TaskTracker);

impl HttpClient {
    /// Creates a client whose connection tasks run on `tracker`, and which keeps at most
    /// `max_idle_connections` for each host. The root certificates are loaded with the first
    /// request: those of the system, or Mozilla's if it has none.
    pub fn new(tracker: TaskTracker, max_idle_connections: usize) -> Self {
        let build = move || {
            let builder = HttpsConnectorBuilder::new();
            let builder = match builder.with_native_roots() {
                Ok(builder) => builder,
                Err(_) => HttpsConnectorBuilder::new().with_webpki_roots(),
            };
            let connector = builder.https_or_http().enable_http1().build();
            Client::builder(TrackerExecutor(tracker))
                .pool_max_idle_per_host(max_idle_connections)
                .build(connector)
        };
        Self(Arc::new(LazyLock::new(Box::new(build))))
    }

    /// Sends `request` with the product as its user agent, and returns the answer once its head
    /// is here. Cancellation closes the connection.
    pub async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, HttpClientError> {
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
        let answer = self.0.request(request).await;
        answer.map_err(|error| HttpClientError {
            is_unconnected: error.is_connect(),
            ..HttpClientError::from_innermost_cause(&error)
        })
    }
}

impl HttpClientError {
    /// Describes `error` by its innermost cause: the outer ones only say `client error`.
    pub fn from_innermost_cause(error: &(dyn Error + 'static)) -> Self {
        let mut cause = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        Self {
            cause: cause.to_string(),
            is_unconnected: false,
        }
    }

    /// True if there was no connection, so that nothing of the request was sent.
    pub fn is_unconnected(&self) -> bool {
        self.is_unconnected
    }
}

/// Reads a body of at most `max_bytes` bytes to its end.
pub async fn read_body(body: Incoming, max_bytes: usize) -> Result<Bytes, HttpClientError> {
    match Limited::new(body, max_bytes).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(HttpClientError::from_innermost_cause(&*error)),
    }
}

/// Passes on the pieces of a body. After [`MAX_SILENCE`] without one the connection counts as dead:
/// the last item is an error of the kind `TimedOut`.
pub fn end_after_silence<E>(
    pieces: impl Stream<Item = Result<Bytes, E>>,
) -> impl Stream<Item = io::Result<Bytes>>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    end_after_pause(pieces, MAX_SILENCE)
}

/// Passes on the pieces of a body as [`end_after_silence`] does, with another bound than a minute.
pub fn end_after_pause<E>(
    pieces: impl Stream<Item = Result<Bytes, E>>,
    max_pause: Duration,
) -> impl Stream<Item = io::Result<Bytes>>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    stream::unfold(Some(Box::pin(pieces)), move |pieces| async move {
        let mut pieces = pieces?;
        let Ok(piece) = timeout(max_pause, pieces.next()).await else {
            let reason = if max_pause == MAX_SILENCE {
                SILENT.to_owned()
            } else {
                format!("nothing has come for {max_pause:?}")
            };
            let silent = io::Error::new(io::ErrorKind::TimedOut, reason);
            return Some((Err(silent), None));
        };
        let piece = piece?.map_err(io::Error::other);
        Some((piece, Some(pieces)))
    })
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("HttpClient")
    }
}

impl fmt::Display for HttpClientError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.cause)
    }
}

impl Error for HttpClientError {}

impl<F> Executor<F> for TrackerExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::pin;

    use tokio::time::Instant;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn body_ends_with_an_error_after_a_minute_of_silence() {
        let pauses = [50, 50, 3600];
        let pieces = stream::iter(pauses).then(|pause| async move {
            sleep(Duration::from_secs(pause)).await;
            Ok::<_, Infallible>(Bytes::from_static(b":"))
        });
        let begun = Instant::now();
        let mut pieces = pin!(end_after_silence(pieces));
        for _ in 0..2 {
            assert_eq!(pieces.next().await.unwrap().unwrap(), ":");
        }
        let error = pieces.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(pieces.next().await.is_none());
        assert!(begun.elapsed() < Duration::from_secs(170));
    }
}
