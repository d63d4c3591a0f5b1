//! Operations on batches.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::Error;
use super::config::Config;
use super::job::BatchJob;
use super::job::BatchRole;
use super::records::BatchRecord;
use super::records::BatchRecords;
use super::throttle::BatchThrottle;
use crate::accounts::auth::Keys;
use crate::accounts::ledger::WorkKind;
use crate::accounts::ledger::WorkOwners;
use crate::api::openai::PageRequest;
use crate::api::openai::batches::Batch;
use crate::api::openai::batches::BatchRequestCounts;
use crate::api::openai::batches::BatchStatus;
use crate::api::openai::batches::CreateBatchRequest;
use crate::api::openai::files::Purpose;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::domain::Caller;
use crate::domain::ClaimedWork;
use crate::domain::RequestClaim;
use crate::domain::unix_now;
use crate::engine::gateway::TurnPipeline;
use crate::engine::hooks::Hooks;
use crate::runtime::run_registry::RunRegistry;
use crate::services::answers::Answers;
use crate::services::answers::ApiEndpoint;
use crate::services::answers::ClientErrorMapper;
use crate::storage::files;
use crate::storage::files::Files;
use crate::storage::store::Transaction;
use crate::telemetry::metrics::BatchMetrics;
use crate::telemetry::traces::BatchTraceLink;

/// Completion window of a batch, in seconds.
const COMPLETION_WINDOW: u64 = 24 * 3600;

/// API family of a batch. Clients of one API do not see the batches of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchFamily {
    /// The `OpenAI` batch API.
    OpenAi,
    /// The Anthropic message batches API.
    Messages,
}

/// Dependencies of the batch service.
#[derive(Clone)]
pub struct BatchDeps {
    /// File service. Batches are stored in the same store as the file records.
    pub files: Files,
    /// API keys that own and run batches.
    pub keys: Arc<Keys>,
    /// Source of the pool's load, to yield to waiting clients.
    pub turns: TurnPipeline,
    /// Executor of the requests in the lines.
    pub answers: Answers,
    /// Mapper from errors to error envelopes.
    pub explain: ClientErrorMapper,
    /// Tracker of the batch tasks.
    pub tracker: TaskTracker,
    /// Cancelled when no new line may start.
    pub stopping: CancellationToken,
    /// Cancelled when running lines must end.
    pub stop: CancellationToken,
    /// Metrics that lines are counted in.
    pub metrics: BatchMetrics,
    /// Hooks that are notified of ended batches, and of lines that fail without a turn.
    pub hooks: Hooks,
    /// Servers that run the batches.
    pub owners: WorkOwners,
}

/// The batch service: creates and runs batches. Clones share the state.
#[derive(Clone)]
pub struct Batches(pub(super) Arc<BatchesInner>);

pub(super) struct BatchesInner {
    pub(super) records: BatchRecords,
    pub(super) files: Files,
    pub(super) keys: Arc<Keys>,
    pub(super) answers: Answers,
    pub(super) explain: ClientErrorMapper,
    pub(super) throttle: BatchThrottle,
    pub(super) config: Config,
    pub(super) stop: CancellationToken,
    pub(super) tracker: TaskTracker,
    pub(super) metrics: BatchMetrics,
    pub(super) hooks: Hooks,
    pub(super) owners: WorkOwners,
    /// Registry of the running batches with their states, by project and id. Followers read the
    /// stored records.
    pub(super) running: RunRegistry<BatchStatus>,
    /// Registry of the batches of other servers that this one runs slices of, by project and id.
    pub(super) assisted: RunRegistry<BatchStatus>,
}

impl fmt::Debug for BatchDeps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BatchDeps")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Batches {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Batches")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

impl BatchDeps {
    /// Creates dependencies for tests. Only the folder of `files` is left behind.
    #[cfg(test)]
    pub(crate) fn temporary(
        files: Files,
        keys: Arc<Keys>,
        turns: TurnPipeline,
        answers: Answers,
        explain: ClientErrorMapper,
    ) -> Self {
        let tracker = TaskTracker::new();
        let stopping = CancellationToken::new();
        let stop = CancellationToken::new();
        Self {
            files,
            keys,
            turns,
            answers,
            explain,
            tracker,
            stopping,
            stop,
            metrics: BatchMetrics::default(),
            hooks: Hooks::default(),
            owners: WorkOwners::default(),
        }
    }
}

impl Batches {
    /// Creates the service from its dependencies.
    pub fn new(tools: BatchDeps, config: Config) -> Self {
        Self(Arc::new(BatchesInner {
            records: BatchRecords(tools.files.store().clone()),
            files: tools.files,
            keys: tools.keys,
            answers: tools.answers,
            explain: tools.explain,
            throttle: BatchThrottle::new(config.parallel, tools.turns, tools.stopping),
            config,
            stop: tools.stop,
            tracker: tools.tracker,
            metrics: tools.metrics,
            hooks: tools.hooks,
            owners: tools.owners,
            running: RunRegistry::default(),
            assisted: RunRegistry::default(),
        }))
    }

    /// Returns the number of unfinished batches by state.
    pub fn counts(&self) -> [(&'static str, usize); 4] {
        let states = [
            BatchStatus::Validating,
            BatchStatus::InProgress,
            BatchStatus::Finalizing,
            BatchStatus::Cancelling,
        ];
        self.0.running.read(|runs| {
            states.map(|state| {
                let count = runs.values().filter(|run| *run.state() == state).count();
                (state.as_str(), count)
            })
        })
    }

    /// Creates the batch that `request` asks for and starts it.
    ///
    /// # Errors
    /// Fails when the input file does not exist or has another purpose.
    pub async fn create(
        &self,
        caller: &Caller,
        request: CreateBatchRequest,
    ) -> Result<Batch, Error> {
        if let Some(batch) = self.find_resumed(caller, BatchFamily::OpenAi).await? {
            return Ok(batch);
        }
        let file = self
            .0
            .files
            .get(&caller.project, &request.input_file_id)
            .await;
        let file = file.map_err(|error| match error {
            files::Error::NotFound(_) => {
                let message =
                    "`input_file_id`: this project has no such file. Upload it first: POST /v1/files.";
                InvalidRequest::at("input_file_id", code::VALUE, message).into()
            }
            error => Error::from(error),
        })?;
        if file.purpose != Purpose::Batch {
            let message =
                "`input_file_id`: the file is not for batches. Upload it with the purpose `batch`.";
            return Err(InvalidRequest::at("input_file_id", code::VALUE, message).into());
        }
        let batch = new_batch(BatchFamily::OpenAi, &request, &caller.claim);
        let record = self.new_record(caller, batch, request.output_expires_after);
        self.store_and_start(record, &caller.claim, |_| {}).await
    }

    /// Stores a batch, applies `enter` in the same transaction, and starts it. Runs as a task, so
    /// both happen even if the caller is cancelled.
    pub(super) async fn store_and_start(
        &self,
        record: BatchRecord,
        claim: &RequestClaim,
        enter: impl Fn(&mut Transaction<'_>) + Send + 'static,
    ) -> Result<Batch, Error> {
        let this = self.clone();
        let claimed = claim.begin(ClaimedWork::Object);
        let begun = self.0.tracker.spawn(async move {
            let (owners, id) = (&this.0.owners, &record.batch.id);
            owners.begin(WorkKind::Batch, &record.project, id).await?;
            this.0.records.save_with(record.clone(), enter).await?;
            claimed.charge();
            this.start(&record);
            Ok(record.batch)
        });
        begun
            .await
            .unwrap_or_else(|_| Err(crate::storage::store::Error::Closed.into()))
    }

    /// Returns the batch that an earlier request with the idempotency key of `caller` has created, if
    /// that request got no answer.
    pub(super) async fn find_resumed(
        &self,
        caller: &Caller,
        family: BatchFamily,
    ) -> Result<Option<Batch>, Error> {
        let Some(digits) = caller.claim.resumed_id() else {
            return Ok(None);
        };
        match self.get(caller, family, &family.id_of(digits)).await {
            Ok(batch) => Ok(Some(batch)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates the record of a new batch of `caller`.
    pub(super) fn new_record(
        &self,
        caller: &Caller,
        batch: Batch,
        output_expires_after: Option<u64>,
    ) -> BatchRecord {
        let project = caller.project.clone();
        let owner = self.0.keys.owner_id(caller);
        BatchRecord {
            batch,
            project,
            owner,
            lines: 0,
            output_expires_after,
            is_cleaned_up: false,
            traceparent: BatchTraceLink::to_stored(&caller.trace),
        }
    }

    /// Returns the current state of a batch.
    ///
    /// # Errors
    /// Fails when the caller's project has no batch with this id.
    pub async fn get(
        &self,
        caller: &Caller,
        family: BatchFamily,
        id: &str,
    ) -> Result<Batch, Error> {
        let batch = self
            .0
            .records
            .load(&caller.project, id)
            .await?
            .map(|record| record.batch);
        batch
            .filter(|batch| family.includes(batch))
            .ok_or_else(|| Error::NotFound(id.to_owned()))
    }

    /// Returns all batches of the caller's project, oldest first.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub async fn list_all(
        &self,
        caller: &Caller,
        family: BatchFamily,
    ) -> Result<Vec<Batch>, Error> {
        let records = self.0.records.list(&caller.project).await?;
        Ok(records
            .into_iter()
            .map(|record| record.batch)
            .filter(|batch| family.includes(batch))
            .collect())
    }

    /// Returns a page of the batches of the caller's project, and whether there are more.
    ///
    /// # Errors
    /// Fails when the page begins after an unknown batch.
    pub async fn list(
        &self,
        caller: &Caller,
        family: BatchFamily,
        page: &PageRequest,
    ) -> Result<(Vec<Batch>, bool), Error> {
        Ok(
            page.select(self.list_all(caller, family).await?, |batch: &Batch| {
                Some(&batch.id)
            })?,
        )
    }

    /// Cancels a batch. Outcomes recorded so far are kept.
    ///
    /// # Errors
    /// Fails when the caller's project has no batch with this id, or it is already ending or
    /// finished.
    pub async fn cancel(
        &self,
        caller: &Caller,
        family: BatchFamily,
        id: &str,
    ) -> Result<Batch, Error> {
        self.get(caller, family, id).await?;
        self.cancel_in(&caller.project, id).await
    }

    /// Cancels the batch with this id in `project`.
    pub(super) async fn cancel_in(&self, project: &str, id: &str) -> Result<Batch, Error> {
        let work = |record: &mut BatchRecord, _: &mut Transaction<'_>| {
            if matches!(
                record.batch.status,
                BatchStatus::Validating | BatchStatus::InProgress
            ) {
                record.batch.status = BatchStatus::Cancelling;
                record.batch.cancelling_at = Some(unix_now());
            }
            Ok(())
        };
        let record = self.0.records.update(project, id, work).await?;
        let batch = record.ok_or_else(|| Error::NotFound(id.to_owned()))?.batch;
        if !matches!(
            batch.status,
            BatchStatus::Cancelling | BatchStatus::Cancelled
        ) {
            let message = format!(
                "A batch whose status is `{}` cannot be cancelled.",
                batch.status.as_str()
            );
            return Err(InvalidRequest {
                message,
                param: None,
                code: None,
            }
            .into());
        }
        if let Some(running) = self.0.running.get(project, id) {
            running.cancel();
        }
        Ok(batch)
    }

    pub(super) fn start(&self, record: &BatchRecord) {
        let project = record.project.clone();
        let id = record.batch.id.clone();
        // A batch that runs already is not started again: its lines would be answered twice.
        let status = record.batch.status;
        let Some(registration) = self.0.running.try_register(&project, &id, status) else {
            return;
        };
        let job = BatchJob {
            inner: Arc::clone(&self.0),
            project,
            id,
            role: BatchRole::Owner,
            cancel: registration.cancel_token().clone(),
            registration,
        };
        let stop = self.0.stop.clone();
        let record = record.clone();
        self.0.tracker.spawn(async move {
            let ended = stop.run_until_cancelled(job.run_to_end()).await;
            if ended.is_none() {
                job.leave_slices(&record).await;
            }
            drop(job);
        });
    }
}

impl BatchFamily {
    /// Returns the family of `batch`.
    pub(super) fn of(batch: &Batch) -> Self {
        if batch.endpoint == ApiEndpoint::Messages.path() {
            Self::Messages
        } else {
            Self::OpenAi
        }
    }

    fn includes(self, batch: &Batch) -> bool {
        Self::of(batch) == self
    }

    /// Builds the id of a batch of 32 hexadecimal `digits`.
    fn id_of(self, digits: &str) -> String {
        let prefix = match self {
            Self::OpenAi => "batch_",
            Self::Messages => "msgbatch_",
        };
        format!("{prefix}{digits}")
    }
}

/// Creates the initial state of the batch that `request` asks for; `claim` is that of its idempotency
/// key.
pub(super) fn new_batch(
    family: BatchFamily,
    request: &CreateBatchRequest,
    claim: &RequestClaim,
) -> Batch {
    let now = unix_now();
    Batch {
        id: match claim.object_id() {
            Some(digits) => family.id_of(digits),
            None => family.id_of(&Uuid::now_v7().simple().to_string()),
        },
        object: "batch".to_owned(),
        endpoint: request.endpoint.clone(),
        model: None,
        errors: None,
        input_file_id: request.input_file_id.clone(),
        completion_window: request.completion_window.clone(),
        status: BatchStatus::Validating,
        output_file_id: None,
        error_file_id: None,
        created_at: now,
        in_progress_at: None,
        expires_at: Some(now + COMPLETION_WINDOW),
        finalizing_at: None,
        completed_at: None,
        failed_at: None,
        expired_at: None,
        cancelling_at: None,
        cancelled_at: None,
        request_counts: BatchRequestCounts::default(),
        usage: None,
        cost_usd: None,
        metadata: request.metadata.clone(),
    }
}

impl BatchesInner {
    /// Returns the endpoint of `batch`. It was validated on creation, so the default is never used.
    pub(super) fn endpoint(batch: &Batch) -> ApiEndpoint {
        ApiEndpoint::from_path(&batch.endpoint).unwrap_or(ApiEndpoint::Chat)
    }
}
