//! Listeners and connections: accepts, applies timeouts, and shuts down gracefully.
//!
//! The accept loop replaces axum's, which delays streams by Nagle's algorithm, leaves half-sent
//! heads open for ever and takes twice the memory per idle stream.

mod admin_socket;
mod config;
mod connection;
mod connection_limiter;
mod deadline_io;
mod head_watch;
mod shutdown;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use hyper::body::Body;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use tower::Service;

pub use admin_socket::LocalSocket;
pub use admin_socket::send_local_request;
pub use config::Config;
pub use connection_limiter::SPARE_CONNECTIONS;
pub use shutdown::Shutdown;

use connection_limiter::ConnectionLimiter;

/// Time for streams to send a last error event after the drain timeout.
const LAST_ERROR_GRACE: Duration = Duration::from_millis(500);
/// Pause of the accept loop when the system is out of descriptors or memory.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Numbers of connections that were open at the signal to stop, by how they ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainSummary {
    /// Connections that ended by themselves, with complete answers or a proper error.
    pub drained: usize,
    /// Connections that were cut off.
    pub aborted: usize,
}

/// Service that answers requests: in practice the router of `http`, which this module does not
/// know.
pub trait HttpService:
    Service<
        hyper::Request<Incoming>,
        Response = hyper::Response<Self::ResponseBody>,
        Error = Infallible,
        Future: Send,
    > + Clone
    + Send
    + 'static
{
    /// Body type of the responses.
    type ResponseBody: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;
}

impl<S, B> HttpService for S
where
    S: Service<
            hyper::Request<Incoming>,
            Response = hyper::Response<B>,
            Error = Infallible,
            Future: Send,
        > + Clone
        + Send
        + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    type ResponseBody = B;
}

/// Serves `router` on `listener` until `shutdown` has completed. Each connection is a task of
/// `tracker`.
pub async fn serve<A: HttpService>(
    listener: TcpListener,
    router: A,
    config: Config,
    shutdown: Shutdown,
    tracker: TaskTracker,
) -> DrainSummary {
    let connections = TaskTracker::new();
    let visitors = ConnectionLimiter::new(&config);
    accept_until_stopped(&listener, &config, &shutdown, |stream, address| {
        let visit = visitors.register(address, connections.len());
        let count = connections.token();
        tracker.spawn(connection::run(
            stream,
            router.clone(),
            config,
            shutdown.clone(),
            (count, Some(visit)),
        ));
    })
    .await;
    // Closing the listener first refuses new connections while the open ones drain.
    drop(listener);
    connections.close();
    drain(&connections, &config, &shutdown).await
}

async fn accept_until_stopped(
    listener: &TcpListener,
    config: &Config,
    shutdown: &Shutdown,
    mut take: impl FnMut(TcpStream, IpAddr),
) {
    let stop = shutdown.started();
    let mut is_failing = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                if std::mem::take(&mut is_failing) {
                    tracing::info!("connection accept recovered");
                }
                if let Err(error) = prepare(&stream, config) {
                    tracing::debug!(%error, "connection not served");
                    continue;
                }
                take(stream, address.ip());
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::error!(%error, "connection accept failed");
                }
                sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

/// Disables Nagle's algorithm, so that frames leave at once, and bounds the send buffer, which is
/// what a stopped reader pins.
fn prepare(stream: &TcpStream, config: &Config) -> io::Result<()> {
    stream.set_nodelay(true)?;
    rustix::net::sockopt::set_socket_send_buffer_size(stream, config.send_buffer)?;
    Ok(())
}

fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// Drains `connections` within the drain timeout, then gives streams [`LAST_ERROR_GRACE`] for an error
/// event, then drops the rest.
async fn drain(connections: &TaskTracker, config: &Config, shutdown: &Shutdown) -> DrainSummary {
    let open = connections.len();
    let ended = shutdown.aborted();
    let within = async |limit: Duration| {
        tokio::select! {
            () = connections.wait() => {}
            () = ended.cancelled() => {}
            () = sleep(limit) => {}
        }
    };
    within(config.drain_timeout).await;
    if !connections.is_empty() && !ended.is_cancelled() {
        shutdown.drain_expired().cancel();
        within(LAST_ERROR_GRACE).await;
    }
    let aborted = connections.len();
    ended.cancel();
    connections.wait().await;
    DrainSummary {
        drained: open.saturating_sub(aborted),
        aborted,
    }
}
