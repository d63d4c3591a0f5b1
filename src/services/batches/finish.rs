//! End of a batch: output files are made from the outcomes of its lines.

use super::Error;
use super::job::End;
use super::job::Job;
use super::lines::Lines;
use super::records::Outcome;
use super::records::Record;
use super::service::Inner;
use crate::api::openai::batches;
use crate::api::openai::batches::Line;
use crate::api::openai::batches::Status;
use crate::api::openai::files::Purpose;
use crate::domain::unix_now;
use crate::services::answers::Endpoint;
use crate::storage::files;
use crate::storage::files::Draft;
use crate::storage::files::Files;
use crate::storage::files::Finished;
use crate::storage::store::Transaction;

/// Writer of the output and error files. A file without content is not created.
struct Output<'a> {
    files: &'a Files,
    record: &'a Record,
    answers: Option<Draft>,
    errors: Option<Draft>,
}

impl Job {
    /// Creates the output files and ends the batch. Returns the changed batch, or `None` if it is
    /// gone. Safe to retry: nothing is visible before the final transaction.
    pub(super) async fn finish(&self, end: End) -> Result<Option<Record>, Error> {
        let records = &self.inner.records;
        // Written after the last outcome, so the outcomes read below are complete.
        let begin = |record: &mut Record, _: &mut Transaction<'_>| {
            if record.batch.status == Status::InProgress {
                (record.batch.status, record.batch.finalizing_at) =
                    (Status::Finalizing, Some(unix_now()));
            }
            Ok(())
        };
        let Some(record) = records.update(&self.project, &self.id, begin).await? else {
            return Ok(None);
        };
        let end = ended(&record, end);
        let mut output = Output {
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
        if let Some((code, message)) = reason(&end) {
            self.add_unanswered(&record, &mut output, code, message)
                .await?;
        }
        let (answers, errors) = output.finish().await?;
        let entries = [
            answers.map(Finished::entry).transpose()?,
            errors.map(Finished::entry).transpose()?,
        ];
        let work = move |record: &mut Record, transaction: &mut Transaction<'_>| {
            let ids = entries.map(|made| {
                let (file, enter) = made?;
                enter(transaction);
                Some(file.id)
            });
            close(record, end, ids);
            Ok(())
        };
        records.update(&self.project, &self.id, work).await
    }

    /// Adds an error line for each line without an outcome.
    async fn add_unanswered(
        &self,
        record: &Record,
        output: &mut Output<'_>,
        code: &str,
        message: &str,
    ) -> Result<(), Error> {
        let file = self
            .inner
            .files
            .open_content(&self.project, &record.batch.input_file_id)
            .await;
        let mut lines = match file {
            Ok((_, file)) => Lines::of(file, self.inner.config.longest_line),
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
            if let Ok(request) = Line::decode(&bytes, line.number, &record.batch.endpoint) {
                let line = batches::failure(&request.custom_id, code, message);
                output
                    .add(&Outcome {
                        is_answer: false,
                        line,
                    })
                    .await?;
            }
        }
        Ok(())
    }
}

impl Output<'_> {
    async fn add(&mut self, outcome: &Outcome) -> Result<(), Error> {
        let draft = if outcome.is_answer {
            &mut self.answers
        } else {
            &mut self.errors
        };
        let draft = match draft {
            Some(draft) => draft,
            None => draft.insert(self.files.draft_of_ours(&self.record.project).await?),
        };
        Ok(draft.write(outcome.line.as_bytes()).await?)
    }

    async fn finish(self) -> Result<(Option<Finished>, Option<Finished>), Error> {
        let record = self.record;
        let finish = async |draft: Option<Draft>, kind: &str| -> Result<_, Error> {
            let Some(draft) = draft else { return Ok(None) };
            let name = format!("{}_{kind}.jsonl", record.batch.id);
            let is_of_messages = Inner::endpoint(&record.batch) == Endpoint::Messages;
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

/// Returns the actual end. A cancellation wins over a finished last line, and a finished last line
/// over an expired window.
fn ended(record: &Record, end: End) -> End {
    let counts = record.batch.request_counts;
    match end {
        _ if record.batch.status == Status::Cancelling => End::Cancelled,
        _ if counts.completed + counts.failed == counts.total => End::Done,
        end => end,
    }
}

/// Returns the error code and message for lines that were not answered.
fn reason(end: &End) -> Option<(&str, &str)> {
    match end {
        End::Done => None,
        End::Cancelled => Some((
            "batch_cancelled",
            "This request was not made: the batch was cancelled.",
        )),
        End::Expired => Some((
            "batch_expired",
            "This request could not be executed before the completion window expired.",
        )),
        End::Failed(fault) => Some((&fault.code, &fault.message)),
    }
}

fn close(record: &mut Record, end: End, [answers, errors]: [Option<String>; 2]) {
    let batch = &mut record.batch;
    (batch.output_file_id, batch.error_file_id) = (answers, errors);
    let (status, at) = match end {
        End::Done => (Status::Completed, &mut batch.completed_at),
        End::Cancelled => (Status::Cancelled, &mut batch.cancelled_at),
        End::Expired => (Status::Expired, &mut batch.expired_at),
        End::Failed(fault) => {
            batch.errors = Some(vec![fault].into());
            (Status::Failed, &mut batch.failed_at)
        }
    };
    (batch.status, *at) = (status, Some(unix_now()));
}
