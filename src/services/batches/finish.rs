//! End of a batch: output files are made from the outcomes of its lines.

use super::Error;
use super::job::BatchEnd;
use super::job::BatchJob;
use super::lines::InputLines;
use super::records::BatchRecord;
use super::records::LineOutcome;
use super::service::BatchesInner;
use super::slices::remove_plan;
use crate::accounts::ledger::WorkKind;
use crate::accounts::ledger::WorkOwners;
use crate::api::openai::batches;
use crate::api::openai::batches::BatchRequestLine;
use crate::api::openai::batches::BatchStatus;
use crate::api::openai::files::Purpose;
use crate::domain::unix_now;
use crate::services::answers::ApiEndpoint;
use crate::storage::files;
use crate::storage::files::FileDraft;
use crate::storage::files::Files;
use crate::storage::files::FinishedFile;
use crate::storage::store;
use crate::storage::store::Transaction;
use crate::telemetry::metrics::BatchLineEnd;

/// Writer of the output and error files. A file without content is not created.
struct OutputFiles<'a> {
    files: &'a Files,
    record: &'a BatchRecord,
    answers: Option<FileDraft>,
    errors: Option<FileDraft>,
}

impl BatchJob {
    /// Creates the output files and ends the batch. Returns the changed batch, or `None` if it is
    /// gone. Safe to retry: nothing is visible before the final transaction.
    ///
    /// # Errors
    /// Fails when the store or a file does, or another server has taken the batch over, which ends it.
    pub(super) async fn finish(&self, end: BatchEnd) -> Result<Option<BatchRecord>, Error> {
        let records = &self.inner.records;
        let owners = self.inner.owners.clone();
        // Written after the last outcome, so the outcomes read below are complete. Other servers write
        // none without the plan.
        let begin = move |record: &mut BatchRecord, transaction: &mut Transaction<'_>| {
            check_owner_in(&owners, record, transaction)?;
            if owners.is_shared() {
                remove_plan(transaction, &record.project, &record.batch.id);
            }
            if record.batch.status == BatchStatus::InProgress {
                (record.batch.status, record.batch.finalizing_at) =
                    (BatchStatus::Finalizing, Some(unix_now()));
            }
            Ok(())
        };
        let Some(record) = records.update(&self.project, &self.id, begin).await? else {
            return Ok(None);
        };
        self.show(record.batch.status);
        let end = actual_end(&record, end);
        let mut output = OutputFiles {
            files: &self.inner.files,
            record: &record,
            answers: None,
            errors: None,
        };
        for number in 1..=record.lines {
            if let Some(outcome) = records.outcome(&self.id, number).await? {
                output.add(&outcome).await?;
            }
        }
        if let Some((code, message)) = unanswered_reason(&end) {
            self.add_unanswered(&record, &mut output, code, message)
                .await?;
        }
        let (answers, errors) = output.finish().await?;
        let entries = [
            answers.map(FinishedFile::into_record).transpose()?,
            errors.map(FinishedFile::into_record).transpose()?,
        ];
        let metrics = self.inner.metrics.clone();
        let owners = self.inner.owners.clone();
        let work = move |record: &mut BatchRecord, transaction: &mut Transaction<'_>| {
            check_owner_in(&owners, record, transaction)?;
            let counts = record.batch.request_counts;
            let ended = counts.completed + counts.failed;
            let not_run = counts.total.saturating_sub(ended);
            let metrics = metrics.clone();
            // Counted by the write, because a shutdown drops the future that waits for it.
            transaction.after_write(move |is_made| {
                if is_made {
                    metrics.count_lines(BatchLineEnd::NotRun, not_run);
                }
            });
            let ids = entries.each_ref().map(|made| {
                let (file, enter) = made.as_ref()?;
                enter(transaction);
                Some(file.id.clone())
            });
            end_batch(record, &end, ids);
            Ok(())
        };
        records.update(&self.project, &self.id, work).await
    }

    /// Adds an error line for each line without an outcome.
    async fn add_unanswered(
        &self,
        record: &BatchRecord,
        output: &mut OutputFiles<'_>,
        code: &str,
        message: &str,
    ) -> Result<(), Error> {
        let file = self
            .inner
            .files
            .open_content(&self.project, &record.batch.input_file_id)
            .await;
        let mut lines = match file {
            Ok((_, file)) => InputLines::new(file, self.inner.config.max_line_bytes),
            Err(files::Error::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        while let Some(line) = lines.next().await? {
            if line.number > record.lines {
                break;
            }
            if self
                .inner
                .records
                .outcome(&self.id, line.number)
                .await?
                .is_some()
            {
                continue;
            }
            let bytes = line.bytes.unwrap_or_default();
            if let Ok(request) =
                BatchRequestLine::decode(&bytes, line.number, &record.batch.endpoint)
            {
                let line = batches::error_line(&request.custom_id, code, message);
                output
                    .add(&LineOutcome {
                        is_answer: false,
                        line,
                    })
                    .await?;
            }
        }
        Ok(())
    }
}

impl OutputFiles<'_> {
    async fn add(&mut self, outcome: &LineOutcome) -> Result<(), Error> {
        let draft = if outcome.is_answer {
            &mut self.answers
        } else {
            &mut self.errors
        };
        let draft = match draft {
            Some(draft) => draft,
            None => draft.insert(self.files.draft_for_server(&self.record.project).await?),
        };
        Ok(draft.write(outcome.line.as_bytes()).await?)
    }

    async fn finish(self) -> Result<(Option<FinishedFile>, Option<FinishedFile>), Error> {
        let record = self.record;
        let finish = async |draft: Option<FileDraft>, kind: &str| -> Result<_, Error> {
            let Some(draft) = draft else { return Ok(None) };
            let name = format!("{}_{kind}.jsonl", record.batch.id);
            let is_of_messages = BatchesInner::endpoint(&record.batch) == ApiEndpoint::Messages;
            let purpose = if is_of_messages {
                Purpose::MessageBatch
            } else {
                Purpose::BatchOutput
            };
            Ok(Some(
                draft
                    .finish(name, purpose, record.output_expires_after)
                    .await?,
            ))
        };
        Ok((
            finish(self.answers, "output").await?,
            finish(self.errors, "error").await?,
        ))
    }
}

/// Checks within `transaction` that the batch is still this server's: the plan and the files are those of
/// its owner.
fn check_owner_in(
    owners: &WorkOwners,
    record: &BatchRecord,
    transaction: &Transaction<'_>,
) -> Result<(), Error> {
    let BatchRecord { project, batch, .. } = record;
    if owners.is_own_in(transaction, WorkKind::Batch, project, &batch.id)? {
        Ok(())
    } else {
        Err(store::Error::Fenced.into())
    }
}

/// Returns the actual end. A cancellation wins over a finished last line, and a finished last line
/// over an expired window.
fn actual_end(record: &BatchRecord, end: BatchEnd) -> BatchEnd {
    let counts = record.batch.request_counts;
    match end {
        _ if record.batch.status == BatchStatus::Cancelling => BatchEnd::Cancelled,
        _ if counts.completed + counts.failed == counts.total => BatchEnd::Done,
        end => end,
    }
}

/// Returns the error code and message for lines that were not answered.
fn unanswered_reason(end: &BatchEnd) -> Option<(&str, &str)> {
    match end {
        BatchEnd::Done => None,
        BatchEnd::Cancelled => Some((
            "batch_cancelled",
            "This request was not made: the batch was cancelled.",
        )),
        BatchEnd::Expired => Some((
            "batch_expired",
            "This request could not be executed before the completion window expired.",
        )),
        BatchEnd::Failed(fault) => Some((&fault.code, &fault.message)),
    }
}

fn end_batch(record: &mut BatchRecord, end: &BatchEnd, [answers, errors]: [Option<String>; 2]) {
    let batch = &mut record.batch;
    batch.output_file_id = answers;
    batch.error_file_id = errors;
    let (status, at) = match end {
        BatchEnd::Done => (BatchStatus::Completed, &mut batch.completed_at),
        BatchEnd::Cancelled => (BatchStatus::Cancelled, &mut batch.cancelled_at),
        BatchEnd::Expired => (BatchStatus::Expired, &mut batch.expired_at),
        BatchEnd::Failed(fault) => {
            batch.errors = Some(vec![fault.clone()].into());
            (BatchStatus::Failed, &mut batch.failed_at)
        }
    };
    batch.status = status;
    *at = Some(unix_now());
}
