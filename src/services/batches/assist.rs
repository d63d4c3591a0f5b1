//! Slices of batches of other servers, which this one runs while it has room.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio::time::sleep;
use tokio::time::timeout;

use super::Batches;
use super::Error;
use super::job::BatchEnd;
use super::job::BatchJob;
use super::job::BatchRole;
use super::job::RETRY_DELAY;
use super::records::BatchRecord;
use super::service::BatchesInner;
use super::sliced_run::POLL_INTERVAL;
use super::slices::PlannedBatch;
use crate::accounts::auth::Permission;
use crate::api::openai::batches::BatchStatus;
use crate::domain::unix_now;
use crate::runtime::backoff::with_jitter;
use crate::storage::files;
use crate::telemetry::logs::ErrorChain;

/// Time after which a batch that this server cannot run is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Longest time that the stop of the server waits for slices to be given back.
const MAX_LEAVE_TIME: Duration = Duration::from_secs(5);

/// Batches that this server cannot run slices of, by id, with the time at which they are looked at
/// again. Each is logged once.
pub(crate) type PassedOverBatches = HashMap<String, Instant>;

/// Reason why this server runs no slices of a batch.
#[derive(Debug, thiserror::Error)]
enum PassOver {
    /// The records of the batch are damaged or those of a later version, or the store fails.
    #[error("its records cannot be used")]
    Records(#[from] Error),
    /// The content of the input file is not here.
    #[error("its input file is not on this server")]
    Input,
    /// The key is not configured here, or may not run requests.
    #[error("its key cannot be used on this server")]
    Key,
}

impl Batches {
    /// Starts a task that looks for batches of other servers and runs slices of them while this one has
    /// room, until the server stops. Does nothing on a store that is not shared.
    pub fn spawn_assistance(&self) {
        if !self.0.owners.is_shared() {
            return;
        }
        let batches = self.clone();
        let stop = self.0.stop.clone();
        self.0.tracker.spawn(async move {
            let mut passed_over = PassedOverBatches::new();
            let mut is_failing = false;
            while stop
                .run_until_cancelled(sleep(with_jitter(POLL_INTERVAL)))
                .await
                .is_some()
            {
                let looked = batches.assist_others(&mut passed_over).await;
                if let Err(error) = &looked
                    && !is_failing
                {
                    tracing::warn!(
                        error = %ErrorChain(error),
                        "batches of other servers not looked for"
                    );
                }
                is_failing = looked.is_err();
            }
        });
    }

    /// Starts to run slices of a batch of another server, chosen at random, if there is room. Returns
    /// false if there is none to assist.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub(crate) async fn assist_others(
        &self,
        passed_over: &mut PassedOverBatches,
    ) -> Result<bool, Error> {
        let BatchesInner {
            records, throttle, ..
        } = &*self.0;
        if !throttle.has_room() {
            return Ok(false);
        }
        let mut planned = records.list_planned().await?;
        passed_over.retain(|id, _| planned.iter().any(|batch| batch.id == *id));
        // One at a time, so that the room is known when the next one is chosen.
        fastrand::shuffle(&mut planned);
        for batch in planned {
            let id = batch.id.clone();
            let again = passed_over.get(&id).copied();
            if again.is_some_and(|again| Instant::now() < again) {
                continue;
            }
            match self.assist_with(batch).await {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(reason) => {
                    if again.is_none() {
                        tracing::info!(
                            error = %ErrorChain(&reason),
                            batch.id = id,
                            "batch of another server not run here"
                        );
                    }
                    passed_over.insert(id, Instant::now() + LOOK_AGAIN);
                }
            }
        }
        Ok(false)
    }

    /// Starts to run slices of a batch if it has open ones. Returns false if there is nothing to do.
    async fn assist_with(&self, batch: PlannedBatch) -> Result<bool, PassOver> {
        let BatchesInner { records, keys, .. } = &*self.0;
        let PlannedBatch { project, id, plan } = batch;
        if !plan.map_err(Error::from)?.has_open_slice() {
            return Ok(false);
        }
        let record = records.load(&project, &id).await?;
        let Some(record) = record.filter(|record| !record.batch.status.is_final()) else {
            records.remove_leftover_plan(&project, &id).await?;
            return Ok(false);
        };
        if !self.is_assistable(&record) {
            return Ok(false);
        }
        // A key that another server has just created may not be known here yet.
        let is_fresh = keys.refresh().await.is_ok();
        let caller = keys.caller_of_owner(&record.owner, Some(Permission::Inference));
        if !is_fresh || caller.is_err() {
            return Err(PassOver::Key);
        }
        let input = self
            .0
            .files
            .open_content(&project, &record.batch.input_file_id);
        match input.await {
            Ok(_) => Ok(self.start_assistance(record)),
            Err(files::Error::NotFound(_)) => Err(PassOver::Input),
            Err(error) => Err(Error::from(error).into()),
        }
    }

    /// Returns true if lines of the batch may run, and this server does not run any of them yet.
    fn is_assistable(&self, record: &BatchRecord) -> bool {
        let BatchesInner {
            running, assisted, ..
        } = &*self.0;
        let batch = &record.batch;
        batch.status == BatchStatus::InProgress
            && batch.expires_at.is_none_or(|end| unix_now() < end)
            && running.get(&record.project, &batch.id).is_none()
            && assisted.get(&record.project, &batch.id).is_none()
    }

    /// Starts to run slices of a batch of another server. Returns false if this server runs it already.
    fn start_assistance(&self, record: BatchRecord) -> bool {
        let BatchesInner {
            running, assisted, ..
        } = &*self.0;
        let (project, id) = (record.project.clone(), record.batch.id.clone());
        let entry = assisted.try_register(&project, &id, record.batch.status);
        let Some(registration) = entry else {
            return false;
        };
        // Looked at after the entry is made: this server may just have become the owner, which ends
        // what it finds there.
        if running.get(&project, &id).is_some() {
            return false;
        }
        let job = BatchJob {
            inner: Arc::clone(&self.0),
            project,
            id,
            role: BatchRole::Assistant,
            cancel: registration.cancel_token().clone(),
            registration,
        };
        let stop = self.0.stop.clone();
        self.0.tracker.spawn(async move {
            let assisted = stop.run_until_cancelled(job.assist(&record)).await;
            if assisted.is_none() {
                job.leave_slices(&record).await;
            }
            drop(job);
        });
        true
    }
}

impl BatchJob {
    /// Gives the slices of the batch back when the server stops, so that others run them at once. Those
    /// that it cannot give back are open once its lease is over.
    pub(super) async fn leave_slices(&self, record: &BatchRecord) {
        let BatchesInner {
            records, owners, ..
        } = &*self.inner;
        if !owners.is_shared() {
            return;
        }
        let left = timeout(MAX_LEAVE_TIME, records.give_back_slices(owners, record)).await;
        if let Ok(Err(error)) = left {
            tracing::warn!(
                error = %ErrorChain(&error),
                batch.id = self.id,
                "slices of a batch not left to other servers"
            );
        }
    }

    /// Runs slices of a batch of another server, and gives back those that are not finished.
    async fn assist(&self, record: &BatchRecord) {
        tracing::info!(batch.id = self.id, "batch of another server assisted");
        let has_failed = match Box::pin(self.run_slices(record)).await {
            Ok(BatchEnd::Failed(fault)) => {
                tracing::warn!(
                    batch.id = self.id,
                    code = fault.code,
                    "slices of a batch given back"
                );
                true
            }
            Ok(_) => false,
            Err(error) => {
                tracing::warn!(
                    error = %ErrorChain(&error),
                    batch.id = self.id,
                    "slices of a batch given back"
                );
                true
            }
        };
        let BatchesInner {
            records, owners, ..
        } = &*self.inner;
        while let Err(error) = records.give_back_slices(owners, record).await {
            tracing::debug!(
                error = %ErrorChain(&error),
                batch.id = self.id,
                "slices not given back yet"
            );
            sleep(with_jitter(POLL_INTERVAL)).await;
        }
        if has_failed {
            // The owner has time to claim them.
            self.cancel.run_until_cancelled(sleep(RETRY_DELAY)).await;
        }
    }
}
