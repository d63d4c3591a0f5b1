//! Execution of a batch.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Error;
use super::check::check;
use super::lines;
use super::lines::Lines;
use super::records::Outcome;
use super::records::Record;
use super::service::Inner;
use crate::accounts::auth::AuthError;
use crate::accounts::auth::Permission;
use crate::api::openai::batches;
use crate::api::openai::batches::Fault;
use crate::api::openai::batches::Line;
use crate::api::openai::batches::Status;
use crate::api::request_schema::Remarks;
use crate::domain::Caller;
use crate::domain::Usage;
use crate::domain::unix_now;
use crate::runtime::fair_queue::Tenant;
use crate::services::answers::Again;
use crate::storage::files;
use crate::storage::store::Transaction;

/// Delay before a retry after a store or file error.
const REPAIR: Duration = Duration::from_secs(10);
/// Maximum number of attempts for a line that failed with an error of unknown duration.
const MOST_TRIES: u32 = 4;
/// Delay before the second attempt. Doubles with each attempt (exponential backoff).
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// A batch being run, from its current state to its end.
pub(super) struct Job {
    pub(super) inner: Arc<Inner>,
    pub(super) project: String,
    pub(super) id: String,
    /// Cancelled when the client cancels the batch.
    pub(super) cancel: CancellationToken,
}

/// Result of running the lines.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum End {
    /// Every line has an outcome.
    Done,
    /// The client cancelled the batch.
    Cancelled,
    /// The completion window is over.
    Expired,
    /// The batch cannot continue.
    Failed(Fault),
}

/// Reason why a line has no outcome.
enum Unanswered {
    /// Fails the batch: further lines cannot run either.
    Refused(Fault),
    /// A retry may succeed.
    Broken(Error),
}

impl From<Error> for Unanswered {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

impl Job {
    /// Runs the batch to its end, with retries after errors.
    pub(super) async fn drive(&self) {
        while let Err(error) = Box::pin(self.go_on()).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                batch.id = self.id,
                "batch interrupted"
            );
            sleep(REPAIR).await;
        }
    }

    async fn go_on(&self) -> Result<(), Error> {
        let Inner { records, .. } = &*self.inner;
        let Some(mut record) = records.load(&self.project, &self.id).await? else {
            return Ok(());
        };
        if record.batch.status == Status::Validating {
            record = self.validate(record).await?;
        }
        if !record.batch.status.is_final() {
            let end = match record.batch.status {
                Status::Cancelling => End::Cancelled,
                _ => self.run(&record).await?,
            };
            record = self.finish(end).await?.unwrap_or(record);
            let counts = record.batch.request_counts;
            let status = record.batch.status.word();
            tracing::info!(
                batch.id = self.id,
                status,
                counts.completed,
                counts.failed,
                "batch finished"
            );
        }
        records.forget(&self.id, record.lines).await?;
        records
            .update(&self.project, &self.id, |record, _| {
                record.is_tidy = true;
                Ok(())
            })
            .await?;
        Ok(())
    }

    /// Validates the input file and returns the updated batch.
    async fn validate(&self, record: Record) -> Result<Record, Error> {
        let Inner {
            records, config, ..
        } = &*self.inner;
        let checked = match self.lines(&record).await {
            Ok(mut lines) => check(&mut lines, &record.batch.endpoint, config.longest_line).await?,
            Err(Unanswered::Refused(fault)) => super::check::Checked {
                faults: vec![fault],
                ..Default::default()
            },
            Err(Unanswered::Broken(error)) => return Err(error),
        };
        let work = move |record: &mut Record, _: &mut Transaction<'_>| {
            let batch = &mut record.batch;
            // A cancellation may have happened meanwhile.
            if batch.status != Status::Validating {
                return Ok(());
            }
            if checked.faults.is_empty() {
                (batch.status, batch.in_progress_at) = (Status::InProgress, Some(unix_now()));
                batch.request_counts.total = checked.total;
                (batch.model, record.lines) = (checked.model, checked.lines);
            } else {
                (batch.status, batch.failed_at) = (Status::Failed, Some(unix_now()));
                batch.errors = Some(checked.faults.into());
            }
            Ok(())
        };
        Ok(records
            .update(&self.project, &self.id, work)
            .await?
            .unwrap_or(record))
    }

    /// Opens the input file at its first line.
    async fn lines(&self, record: &Record) -> Result<Lines, Unanswered> {
        let Inner { files, config, .. } = &*self.inner;
        match files
            .open_content(&self.project, &record.batch.input_file_id)
            .await
        {
            Ok((_, file)) => Ok(Lines::of(file, config.longest_line)),
            Err(files::Error::NotFound(_)) => Err(Unanswered::Refused(Fault {
                code: "input_file_not_found".to_owned(),
                line: None,
                message:
                    "The input file was deleted, or its time was over, before all of it was read."
                        .to_owned(),
                param: Some("input_file_id".to_owned()),
            })),
            Err(error) => Err(Unanswered::Broken(error.into())),
        }
    }

    /// Runs the lines that have no outcome yet.
    async fn run(&self, record: &Record) -> Result<End, Error> {
        let lines = match self.lines(record).await {
            Ok(lines) => lines,
            Err(Unanswered::Refused(fault)) => return Ok(End::Failed(fault)),
            Err(Unanswered::Broken(error)) => return Err(error),
        };
        let lines = futures::stream::try_unfold(lines, async |mut lines| {
            Ok(lines
                .next()
                .await
                .map_err(Error::from)?
                .map(|line| (line, lines)))
        });
        let outcomes = lines.map(async |line: Result<_, Error>| self.settle(record, line?).await);
        let mut outcomes = pin!(outcomes.buffer_unordered(self.inner.config.parallel));
        let left = record
            .batch
            .expires_at
            .unwrap_or(u64::MAX)
            .saturating_sub(unix_now());
        let mut deadline = pin!(sleep(Duration::from_secs(left)));
        loop {
            tokio::select! {
                // Biased: a cancellation wins over outcomes, and outcomes that are ready win over
                // the deadline.
                biased;
                () = self.cancel.cancelled() => return Ok(End::Cancelled),
                settled = outcomes.next() => match settled {
                    None => return Ok(End::Done),
                    Some(Ok(())) => {}
                    Some(Err(Unanswered::Refused(fault))) => return Ok(End::Failed(fault)),
                    Some(Err(Unanswered::Broken(error))) => return Err(error),
                },
                () = &mut deadline => return Ok(End::Expired),
            }
        }
    }

    /// Produces and records the outcome of a line, unless it has one.
    async fn settle(&self, record: &Record, line: lines::Line) -> Result<(), Unanswered> {
        let records = &self.inner.records;
        if records.outcome(&self.id, line.number).await?.is_some() {
            return Ok(());
        }
        let read = Line::decode(
            &line.bytes.unwrap_or_default(),
            line.number,
            &record.batch.endpoint,
        );
        let (outcome, usage) = match read {
            Ok(request) => self
                .ask(record, &request, line.number)
                .await
                .map_err(Unanswered::Refused)?,
            // The file was validated, so this happens only if it was changed on disk since.
            Err(fault) => {
                let line = batches::failure("", &fault.code, &fault.message);
                (
                    Outcome {
                        is_answer: false,
                        line,
                    },
                    Usage::default(),
                )
            }
        };
        Ok(records.note(record, line.number, outcome, usage).await?)
    }

    /// Runs a line, with retries, until there is an answer or a final failure.
    async fn ask(
        &self,
        record: &Record,
        request: &Line,
        number: u64,
    ) -> Result<(Outcome, Usage), Fault> {
        let Inner {
            share,
            keys,
            answers,
            explain,
            ..
        } = &*self.inner;
        let (endpoint, id, body) = (
            Inner::endpoint(&record.batch),
            &request.custom_id,
            request.body.get(),
        );
        let mut tries = 0;
        loop {
            let caller = || {
                keys.caller_of(&record.owner, Some(Permission::Inference))
                    .map_err(key_is_gone)
            };
            let tenant = Tenant::new(&record.owner, caller()?.weight());
            let turn = share.enter(&tenant).await;
            // Checked again: the key may have been revoked while the line waited.
            let caller = caller()?;
            // Idempotency key: the charge and the outcome are not written in one transaction, so a
            // line may run again after a crash, but is charged only once.
            let errand = Some(format!("{}/{number}/{tries}", self.id).into());
            let caller = Caller {
                errand,
                in_background: true,
                ..caller
            };
            let error = match answers.answer(&caller, endpoint, body.as_bytes()).await {
                Ok(answered) => {
                    let line = batches::answer(id, 200, &answered.body, &answered.remarks);
                    return Ok((
                        Outcome {
                            is_answer: true,
                            line,
                        },
                        answered.usage,
                    ));
                }
                Err(error) => error,
            };
            // Release the permit, so that other lines may run during the delay.
            drop(turn);
            let refusal = explain(error);
            tries += 1;
            let pause = match refusal.again {
                Again::After(wait) => wait,
                Again::Perhaps if tries < MOST_TRIES => FIRST_PAUSE * 2_u32.pow(tries - 1),
                Again::Perhaps | Again::Never => {
                    let body = refusal.envelope.to_json();
                    let line =
                        batches::answer(id, refusal.status, body.as_bytes(), &Remarks::default());
                    return Ok((
                        Outcome {
                            is_answer: false,
                            line,
                        },
                        Usage::default(),
                    ));
                }
            };
            sleep(pause).await;
        }
    }
}

/// Fails a batch whose key may no longer run it.
fn key_is_gone(error: AuthError) -> Fault {
    let code = match error {
        AuthError::Revoked => "revoked_api_key",
        AuthError::Expired => "expired_api_key",
        AuthError::NotPermitted(_) => "insufficient_permissions",
        AuthError::Missing | AuthError::Wrong | AuthError::ForeignProject => "invalid_api_key",
    };
    let message = format!("The key that made this batch may no longer run it: {error}.");
    Fault {
        code: code.to_owned(),
        line: None,
        message,
        param: None,
    }
}
