//! Records of keys in the store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::Digest as _;
use sha2::Sha256;
use tokio::runtime::Handle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::active_claim::ActiveClaim;
use super::config::Config;
use super::record::AnswerHead;
use super::record::BodyDigest;
use super::record::ClaimRecord;
use super::record::ClaimState;
use super::record::hexadecimal;
use crate::accounts::ledger::WorkOwners;
use crate::domain::EndUser;
use crate::runtime::backoff::Backoff;
use crate::storage::store::Error;
use crate::storage::store::RecordPlace;
use crate::storage::store::RecordWithParts;
use crate::storage::store::Store;
use crate::storage::store::StoreTable;
use crate::storage::store::Transaction;
use crate::storage::store::TtlLimits;
use crate::storage::store::TtlTable;
use crate::storage::store::decode_record;
use crate::storage::store::encode_record;
use crate::telemetry::logs::ErrorChain;
use crate::telemetry::metrics::IdempotencyMetrics;

/// Table of the keys: owner and [`ClaimKey`] -> claim, with the body of its answer as a part.
const TABLE: StoreTable = StoreTable::new("idempotency");

/// Delays between attempts to give a key back.
const RETURN_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(16));

/// Keys of all callers, and the means to record what becomes of them. Clones share them.
#[derive(Debug, Clone)]
pub struct IdempotencyClaims(Arc<ClaimsInner>);

#[derive(Debug)]
struct ClaimsInner {
    table: TtlTable,
    /// True if other servers use the same records.
    is_shared: bool,
    node: String,
    /// Servers that live, by which the claim of one that is gone is known.
    owners: WorkOwners,
    config: Config,
    tracker: TaskTracker,
    runtime: Handle,
    stop: CancellationToken,
    metrics: IdempotencyMetrics,
}

/// Idempotency key of a caller for one path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClaimKey {
    owner: String,
    id: String,
}

/// State of a key when a request with it arrives.
#[derive(Debug)]
pub enum FoundClaim {
    /// The request is the first with the key, or the earlier ones have cost nothing.
    Free(ActiveClaim),
    /// An earlier request was answered.
    Answered {
        /// Digest of its body.
        body: Option<BodyDigest>,
        /// Id of that request.
        request_id: String,
        /// Status and headers of the answer.
        head: AnswerHead,
        /// Body of the answer.
        content: Bytes,
    },
    /// An earlier request has no answer that could be sent again.
    Unanswered {
        /// Digest of its body.
        body: Option<BodyDigest>,
        /// True if it was answered, and the answer was too large to be kept.
        is_complete: bool,
    },
    /// Another server answers a request with the key.
    InUse,
}

impl ClaimKey {
    /// Creates the key of `owner` for requests to `path` with the header value `key`, which different
    /// end users of the owner may use for different requests.
    pub fn new(owner: String, end_user: Option<&EndUser>, path: &str, key: &str) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(path.as_bytes());
        hasher.update([0]);
        hasher.update(key.as_bytes());
        // Last and with its own separator: a key has no zero byte, so no two requests are mixed up, and
        // keys without an end user are those of earlier versions.
        if let Some(end_user) = end_user {
            hasher.update([0]);
            hasher.update(end_user.as_str().as_bytes());
        }
        Self {
            owner,
            id: hexadecimal(&hasher.finalize()),
        }
    }
}

impl IdempotencyClaims {
    /// Opens the keys in `store`, for the server called `node`, one of the `owners`. What outlives a
    /// request runs on the tracker; no retry is waited for once the token is cancelled.
    pub fn new(
        store: &Store,
        limits: TtlLimits,
        config: Config,
        (node, owners): (&str, WorkOwners),
        (tracker, stop): (TaskTracker, CancellationToken),
        metrics: IdempotencyMetrics,
    ) -> Self {
        Self(Arc::new(ClaimsInner {
            table: TtlTable::new(store.clone(), TABLE, limits),
            is_shared: store.is_shared(),
            node: node.to_owned(),
            owners,
            config,
            tracker,
            runtime: Handle::current(),
            stop,
            metrics,
        }))
    }

    /// Opens keys in memory.
    #[cfg(test)]
    pub(crate) fn temporary() -> Self {
        Self::over(&Store::in_memory(TaskTracker::new()))
    }

    /// Opens keys in `store`, as a new start of the same server would.
    #[cfg(test)]
    pub(crate) fn over(store: &Store) -> Self {
        Self::over_with_owners(store, "", WorkOwners::default())
    }

    /// Opens keys in `store` for the server called `node`, one of the `owners`.
    #[cfg(test)]
    pub(crate) fn over_with_owners(store: &Store, node: &str, owners: WorkOwners) -> Self {
        let limits = TtlLimits {
            time_to_live: std::time::Duration::from_secs(60),
            max_records: 100,
            max_bytes: 1 << 20,
        };
        let config = Config {
            linger: std::time::Duration::from_secs(10),
            max_answer_bytes: 64 * 1024,
            memory_bytes: 1 << 20,
        };
        let tasks = (TaskTracker::new(), CancellationToken::new());
        Self::new(
            store,
            limits,
            config,
            (node, owners),
            tasks,
            IdempotencyMetrics::default(),
        )
    }

    /// Starts a task that removes expired keys, until `stop` is cancelled.
    pub fn spawn_cleanup(&self, stop: CancellationToken) {
        self.0.table.spawn_cleanup(stop);
    }

    /// Settings of the keys.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Metrics that requests with keys are counted in.
    pub fn metrics(&self) -> &IdempotencyMetrics {
        &self.0.metrics
    }

    /// Token that is cancelled when no retry can be waited for.
    pub fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// Runs `work` to its end, also during the shutdown.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0.tracker.spawn_on(work, &self.0.runtime);
    }

    /// Looks up what became of the earlier requests with `key`; `request_id` is that of a new one. A
    /// free key of a shared store is reserved on disk when this returns.
    ///
    /// # Errors
    /// Fails when the record cannot be read, or not be written.
    pub async fn look_up(&self, key: &ClaimKey, request_id: &str) -> Result<FoundClaim, Error> {
        if self.0.is_shared {
            return self.reserve(key, request_id).await;
        }
        let ClaimKey { owner, id } = key;
        let stored = self.0.table.get_with_parts(owner, id).await?;
        let fresh = || ActiveClaim::new(self.clone(), key.clone(), request_id);
        self.judge(stored, |_| Ok(true), fresh)
    }

    /// Looks the key up and reserves it if it is free, in one transaction.
    async fn reserve(&self, key: &ClaimKey, request_id: &str) -> Result<FoundClaim, Error> {
        let this = self.clone();
        let key = key.clone();
        let request_id = request_id.to_owned();
        let reserve = move |transaction: &mut Transaction<'_>| {
            let table = &this.0.table;
            let stored = table.get_with_parts_in(transaction, &key.owner, &key.id)?;
            let fresh = || ActiveClaim::new(this.clone(), key.clone(), &request_id);
            let owners = &this.0.owners;
            let is_live = |epoch: u64| {
                let live = owners.live_epochs(transaction);
                live.map(|live| live.contains(&epoch))
            };
            let found = this.judge(stored, is_live, fresh)?;
            if let FoundClaim::Free(claim) = &found {
                // Without a lease the claim would be that of a server which is gone.
                owners.leased_epoch(transaction)?;
                let state = if claim.is_resumption() {
                    ClaimState::Creating
                } else {
                    ClaimState::Reserved
                };
                let record = encode_record(&claim.record(state))?;
                table.remove_in(transaction, &key.owner, &key.id)?;
                table.put_in(transaction, &key.owner, &key.id, &record)?;
            }
            Ok::<_, Error>(found)
        };
        // Also when the client has left meanwhile, or the write has failed: the claim is dropped then.
        let hold = |found: FoundClaim| {
            if let FoundClaim::Free(claim) = &found {
                claim.mark_reserved();
            }
            found
        };
        self.0.table.transaction_then(reserve, hold).await
    }

    /// Decides what a stored record means for a new request. A request that a server which is gone was
    /// answering, as its epoch tells by `is_live`, is as one that an earlier start of this server was.
    fn judge(
        &self,
        stored: Option<RecordWithParts>,
        is_live: impl FnOnce(u64) -> Result<bool, Error>,
        fresh: impl FnOnce() -> ActiveClaim,
    ) -> Result<FoundClaim, Error> {
        let Some(RecordWithParts { record, parts }) = stored else {
            return Ok(FoundClaim::Free(fresh()));
        };
        let record: ClaimRecord = decode_record("of a request", &record)?;
        let is_open = matches!(
            record.state,
            ClaimState::Reserved | ClaimState::Running | ClaimState::Creating
        );
        let is_of_other = is_open && self.0.is_shared && record.node != self.0.node;
        // The server that wrote a record without an epoch may live.
        if is_of_other && record.epoch.map_or(Ok(true), is_live)? {
            return Ok(FoundClaim::InUse);
        }
        let ClaimRecord {
            object_id, body, ..
        } = record;
        Ok(match record.state {
            ClaimState::Answered(head) => FoundClaim::Answered {
                body,
                request_id: record.request_id,
                head,
                content: parts.concat().into(),
            },
            ClaimState::NotKept => FoundClaim::Unanswered {
                body,
                is_complete: true,
            },
            // The server was stopped before the request cost anything.
            ClaimState::Reserved => FoundClaim::Free(fresh()),
            // A run that an earlier start has begun: its hold was charged.
            ClaimState::Running | ClaimState::Interrupted => FoundClaim::Unanswered {
                body,
                is_complete: false,
            },
            ClaimState::Creating => FoundClaim::Free(fresh().resume(object_id, body)),
        })
    }

    /// Writes the state of a claim, and the body of its answer. The write is queued by the call itself. A
    /// shared store that loses the end of a request gets it again.
    pub(super) fn write(
        &self,
        key: &ClaimKey,
        record: ClaimRecord,
        content: Bytes,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let place = self.0.table.place(&key.owner, &key.id);
        let is_shared = self.0.is_shared;
        let write = move |transaction: &mut Transaction<'_>| {
            if is_shared
                && let Some(found) = find_record(transaction, &place)?
                && !record.may_replace(&found)
            {
                return Ok(());
            }
            let head = encode_record(&record)?;
            place.put_new(transaction, &head, &content)?;
            if record.is_end() {
                remember_end(transaction, &place, &record, &content);
            }
            Ok::<_, Error>(())
        };
        self.0.table.transaction(write)
    }

    /// Gives the key of `attempt` back, whose end was not recorded: writes `end`, or frees the key. Repeated
    /// until the store takes it or the server stops.
    pub(super) fn spawn_return(&self, key: ClaimKey, attempt: String, end: Option<ClaimRecord>) {
        let this = self.clone();
        self.spawn(async move {
            let mut failures = 0;
            while let Err(error) = this.return_key(&key, &attempt, end.as_ref()).await {
                failures += 1;
                if failures == 1 {
                    tracing::warn!(
                        error = %ErrorChain(&error),
                        "idempotency key not given back yet"
                    );
                }
                let pause = sleep(RETURN_BACKOFF.delay(failures));
                if this.0.stop.run_until_cancelled(pause).await.is_none() {
                    break;
                }
            }
        });
    }

    async fn return_key(
        &self,
        key: &ClaimKey,
        attempt: &str,
        end: Option<&ClaimRecord>,
    ) -> Result<(), Error> {
        let place = self.0.table.place(&key.owner, &key.id);
        let (attempt, end) = (attempt.to_owned(), end.cloned());
        let return_key = move |transaction: &mut Transaction<'_>| {
            let found = find_record(transaction, &place)?;
            // Another attempt may have the key by now, or the end is recorded after all.
            if found.is_none_or(|found| found.attempt != attempt || found.is_end()) {
                return Ok(());
            }
            match &end {
                Some(end) => {
                    place.put_new(transaction, &encode_record(end)?, &[])?;
                    remember_end(transaction, &place, end, &Bytes::new());
                }
                None => _ = place.remove(transaction)?,
            }
            Ok::<_, Error>(())
        };
        self.0.table.transaction(return_key).await
    }

    /// Removes the record of a key. In a shared store, leaves that of another attempt than `attempt`.
    pub(super) async fn remove(&self, key: &ClaimKey, attempt: &str) -> Result<(), Error> {
        let place = self.0.table.place(&key.owner, &key.id);
        let (is_shared, attempt) = (self.0.is_shared, attempt.to_owned());
        let remove = move |transaction: &mut Transaction<'_>| {
            let is_of_other = is_shared
                && find_record(transaction, &place)?.is_some_and(|found| found.attempt != attempt);
            if !is_of_other {
                place.remove(transaction)?;
            }
            Ok::<_, Error>(())
        };
        self.0.table.transaction(remove).await
    }

    /// True if a record is written for each key, and not only for those that cost something.
    pub(super) fn is_shared(&self) -> bool {
        self.0.is_shared
    }

    /// Epoch of this server; `None` where no server shares the store.
    pub(super) fn epoch(&self) -> Option<u64> {
        let owners = &self.0.owners;
        owners.is_shared().then(|| owners.epoch())
    }

    /// Name of this server.
    pub(super) fn node(&self) -> &str {
        &self.0.node
    }
}

/// Returns the record of the key in `place`.
fn find_record(
    transaction: &Transaction<'_>,
    place: &RecordPlace,
) -> Result<Option<ClaimRecord>, Error> {
    let found = place.get(transaction)?;
    let found = found.map(|found| decode_record("of a request", &found));
    found.transpose()
}

/// Remembers the end of a request, and the body of its answer, so that a shared store which loses commits
/// gets it again: the same request would be paid a second time.
fn remember_end(
    transaction: &mut Transaction<'_>,
    place: &RecordPlace,
    end: &ClaimRecord,
    content: &Bytes,
) {
    if !transaction.is_shared() {
        return;
    }
    let (again, end, content) = (place.clone(), end.clone(), content.clone());
    let bytes = content.len() + end.head_bytes();
    transaction.remember_result(place.name(), bytes, move |transaction| {
        if let Some(found) = find_record(transaction, &again)?
            && !end.is_after(&found)
        {
            return Ok(false);
        }
        again.put_new(transaction, &encode_record(&end)?, &content)?;
        Ok(true)
    });
}
