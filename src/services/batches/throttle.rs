//! Limit on the workers that batches use.

use std::future::pending;
use std::time::Duration;

use tokio::time::sleep;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::engine::gateway::Readiness;
use crate::engine::gateway::TurnPipeline;
use crate::runtime::fair_queue::FairPermit;
use crate::runtime::fair_queue::FairSemaphore;
use crate::runtime::fair_queue::Tenant;

/// Interval between checks for waiting clients: short compared to an answer, long compared to the
/// check.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Maximum time that a line yields to clients. After that it asks for a worker with background
/// priority, and the pool starts one background turn per so many others.
const MAX_YIELD: Duration = Duration::from_secs(60);

/// Limit on concurrent lines of all batches. Fair queueing: keys take turns.
pub(super) struct BatchThrottle {
    permits: FairSemaphore,
    turns: TurnPipeline,
    /// Cancelled when no new line may start.
    stopping: CancellationToken,
}

impl BatchThrottle {
    /// Creates a limit of `parallel` concurrent lines.
    pub(super) fn new(parallel: usize, turns: TurnPipeline, stopping: CancellationToken) -> Self {
        Self {
            permits: FairSemaphore::new(parallel),
            turns,
            stopping,
        }
    }

    /// Waits until a line of `tenant` may start: a permit is free, no client waits for a worker,
    /// and a worker would be left for the line. The latter two are waited for at most [`MAX_YIELD`].
    /// Never returns once the server stops.
    pub(super) async fn acquire(&self, tenant: &Tenant) -> FairPermit {
        let permit = self.permits.acquire(tenant).await;
        let yielding = async {
            while !is_quiet(&self.turns.readiness()) {
                sleep(POLL_INTERVAL).await;
            }
        };
        // A timeout counts as permission to start.
        let _ = timeout(MAX_YIELD, yielding).await;
        // A permit in hand is not enough: nothing starts during shutdown.
        if self.stopping.is_cancelled() {
            pending().await
        } else {
            permit
        }
    }

    /// Returns true if one more line could start at once, so that this server may take lines of others.
    pub(super) fn has_room(&self) -> bool {
        !self.stopping.is_cancelled()
            && self.permits.has_free()
            && is_quiet(&self.turns.readiness())
    }
}

/// Returns true if a line would find a free worker that no client waits for.
fn is_quiet(readiness: &Readiness) -> bool {
    let workers = readiness.workers;
    readiness.waiting == 0 && (workers.max == 0 || workers.busy < workers.max)
}

#[cfg(test)]
#[path = "throttle_tests.rs"]
mod tests;
