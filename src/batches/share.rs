//! How much of the pool batches may take.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::gateway::Readiness;
use crate::gateway::Turns;

/// How often it is looked whether clients still wait: short beside an answer, long beside the look.
const PAUSE: Duration = Duration::from_millis(50);

/// The share of all batches together. Whoever waits for a part of it gets it in the order of asking, so batches take turns.
pub(super) struct Share {
    permits: Semaphore,
    turns: Arc<dyn Turns>,
    /// Cancelled when nothing new is to begin.
    stopping: CancellationToken,
}

impl Share {
    /// So many lines at a time.
    pub(super) fn new(parallel: usize, turns: Arc<dyn Turns>, stopping: CancellationToken) -> Self {
        Self { permits: Semaphore::new(parallel), turns, stopping }
    }

    /// Waits until a line may run: it is its turn, no client waits for a worker, and none would have to wait for this line
    /// alone. For ever, once the server stops.
    pub(super) async fn enter(&self) -> SemaphorePermit<'_> {
        let Ok(permit) = self.permits.acquire().await else { return pending().await };
        while !is_quiet(&self.turns.readiness()) {
            sleep(PAUSE).await;
        }
        if self.stopping.is_cancelled() { pending().await } else { permit }
    }
}

/// Whether a line would find a worker that nobody else waits for.
fn is_quiet(readiness: &Readiness) -> bool {
    let workers = readiness.workers;
    readiness.waiting == 0 && (workers.max == 0 || workers.busy < workers.max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::WorkerCounts;

    #[test]
    fn clients_who_wait_and_a_pool_without_a_free_worker_stop_lines() {
        for (waiting, busy, max, expected) in
            [(0, 0, 0, true), (1, 0, 0, false), (0, 3, 4, true), (0, 4, 4, false), (1, 3, 4, false)]
        {
            let workers = WorkerCounts { busy, max, ..WorkerCounts::default() };
            let readiness = Readiness { waiting, workers, ..Readiness::default() };
            assert_eq!(is_quiet(&readiness), expected, "{readiness:?}");
        }
    }
}
