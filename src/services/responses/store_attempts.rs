//! Repeated attempts to store the end of a background response.
//!
//! Clients poll a background response until it ends. Without a further attempt, a disk that is full
//! at its end would leave it in progress for ever.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Error;
use crate::runtime::backoff::Backoff;
use crate::telemetry::logs::ErrorChain;

/// Delays between the attempts.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(4));

/// Failed attempts to store the end of one response.
#[derive(Debug, Default)]
pub(super) struct StoreAttempts {
    failures: u32,
}

impl StoreAttempts {
    /// Logs the first failure and waits for the next attempt. Returns false if there is none,
    /// because `stop` is cancelled or absent.
    pub(super) async fn wait_after(
        &mut self,
        error: &Error,
        id: &str,
        stop: Option<&CancellationToken>,
    ) -> bool {
        self.failures += 1;
        if self.failures == 1 {
            tracing::error!(
                response.id = id,
                error = %ErrorChain(error),
                "response not stored"
            );
        }
        let Some(stop) = stop else {
            return false;
        };
        tokio::select! {
            // Biased: after a shutdown has begun no further attempt delays it.
            biased;
            () = stop.cancelled() => false,
            () = sleep(BACKOFF.delay(self.failures)) => true,
        }
    }
}
