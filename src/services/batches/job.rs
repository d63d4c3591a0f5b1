//! Execution of a batch.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Error;
use super::check::check_input;
use super::lines;
use super::lines::InputLines;
use super::records::BatchRecord;
use super::records::LineOutcome;
use super::service::BatchesInner;
use super::slices::SliceClaim;
use super::store_waits::ask_until_reachable;
use crate::accounts::auth::AuthError;
use crate::accounts::auth::Permission;
use crate::accounts::ledger::WorkKind;
use crate::api::openai::batches;
use crate::api::openai::batches::BatchError;
use crate::api::openai::batches::BatchRequestLine;
use crate::api::openai::batches::BatchStatus;
use crate::api::openai::batches::CheckedInput;
use crate::api::request_schema::Remarks;
use crate::domain::Caller;
use crate::domain::RequestOrigin;
use crate::domain::Surface;
use crate::domain::Usage;
use crate::domain::unix_now;
use crate::runtime::backoff::Backoff;
use crate::runtime::fair_queue::Tenant;
use crate::runtime::run_registry::RunGuard;
use crate::services::answers::ClientError;
use crate::services::answers::EndpointResponse;
use crate::services::answers::RetryAdvice;
use crate::storage::files;
use crate::storage::store;
use crate::storage::store::Transaction;
use crate::telemetry::logs::ErrorChain;
use crate::telemetry::traces::BatchTraceLink;

/// Delay before a retry after a store or file error.
pub(super) const RETRY_DELAY: Duration = Duration::from_secs(10);
/// Maximum number of attempts for a line that failed with an error of unknown duration.
const MAX_TRIES: u32 = 4;
/// Delays between the attempts of a line.
const LINE_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(4));

/// A batch being run: from its current state to its end by the server that owns it, or some slices of
/// its lines by another one.
pub(super) struct BatchJob {
    pub(super) inner: Arc<BatchesInner>,
    pub(super) project: String,
    pub(super) id: String,
    /// Part of the server in the batch.
    pub(super) role: BatchRole,
    /// Cancelled when the client cancels the batch.
    pub(super) cancel: CancellationToken,
    /// Entry among the running batches, which shows the state.
    pub(super) registration: RunGuard<BatchStatus>,
}

/// Part of a server in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BatchRole {
    /// Validates the batch, runs its lines and makes its files.
    Owner,
    /// Runs slices of its lines while there is room.
    Assistant,
}

/// Result of running the lines.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum BatchEnd {
    /// Every line has an outcome.
    Done,
    /// The client cancelled the batch.
    Cancelled,
    /// The completion window is over.
    Expired,
    /// The batch cannot continue.
    Failed(BatchError),
}

/// Reason why a line has no outcome.
pub(super) enum LineFailure {
    /// Fails the batch: further lines cannot run either.
    Fatal(BatchError),
    /// A retry may succeed.
    Retryable(Error),
}

impl From<Error> for LineFailure {
    fn from(error: Error) -> Self {
        Self::Retryable(error)
    }
}

impl BatchJob {
    /// Runs the batch to its end, with retries after errors.
    pub(super) async fn run_to_end(&self) {
        while let Err(error) = Box::pin(self.resume()).await {
            tracing::error!(
                error = %ErrorChain(&error),
                batch.id = self.id,
                "batch interrupted"
            );
            sleep(RETRY_DELAY).await;
        }
    }

    async fn resume(&self) -> Result<(), Error> {
        let BatchesInner {
            records, owners, ..
        } = &*self.inner;
        if let Err(Error::Store(store::Error::Fenced)) = self.check_owner().await {
            tracing::warn!(batch.id = self.id, "batch taken over by another server");
            return Ok(());
        }
        let Some(mut record) = records.load(&self.project, &self.id).await? else {
            owners.end(WorkKind::Batch, &self.project, &self.id).await?;
            return Ok(());
        };
        if record.batch.status == BatchStatus::Validating {
            record = self.validate(record).await?;
        }
        self.show(record.batch.status);
        if !record.batch.status.is_final() {
            let end = match record.batch.status {
                BatchStatus::Cancelling => BatchEnd::Cancelled,
                _ => self.run(&record).await?,
            };
            self.check_owner().await?;
            record = self.finish(end).await?.unwrap_or(record);
            let counts = record.batch.request_counts;
            let status = record.batch.status.as_str();
            tracing::info!(
                batch.id = self.id,
                status,
                completed = counts.completed,
                failed = counts.failed,
                "batch finished"
            );
            self.notify_hooks(status);
        }
        records.remove_outcomes(&self.id, record.lines).await?;
        records
            .update(&self.project, &self.id, |record, _| {
                record.is_cleaned_up = true;
                Ok(())
            })
            .await?;
        owners.end(WorkKind::Batch, &self.project, &self.id).await?;
        Ok(())
    }

    /// Checks that the batch is still this server's. One that was silent for long has lost it.
    ///
    /// # Errors
    /// Fails if it is not, or the store cannot be read.
    async fn check_owner(&self) -> Result<(), Error> {
        let owners = &self.inner.owners;
        let is_own = owners.is_own(WorkKind::Batch, &self.project, &self.id);
        if is_own.await? {
            Ok(())
        } else {
            Err(store::Error::Fenced.into())
        }
    }

    /// Notifies hooks of the end of the batch, in the form of OpenAI's webhooks.
    fn notify_hooks(&self, status: &str) {
        let data = serde_json::json!({"id": self.id});
        let kind = format!("batch.{status}");
        self.inner.hooks.notify(Some(&self.project), &kind, &data);
    }

    /// Shows `status` as the state of the batch.
    pub(super) fn show(&self, status: BatchStatus) {
        self.registration.state().send_replace(status);
    }

    /// Validates the input file and returns the updated batch.
    async fn validate(&self, record: BatchRecord) -> Result<BatchRecord, Error> {
        let BatchesInner {
            records, config, ..
        } = &*self.inner;
        let checked = match self.inner.open_lines(&record).await {
            Ok(mut lines) => {
                check_input(&mut lines, &record.batch.endpoint, config.max_line_bytes).await?
            }
            Err(LineFailure::Fatal(fault)) => CheckedInput {
                faults: vec![fault],
                ..Default::default()
            },
            Err(LineFailure::Retryable(error)) => return Err(error),
        };
        let work = move |record: &mut BatchRecord, _: &mut Transaction<'_>| {
            let batch = &mut record.batch;
            // A cancellation may have happened meanwhile.
            if batch.status != BatchStatus::Validating {
                return Ok(());
            }
            if checked.faults.is_empty() {
                batch.status = BatchStatus::InProgress;
                batch.in_progress_at = Some(unix_now());
                batch.request_counts.total = checked.total;
                batch.model.clone_from(&checked.model);
                record.lines = checked.lines;
            } else {
                batch.status = BatchStatus::Failed;
                batch.failed_at = Some(unix_now());
                batch.errors = Some(checked.faults.clone().into());
            }
            Ok(())
        };
        Ok(records
            .update(&self.project, &self.id, work)
            .await?
            .unwrap_or(record))
    }

    /// Runs the lines that have no outcome yet.
    async fn run(&self, record: &BatchRecord) -> Result<BatchEnd, Error> {
        if self.inner.owners.is_shared() {
            return self.run_slices_as_owner(record).await;
        }
        let lines = match self.inner.open_lines(record).await {
            Ok(lines) => lines,
            Err(LineFailure::Fatal(fault)) => return Ok(BatchEnd::Failed(fault)),
            Err(LineFailure::Retryable(error)) => return Err(error),
        };
        let lines = futures::stream::try_unfold(lines, async |mut lines| {
            Ok(lines
                .next()
                .await
                .map_err(Error::from)?
                .map(|line| (line, lines)))
        });
        let outcomes =
            lines.map(async |line: Result<_, Error>| self.settle_line(record, line?, None).await);
        let outcomes = outcomes.buffer_unordered(self.inner.config.parallel);
        self.drive(record, outcomes.boxed()).await
    }

    /// Runs lines until there are no more, or the batch ends before.
    pub(super) async fn drive(
        &self,
        record: &BatchRecord,
        mut outcomes: BoxStream<'_, Result<(), LineFailure>>,
    ) -> Result<BatchEnd, Error> {
        let left = record
            .batch
            .expires_at
            .unwrap_or(u64::MAX)
            .saturating_sub(unix_now());
        let mut deadline = pin!(sleep(Duration::from_secs(left)));
        let mut stopped = pin!(self.wait_until_stopped());
        loop {
            tokio::select! {
                // Biased: a cancellation wins over outcomes, and outcomes that are ready win over
                // the deadline.
                biased;
                () = self.cancel.cancelled() => return Ok(BatchEnd::Cancelled),
                () = &mut stopped => return Ok(BatchEnd::Cancelled),
                settled = outcomes.next() => match settled {
                    None => return Ok(BatchEnd::Done),
                    Some(Ok(())) => {}
                    Some(Err(LineFailure::Fatal(fault))) => return Ok(BatchEnd::Failed(fault)),
                    Some(Err(LineFailure::Retryable(error))) => return Err(error),
                },
                () = &mut deadline => return Ok(BatchEnd::Expired),
            }
        }
    }

    /// Produces and records the outcome of a line, unless it has one. A line of a slice is run only
    /// while its `claim` holds.
    pub(super) async fn settle_line(
        &self,
        record: &BatchRecord,
        line: lines::InputLine,
        claim: Option<&SliceClaim>,
    ) -> Result<(), LineFailure> {
        let records = &self.inner.records;
        let (id, number) = (self.id.as_str(), line.number);
        if let Some(claim) = claim
            && !ask_until_reachable(id, || records.is_claim_valid(claim)).await?
        {
            return Ok(());
        }
        let settled = ask_until_reachable(id, || records.outcome(id, number)).await?;
        if settled.is_some() {
            return Ok(());
        }
        let read = BatchRequestLine::decode(
            &line.bytes.unwrap_or_default(),
            number,
            &record.batch.endpoint,
        );
        let (outcome, usage) = match read {
            Ok(request) => self
                .run_line(record, &request, number)
                .await
                .map_err(LineFailure::Fatal)?,
            // The file was validated, so this happens only if it was changed on disk since.
            Err(fault) => {
                let line = batches::error_line("", &fault.code, &fault.message);
                (
                    LineOutcome {
                        is_answer: false,
                        line,
                    },
                    Usage::default(),
                )
            }
        };
        let metrics = &self.inner.metrics;
        let write = || {
            let (outcome, claim) = (outcome.clone(), claim.cloned());
            records.record_outcome(record, number, outcome, usage, claim, metrics)
        };
        ask_until_reachable(id, write).await?;
        Ok(())
    }

    /// Runs a line, with retries, until there is an answer or a final failure.
    async fn run_line(
        &self,
        record: &BatchRecord,
        request: &BatchRequestLine,
        number: u64,
    ) -> Result<(LineOutcome, Usage), BatchError> {
        let BatchesInner {
            throttle: share,
            keys,
            answers,
            explain,
            ..
        } = &*self.inner;
        let endpoint = BatchesInner::endpoint(&record.batch);
        let id = &request.custom_id;
        let body = request.body.get();
        let mut tries = 0;
        loop {
            let caller = || {
                keys.caller_of_owner(&record.owner, Some(Permission::Inference))
                    .map_err(key_is_gone)
            };
            let tenant = Tenant::new(&record.owner, caller()?.weight());
            let turn = share.acquire(&tenant).await;
            // Without the store no line can run.
            if let Err(error) = keys.refresh().await {
                drop(turn);
                tracing::warn!(error = %ErrorChain(&error), "line of a batch waits for the keys");
                sleep(LINE_BACKOFF.delay(1)).await;
                continue;
            }
            // Checked again: the key may have been revoked while the line waited.
            let caller = caller()?;
            // Idempotency key: the charge and the outcome are not written in one transaction, so a
            // line may run again after a crash, but is charged only once.
            let idempotency_key = Some(format!("{}/{number}/{tries}", self.id).into());
            let caller = Caller {
                idempotency_key,
                in_background: true,
                origin: RequestOrigin {
                    surface: Surface::Batches,
                    ..RequestOrigin::default()
                },
                trace: BatchTraceLink::from_stored(record.traceparent.as_deref()),
                ..caller
            };
            let error = match answers.answer(&caller, endpoint, body.as_bytes()).await {
                Ok(answered) => return Ok(answered_line(id, &answered)),
                Err(error) => error,
            };
            // Release the permit, so that other lines may run during the delay.
            drop(turn);
            let refusal = explain(error);
            tries += 1;
            let pause = match refusal.retry {
                RetryAdvice::After(wait) => wait,
                RetryAdvice::Unknown if tries < MAX_TRIES => LINE_BACKOFF.delay(tries),
                RetryAdvice::Unknown | RetryAdvice::Never => {
                    refusal.notify_hooks(&self.inner.hooks, &caller);
                    return Ok(refused_line(id, &refusal));
                }
            };
            sleep(pause).await;
        }
    }
}

impl BatchesInner {
    /// Opens the input file of a batch at its first line.
    ///
    /// # Errors
    /// Fails for good when there is no file, or its content is not on this server.
    pub(super) async fn open_lines(&self, record: &BatchRecord) -> Result<InputLines, LineFailure> {
        match self
            .files
            .open_content(&record.project, &record.batch.input_file_id)
            .await
        {
            Ok((_, file)) => Ok(InputLines::new(file, self.config.max_line_bytes)),
            Err(files::Error::NotFound(_)) => Err(LineFailure::Fatal(BatchError {
                code: "input_file_not_found".to_owned(),
                line: None,
                message:
                    "The input file was deleted, or its time was over, before all of it was read."
                        .to_owned(),
                param: Some("input_file_id".to_owned()),
            })),
            Err(error) => Err(LineFailure::Retryable(error.into())),
        }
    }
}

/// Returns the outcome of the line `id` that was answered, and its usage.
fn answered_line(id: &str, answered: &EndpointResponse) -> (LineOutcome, Usage) {
    let outcome = LineOutcome {
        is_answer: true,
        line: batches::response_line(id, 200, &answered.body, &answered.remarks),
    };
    (outcome, answered.usage)
}

/// Returns the outcome of the line `id` that failed for good, and its usage.
fn refused_line(id: &str, refusal: &ClientError) -> (LineOutcome, Usage) {
    let body = refusal.envelope.to_json();
    let outcome = LineOutcome {
        is_answer: false,
        line: batches::response_line(id, refusal.status, body.as_bytes(), &Remarks::default()),
    };
    (outcome, Usage::default())
}

/// Fails a batch whose key may no longer run it.
fn key_is_gone(error: AuthError) -> BatchError {
    let code = match error {
        AuthError::Revoked => "revoked_api_key",
        AuthError::Expired => "expired_api_key",
        AuthError::NotPermitted(_) => "insufficient_permissions",
        AuthError::Missing | AuthError::Wrong | AuthError::ForeignProject => "invalid_api_key",
    };
    let message = format!("The key that made this batch may no longer run it: {error}.");
    BatchError {
        code: code.to_owned(),
        line: None,
        message,
        param: None,
    }
}
