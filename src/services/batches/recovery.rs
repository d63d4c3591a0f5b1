//! Batches that a server has left unfinished.

use super::Error;
use super::records::BatchRecord;
use super::service::Batches;
use super::service::BatchesInner;
use crate::accounts::auth::AuthError;
use crate::accounts::auth::Permission;
use crate::accounts::ledger::WorkKind;
use crate::api::openai::batches::BatchStatus;
use crate::domain::unix_now;
use crate::storage::files;
use crate::telemetry::logs::ErrorChain;

impl Batches {
    /// Resumes batches that an earlier server left unfinished, and returns their number.
    ///
    /// On a shared store, takes the batches of servers that are gone and whose input this server
    /// reaches.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub async fn recover(&self) -> Result<usize, Error> {
        if self.0.owners.is_shared() {
            return self.take_over().await;
        }
        let mut unfinished = self.0.records.readable().await?;
        unfinished.retain(|record| !record.is_cleaned_up);
        unfinished.iter().for_each(|record| self.start(record));
        Ok(unfinished.len())
    }

    /// Takes over batches of servers that are gone. Batches whose input cannot be read here wait for
    /// the start of a server that can, unless the file is gone. So do those whose key is not known here,
    /// while lines of them are to be run.
    async fn take_over(&self) -> Result<usize, Error> {
        let BatchesInner {
            owners, records, ..
        } = &*self.0;
        let mut taken = 0;
        for work in owners.list_abandoned(WorkKind::Batch).await? {
            let (project, id) = (&work.owner, &work.id);
            let record = match records.load(project, id).await {
                Ok(record) => record,
                Err(error) => {
                    tracing::warn!(
                        error = %ErrorChain(&error),
                        batch.id = id.as_str(),
                        "batch not taken over"
                    );
                    continue;
                }
            };
            let unfinished = record.filter(|record| !record.is_cleaned_up);
            if let Some(record) = &unfinished
                && !(self.knows_key(record).await && self.can_finish(record).await)
            {
                continue;
            }
            if !owners.claim(&work).await? {
                continue;
            }
            match unfinished {
                Some(record) => {
                    self.start(&record);
                    taken += 1;
                }
                None => owners.end(WorkKind::Batch, project, id).await?,
            }
        }
        Ok(taken)
    }

    /// Returns true if this server knows the key that the lines of the batch run as, or none is to be run. A
    /// key of the configuration is known to some servers alone; one that is revoked ends the batch.
    async fn knows_key(&self, record: &BatchRecord) -> bool {
        let batch = &record.batch;
        let runs_lines = matches!(
            batch.status,
            BatchStatus::Validating | BatchStatus::InProgress
        );
        if !runs_lines || batch.expires_at.is_some_and(|end| end <= unix_now()) {
            return true;
        }
        let keys = &self.0.keys;
        // A key that another server has just created may not be known here yet.
        let is_fresh = keys.refresh().await.is_ok();
        let caller = keys.caller_of_owner(&record.owner, Some(Permission::Inference));
        is_fresh && !matches!(caller, Err(AuthError::Missing | AuthError::Wrong))
    }

    /// Returns true if this server can run the batch to its end: it reads the input file, or no server does,
    /// because the file is gone.
    async fn can_finish(&self, record: &BatchRecord) -> bool {
        let BatchRecord { project, batch, .. } = record;
        let files = &self.0.files;
        batch.status.is_final()
            || match files.open_content(project, &batch.input_file_id).await {
                Ok(_) => true,
                Err(files::Error::NotFound(_)) => {
                    let file = files.get(project, &batch.input_file_id).await;
                    matches!(file, Err(files::Error::NotFound(_)))
                }
                Err(_) => false,
            }
    }
}
