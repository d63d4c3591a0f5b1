//! Removal of old batches.

use std::time::Duration;

use tokio::time::sleep;

use super::Batches;
use super::Error;
use super::records::BatchRecord;
use crate::domain::unix_now;
use crate::telemetry::logs::ErrorChain;

const SWEEP_INTERVAL: Duration = Duration::from_secs(60 * 60);

impl Batches {
    /// Starts a task that removes old batches periodically, until the server stops.
    pub fn spawn_cleanup(&self) {
        let batches = self.clone();
        let stop = self.0.stop.clone();
        self.0.tracker.spawn(async move {
            while stop
                .run_until_cancelled(sleep(SWEEP_INTERVAL))
                .await
                .is_some()
            {
                if let Err(error) = batches.sweep(unix_now()).await {
                    tracing::warn!(
                        error = %ErrorChain(&error),
                        "old batches not removed"
                    );
                }
            }
        });
    }

    /// Removes batches that ended more than their time to live before `now` (Unix seconds). Their
    /// files expire on their own.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub(crate) async fn sweep(&self, now: u64) -> Result<(), Error> {
        let time_to_live = self.0.config.time_to_live.as_secs();
        let is_over = |record: &BatchRecord| {
            record.is_cleaned_up
                && record
                    .batch
                    .ended_at()
                    .is_some_and(|end| end.saturating_add(time_to_live) <= now)
        };
        for record in self
            .0
            .records
            .readable()
            .await?
            .iter()
            .filter(|record| is_over(record))
        {
            self.0
                .records
                .remove(&record.project, &record.batch.id)
                .await?;
        }
        Ok(())
    }
}
