//! The stages of stopping.

use std::io;

use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How far the server is on its way down. Clones share their stage.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    begun: CancellationToken,
    last_words: CancellationToken,
    ended: CancellationToken,
}

impl Shutdown {
    /// A server that is meant to run.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same for another listener: its stages come with these, and its end is not theirs.
    #[must_use]
    pub fn aside(&self) -> Self {
        Self {
            begun: self.begun.clone(),
            last_words: self.last_words.child_token(),
            ended: self.ended.child_token(),
        }
    }

    /// Asks to stop: no new connection is taken, running requests go on until the drain timeout.
    pub fn begin(&self) {
        self.begun.cancel();
    }

    /// Asks to stop without waiting for anyone.
    pub fn at_once(&self) {
        self.begun.cancel();
        self.last_words.cancel();
        self.ended.cancel();
    }

    /// Cancelled when stopping begins: nothing new is to be taken on.
    pub fn begun(&self) -> CancellationToken {
        self.begun.clone()
    }

    /// Cancelled when the drain timeout is over: whoever still streams has a moment left to say so.
    pub fn last_words(&self) -> CancellationToken {
        self.last_words.clone()
    }

    /// Cancelled when every connection is to be dropped, and at the latest when `serve` is done.
    pub(super) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// Lets SIGTERM or SIGINT begin the stop, and a second one end it at once.
    ///
    /// # Errors
    /// When the process may not install signal handlers.
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
            // Not the end of this listener: others may still be on their way down.
            let ended = shutdown.last_words();
            for stage in [Self::begin, Self::at_once] {
                tokio::select! {
                    name = next() => tracing::info!(signal = name, "asked to stop; a second signal stops at once"),
                    () = ended.cancelled() => return,
                }
                stage(&shutdown);
            }
        });
        Ok(())
    }
}
