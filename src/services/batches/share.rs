//! How much of the pool batches may take.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::engine::gateway::Readiness;
use crate::engine::gateway::Turns;
use crate::runtime::fair_queue::FairPermit;
use crate::runtime::fair_queue::Permits;
use crate::runtime::fair_queue::Tenant;

/// How often it is looked whether clients still wait: short beside an answer, long beside the look.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a line stands back for clients whose turn it is. Then it asks for a worker all the same, as a request in the background,
/// and the pool gives those one turn in a row of many.
const PATIENCE: Duration = Duration::from_secs(60);

/// The share of all batches together. Keys get parts of it in turn, and so do the batches of a key, in the order of asking.
pub(super) struct Share {
    permits: Permits,
    turns: Arc<dyn Turns>,
    /// Cancelled when nothing new is to begin.
    stopping: CancellationToken,
}

impl Share {
    /// So many lines at a time.
    pub(super) fn new(parallel: usize, turns: Arc<dyn Turns>, stopping: CancellationToken) -> Self {
        Self {
            permits: Permits::new(parallel),
            turns,
            stopping,
        }
    }

    /// Waits until a line of `tenant` may run: it is its turn, no client waits for a worker, and none would have to wait for this
    /// line alone; or it has stood back for long enough. For ever, once the server stops.
    pub(super) async fn enter(&self, tenant: &Tenant) -> FairPermit {
        let permit = self.permits.acquire(tenant).await;
        let standing_back = async {
            while !is_quiet(&self.turns.readiness()) {
                sleep(PAUSE).await;
            }
        };
        // Either way it may go on.
        let _ = timeout(PATIENCE, standing_back).await;
        if self.stopping.is_cancelled() {
            pending().await
        } else {
            permit
        }
    }
}

/// Whether a line would find a worker that nobody else waits for.
fn is_quiet(readiness: &Readiness) -> bool {
    let workers = readiness.workers;
    readiness.waiting == 0 && (workers.max == 0 || workers.busy < workers.max)
}

#[cfg(test)]
#[path = "share_tests.rs"]
mod tests;
