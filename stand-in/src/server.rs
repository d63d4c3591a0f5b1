//! Server lifecycle: listener, connections, and their end.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time,
};

use crate::{
    directives::Directives,
    record::{RecordLimits, RecordedRequest, RequestLog, Stats},
    routes::{self, SharedState},
};

/// Pause after a failed accept, most often caused by a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Settings of a stand-in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Limits of the request record.
    pub record: RecordLimits,
    /// Set to turn off the validation rules for all requests.
    pub is_lenient: bool,
    /// Set to count tokens that the real API would read from its prompt cache or write to it.
    pub has_prompt_cache: bool,
}

/// Running stand-in; dropping it stops the server and aborts its connections.
#[must_use = "dropping it stops the server"]
pub struct StandIn {
    address: SocketAddr,
    state: Arc<SharedState>,
    task: JoinHandle<()>,
}

impl StandIn {
    /// Starts a stand-in on a free port of 127.0.0.1.
    pub async fn start() -> io::Result<Self> {
        Self::start_with(Settings::default()).await
    }

    /// Starts a stand-in with these settings on a free port of 127.0.0.1.
    pub async fn start_with(settings: Settings) -> io::Result<Self> {
        Self::serve_with(TcpListener::bind(("127.0.0.1", 0)).await?, settings)
    }

    /// Starts a stand-in on `listener`, which must be bound to a loopback address.
    pub fn serve(listener: TcpListener) -> io::Result<Self> {
        Self::serve_with(listener, Settings::default())
    }

    /// Starts a stand-in with these settings on `listener`, which must be bound to a loopback
    /// address.
    pub fn serve_with(listener: TcpListener, settings: Settings) -> io::Result<Self> {
        let address = listener.local_addr()?;
        if !address.ip().is_loopback() {
            let message = format!(
                "{address} is not a loopback address; the stand-in serves this machine only"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let state = Arc::new(SharedState::new(
            Arc::new(RequestLog::new(settings.record)),
            settings.is_lenient,
            settings.has_prompt_cache,
        ));
        let service = TowerToHyperService::new(routes::router(Arc::clone(&state)));
        let task = tokio::spawn(async move {
            // Cancellation: this task owns the set, so aborting it aborts the connections.
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => drop(connections.spawn(serve_connection(stream, service.clone()))),
                        Err(error) => {
                            tracing::warn!(%error, "connection not accepted");
                            time::sleep(ACCEPT_PAUSE).await;
                        }
                    },
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self {
            address,
            state,
            task,
        })
    }

    /// Returns `http://127.0.0.1:PORT`, without a trailing slash.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the recorded requests, oldest first.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.state.log.requests()
    }

    /// Returns the counters since the start.
    pub fn stats(&self) -> Stats {
        self.state.log.stats()
    }

    /// Clears the record and the counts for `times` directives.
    pub fn clear(&self) {
        self.state.clear();
    }

    /// Applies the faults and delays of `directives`, such as `[[status=529]]`, to all messages
    /// from now on.
    ///
    /// The content of the answers stays as their prompts define it. A text without directives ends
    /// the injection.
    ///
    /// # Errors
    /// `InvalidInput` if a directive is invalid; nothing changes then.
    pub fn inject(&self, directives: &str) -> io::Result<()> {
        let wrong = |message| io::Error::new(io::ErrorKind::InvalidInput, message);
        self.state
            .inject(Directives::parse(directives).map_err(wrong)?);
        Ok(())
    }

    /// Waits until at least `count` requests are recorded, and returns them.
    ///
    /// # Errors
    /// `TimedOut` if the condition is not met within `deadline`.
    pub async fn wait_for(
        &self,
        count: usize,
        deadline: Duration,
    ) -> io::Result<Vec<RecordedRequest>> {
        self.wait_until(deadline, |requests| requests.len() >= count)
            .await
    }

    /// Waits until the recorded requests satisfy `is_met`, and returns them.
    ///
    /// # Errors
    /// `TimedOut` if the condition is not met within `deadline`.
    pub async fn wait_until(
        &self,
        deadline: Duration,
        is_met: impl Fn(&[RecordedRequest]) -> bool,
    ) -> io::Result<Vec<RecordedRequest>> {
        let mut changes = self.state.log.subscribe();
        let met = async {
            loop {
                changes.mark_unchanged();
                let requests = self.requests();
                if is_met(&requests) {
                    return requests;
                }
                // The sender lives as long as `self`, so this completes only upon a change.
                let _ = changes.changed().await;
            }
        };
        let timed_out = |_| {
            let count = self.requests().len();
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!("not so within {deadline:?}; {count} requests on record"),
            )
        };
        time::timeout(deadline, met).await.map_err(timed_out)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve_connection(stream: TcpStream, service: TowerToHyperService<axum::Router>) {
    // Nagle's algorithm would delay a token until the next one.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY not set");
    }
    if let Err(error) = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
    {
        tracing::debug!(%error, "connection ended");
    }
}
