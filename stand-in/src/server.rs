//! The server's life: listening, connections, and their end.

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
    record::{Log, RecordLimits, Recorded, Stats},
    routes::{self, Desk},
};

/// A pause after a failed accept, which is most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What may be told a stand-in when it starts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// The bounds of the record.
    pub record: RecordLimits,
    /// Whether the rules of the real API are off for all requests.
    pub is_lenient: bool,
}

/// A running stand-in. Dropping it stops the server and aborts its connections.
#[must_use = "dropping it stops the server"]
pub struct StandIn {
    address: SocketAddr,
    desk: Arc<Desk>,
    task: JoinHandle<()>,
}

impl StandIn {
    /// Serves on a free port of 127.0.0.1.
    pub async fn start() -> io::Result<Self> {
        Self::start_with(Settings::default()).await
    }

    /// Serves on a free port of 127.0.0.1 with other settings.
    pub async fn start_with(settings: Settings) -> io::Result<Self> {
        Self::serve_with(TcpListener::bind(("127.0.0.1", 0)).await?, settings)
    }

    /// Serves on `listener`, which must be bound to a loopback address.
    pub fn serve(listener: TcpListener) -> io::Result<Self> {
        Self::serve_with(listener, Settings::default())
    }

    /// Serves on `listener` with other settings.
    pub fn serve_with(listener: TcpListener, settings: Settings) -> io::Result<Self> {
        let address = listener.local_addr()?;
        if !address.ip().is_loopback() {
            let message = format!(
                "{address} is not a loopback address; the stand-in serves this machine only"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let desk = Arc::new(Desk::new(
            Arc::new(Log::new(settings.record)),
            settings.is_lenient,
        ));
        let service = TowerToHyperService::new(routes::router(Arc::clone(&desk)));
        let task = tokio::spawn(async move {
            // Owned by this task, so that aborting it aborts the connections.
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => drop(connections.spawn(serve_connection(stream, service.clone()))),
                        Err(error) => {
                            tracing::warn!(%error, "could not accept a connection");
                            time::sleep(ACCEPT_PAUSE).await;
                        }
                    },
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self {
            address,
            desk,
            task,
        })
    }

    /// `http://127.0.0.1:PORT`, without a slash at its end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The recorded requests, oldest first.
    pub fn requests(&self) -> Vec<Recorded> {
        self.desk.log.requests()
    }

    /// The counts since the start.
    pub fn stats(&self) -> Stats {
        self.desk.log.stats()
    }

    /// Empties the record, and counts `times` directives from zero again.
    pub fn clear(&self) {
        self.desk.clear();
    }

    /// Has all messages from now on meet the faults and delays of `directives`, such as `[[status=529]]`, whatever their
    /// prompts ask for. What they are answered otherwise stays. A text without directives ends it.
    ///
    /// # Errors
    /// `InvalidInput` if a directive is wrong; nothing changes then.
    pub fn impose(&self, directives: &str) -> io::Result<()> {
        let wrong = |message| io::Error::new(io::ErrorKind::InvalidInput, message);
        self.desk
            .impose(Directives::parse(directives).map_err(wrong)?);
        Ok(())
    }

    /// Waits until at least `count` requests are on record, and returns them.
    ///
    /// # Errors
    /// `TimedOut` if that has not come true within `deadline`.
    pub async fn wait_for(&self, count: usize, deadline: Duration) -> io::Result<Vec<Recorded>> {
        self.wait_until(deadline, |requests| requests.len() >= count)
            .await
    }

    /// Waits until the record satisfies `is_met`, such as an outcome being settled, and returns it.
    ///
    /// # Errors
    /// `TimedOut` if that has not come true within `deadline`.
    pub async fn wait_until(
        &self,
        deadline: Duration,
        is_met: impl Fn(&[Recorded]) -> bool,
    ) -> io::Result<Vec<Recorded>> {
        let mut changes = self.desk.log.subscribe();
        let met = async {
            loop {
                changes.mark_unchanged();
                let requests = self.requests();
                if is_met(&requests) {
                    return requests;
                }
                // The sender lives as long as `self`, so this only ever ends with a change.
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
    // Without it the kernel would gather small chunks, and a token would wait for the next.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "could not set TCP_NODELAY");
    }
    if let Err(error) = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
    {
        tracing::debug!(%error, "connection ended");
    }
}
