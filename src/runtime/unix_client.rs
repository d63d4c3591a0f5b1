//! HTTP/1.1 client over a Unix socket.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::Full;
use hyper::Request;
use hyper::Response;
use hyper::Uri;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::runtime::http_client::HttpClientError;
use crate::runtime::http_client::TrackerExecutor;

/// Client of the server that listens on one Unix socket. Clones share its connections.
#[derive(Clone)]
pub struct UnixHttpClient(Client<UnixConnector, Full<Bytes>>);

/// Connector to one socket, whatever address a request names.
#[derive(Clone)]
struct UnixConnector(Arc<PathBuf>);

impl UnixHttpClient {
    /// Creates a client of the socket at `path`, whose connection tasks run on `tracker`, and which
    /// keeps at most `max_idle_connections`.
    pub fn new(path: PathBuf, tracker: TaskTracker, max_idle_connections: usize) -> Self {
        let client = Client::builder(TrackerExecutor(tracker))
            .pool_max_idle_per_host(max_idle_connections)
            .build(UnixConnector(Arc::new(path)));
        Self(client)
    }

    /// Sends `request`, whose address needs a host that is not used, and returns the answer once
    /// its head is here. Cancellation closes the connection.
    ///
    /// # Errors
    /// Fails when the socket cannot be reached, or its server breaks off.
    pub async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, HttpClientError> {
        let answer = self.0.request(request).await;
        answer.map_err(|error| HttpClientError::from_innermost_cause(&error))
    }
}

impl fmt::Debug for UnixHttpClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("UnixHttpClient")
    }
}

impl Service<Uri> for UnixConnector {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<UnixStream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let path = Arc::clone(&self.0);
        Box::pin(async move {
            let stream = UnixStream::connect(path.as_path()).await?;
            Ok(TokioIo::new(stream))
        })
    }
}
