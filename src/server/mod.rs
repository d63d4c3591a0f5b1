//! The socket side: takes connections, watches their pace, and ends them in order.
//!
//! One accept loop of our own instead of axum's: that one stalls streams by Nagle's algorithm, leaves half-sent
//! heads open for ever and takes twice the memory per idle stream.

mod config;
mod connection;
mod deadline_io;
mod head_watch;
mod local;
mod shutdown;
mod visitors;

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

pub use config::Config;
pub use local::LocalSocket;
pub use local::ask;
pub use shutdown::Shutdown;
pub use visitors::SPARE_CONNECTIONS;

use visitors::Visitors;

/// How long streams have for their last error event after the drain timeout.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long accepting rests when the system is out of descriptors or memory.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// How the connections that were open at the signal to stop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// By themselves, their answers whole or properly ended.
    pub drained: usize,
    /// By being dropped.
    pub aborted: usize,
}

/// What answers requests: the router of `http`, which this part need not know.
pub trait Answers:
    Service<
        hyper::Request<Incoming>,
        Response = hyper::Response<Self::ResponseBody>,
        Error = Infallible,
        Future: Send,
    > + Clone
    + Send
    + 'static
{
    /// The body of its responses.
    type ResponseBody: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;
}

impl<S, B> Answers for S
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

/// Serves `router` on `listener` until `shutdown` has run its course. Every connection is a task of `tracker`.
pub async fn serve<A: Answers>(
    listener: TcpListener,
    router: A,
    config: Config,
    shutdown: Shutdown,
    tracker: TaskTracker,
) -> Summary {
    let connections = TaskTracker::new();
    let visitors = Visitors::new(&config);
    accept_until_stopped(&listener, &config, &shutdown, |stream, address| {
        let visit = visitors.arrive(address, connections.len());
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
    let begun = shutdown.begun();
    let mut in_trouble = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = begun.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                if std::mem::take(&mut in_trouble) {
                    tracing::info!("connections are accepted again");
                }
                if let Err(error) = prepare(&stream, config) {
                    tracing::debug!(%error, "a connection was gone before it could be served");
                    continue;
                }
                take(stream, address.ip());
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut in_trouble, true) {
                    tracing::error!(%error, "no connection can be accepted; trying again until it works");
                }
                sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// Frames leave as they are written, and a reader that stopped pins no more than the send buffer.
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

/// Waits for `connections` within the drain timeout, gives the rest a moment for their last words, drops what is
/// left.
async fn drain(connections: &TaskTracker, config: &Config, shutdown: &Shutdown) -> Summary {
    let open = connections.len();
    let ended = shutdown.ended();
    let within = async |limit: Duration| {
        tokio::select! {
            () = connections.wait() => {}
            () = ended.cancelled() => {}
            () = sleep(limit) => {}
        }
    };
    within(config.drain_timeout).await;
    if !connections.is_empty() && !ended.is_cancelled() {
        shutdown.last_words().cancel();
        within(LAST_WORDS).await;
    }
    let aborted = connections.len();
    ended.cancel();
    connections.wait().await;
    Summary {
        drained: open.saturating_sub(aborted),
        aborted,
    }
}
