//! Stages of a graceful shutdown.

use std::io;

use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Stage of a graceful shutdown: running, draining, drain timeout expired, aborted. Clones share
/// it.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    started: CancellationToken,
    drain_expired: CancellationToken,
    aborted: CancellationToken,
}

impl Shutdown {
    /// Creates the handle of a running server.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a child handle for another listener: it follows the stages of this one, and ending
    /// it does not end this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            started: self.started.clone(),
            drain_expired: self.drain_expired.child_token(),
            aborted: self.aborted.child_token(),
        }
    }

    /// Begins the graceful shutdown: no new connections, running requests go on until the drain
    /// timeout.
    pub fn begin(&self) {
        self.started.cancel();
    }

    /// Stops at once, without a drain.
    pub fn abort(&self) {
        self.started.cancel();
        self.drain_expired.cancel();
        self.aborted.cancel();
    }

    /// Returns the token that is cancelled when the shutdown begins and no new work may start.
    pub fn started(&self) -> CancellationToken {
        self.started.clone()
    }

    /// Returns the token that is cancelled when the drain timeout expires: streams then send an
    /// error event and end.
    pub fn drain_expired(&self) -> CancellationToken {
        self.drain_expired.clone()
    }

    /// Returns the token that is cancelled when all connections are to be dropped, at the latest
    /// when `serve` returns.
    pub(super) fn aborted(&self) -> CancellationToken {
        self.aborted.clone()
    }

    /// Begins the shutdown on SIGTERM or SIGINT; a second signal stops at once.
    ///
    /// # Errors
    /// Fails when the process may not install signal handlers.
    pub fn listen_for_signals(&self, tracker: &TaskTracker) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = self.clone();
        tracker.spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                }
            };
            // Not `ended` of this listener: other listeners may still be draining.
            let ended = shutdown.drain_expired();
            for stage in [Self::begin, Self::abort] {
                tokio::select! {
                    name = next() => tracing::info!(signal = name, "shutdown requested"),
                    () = ended.cancelled() => return,
                }
                stage(&shutdown);
            }
        });
        Ok(())
    }
}
