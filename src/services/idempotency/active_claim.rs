//! Claim of a request that is being answered.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

use super::claims::ClaimKey;
use super::claims::IdempotencyClaims;
use super::record::AnswerHead;
use super::record::BodyDigest;
use super::record::ClaimRecord;
use super::record::ClaimState;
use super::record::NO_EPOCH;
use crate::domain::ClaimedKey;
use crate::domain::ClaimedWork;
use crate::storage::store::Error;

/// Claim of the request that is answered for a key.
#[derive(Debug)]
pub struct ActiveClaim {
    claims: IdempotencyClaims,
    key: ClaimKey,
    request_id: String,
    object_id: String,
    /// True if an earlier request with the key may have created the object.
    is_resumed: bool,
    /// Digest of the body that this request had.
    resumed_body: Option<BodyDigest>,
    body: OnceLock<BodyDigest>,
    progress: watch::Sender<ClaimProgress>,
    /// Token by which the records of this claim are known.
    attempt: String,
    /// True if the key was reserved for this claim on a shared store.
    is_reserved: AtomicBool,
    /// True once the end of the request is recorded.
    is_settled: Arc<AtomicBool>,
}

/// Paid work of the request so far.
#[derive(Debug, Clone, Copy, Default)]
struct ClaimProgress {
    /// Kind of the first work; `None` while none has begun.
    work: Option<ClaimedWork>,
    /// Number of works that have begun and not ended.
    open: usize,
    is_charged: bool,
}

/// Cost of a request whose work has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimedCost {
    /// The request has paid nothing and created nothing.
    Free,
    /// A run was paid.
    Run,
    /// An object was created, or may have been by an earlier request with the key.
    Object,
}

impl ActiveClaim {
    /// Creates the claim of the request `request_id` on `key`.
    pub(super) fn new(claims: IdempotencyClaims, key: ClaimKey, request_id: &str) -> Self {
        Self {
            claims,
            key,
            request_id: request_id.to_owned(),
            // Ordered by time, as the ids of some objects are.
            object_id: Uuid::now_v7().simple().to_string(),
            is_resumed: false,
            resumed_body: None,
            body: OnceLock::new(),
            progress: watch::Sender::default(),
            attempt: Uuid::new_v4().simple().to_string(),
            is_reserved: AtomicBool::new(false),
            is_settled: Arc::default(),
        }
    }

    /// Notes that the key is reserved for this claim, or may be. If the claim is dropped without a recorded
    /// end, the key is given back.
    pub(super) fn mark_reserved(&self) {
        self.is_reserved.store(true, Ordering::Relaxed);
    }

    /// Continues the claim of an earlier request with the body `body`, whose object may exist.
    pub(super) fn resume(mut self, object_id: String, body: Option<BodyDigest>) -> Self {
        self.object_id = object_id;
        self.is_resumed = true;
        self.resumed_body = body;
        self
    }

    /// Records the digest of the body, once the body was read.
    pub fn record_body(&self, digest: BodyDigest) {
        self.body.get_or_init(|| digest);
    }

    /// Returns the digest of the body; `None` until the body was read.
    pub fn body(&self) -> Option<&BodyDigest> {
        self.body.get()
    }

    /// Returns the digest of the body that an earlier request with the key had, if its object may
    /// exist.
    pub fn resumed_body(&self) -> Option<&BodyDigest> {
        self.resumed_body.as_ref()
    }

    /// Id of the request.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// True if an earlier request with the key may have created the object.
    pub(super) fn is_resumption(&self) -> bool {
        self.is_resumed
    }

    /// Waits until all paid work has ended, and returns what it cost.
    pub async fn wait_for_cost(&self) -> ClaimedCost {
        let mut progress = self.progress.subscribe();
        let ended = progress.wait_for(|progress| progress.open == 0).await;
        // The claim owns the sender, so the channel is never closed.
        let ended = ended.map(|progress| *progress).unwrap_or_default();
        match ended.work {
            _ if self.is_resumption() => ClaimedCost::Object,
            Some(ClaimedWork::Object) if ended.is_charged => ClaimedCost::Object,
            Some(ClaimedWork::Run) if ended.is_charged => ClaimedCost::Run,
            _ => ClaimedCost::Free,
        }
    }

    /// Stores the answer, on disk when the future is ready. The write is queued by the call itself.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub fn store_answer(
        &self,
        head: AnswerHead,
        content: Bytes,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        self.settle(self.record(ClaimState::Answered(head)), content)
    }

    /// Records that a paid request has no answer that could be sent again, because it was cut off or
    /// (`is_complete`) was too large.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub async fn store_loss(&self, is_complete: bool) -> Result<(), Error> {
        let state = if is_complete {
            ClaimState::NotKept
        } else {
            ClaimState::Interrupted
        };
        self.settle(self.record(state), Bytes::new()).await
    }

    /// Records that the request has no answer, and its object exists or may exist.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub async fn store_object(&self) -> Result<(), Error> {
        self.settle(self.object_record(), Bytes::new()).await
    }

    /// Frees the key, for a request that has cost nothing.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub async fn release(&self) -> Result<(), Error> {
        if self.progress.borrow().work.is_none() && !self.claims.is_shared() {
            return Ok(());
        }
        self.claims.remove(&self.key, &self.attempt).await?;
        self.is_settled.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Returns the record of the claim in `state`.
    pub(super) fn record(&self, state: ClaimState) -> ClaimRecord {
        ClaimRecord {
            object_id: self.object_id.clone(),
            request_id: self.request_id.clone(),
            attempt: self.attempt.clone(),
            body: self.body().or(self.resumed_body()).cloned(),
            node: self.claims.node().to_owned(),
            epoch: self.claims.epoch(),
            state,
        }
    }

    /// Returns the record of a request that is over, without an answer, and has an object.
    fn object_record(&self) -> ClaimRecord {
        ClaimRecord {
            epoch: self.claims.epoch().map(|_| NO_EPOCH),
            ..self.record(ClaimState::Creating)
        }
    }

    /// Writes the end of the request. The write is queued by the call itself.
    fn settle(
        &self,
        end: ClaimRecord,
        content: Bytes,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let written = self.claims.write(&self.key, end, content);
        let is_settled = Arc::clone(&self.is_settled);
        async move {
            written.await?;
            is_settled.store(true, Ordering::Relaxed);
            Ok(())
        }
    }

    /// Returns the end of a request whose end was not recorded; `None` if its key is free.
    fn unrecorded_end(&self) -> Option<ClaimRecord> {
        let progress = *self.progress.borrow();
        let is_paid = progress.is_charged || progress.open > 0;
        let is_created = is_paid && progress.work == Some(ClaimedWork::Object);
        if self.is_resumed || is_created {
            Some(self.object_record())
        } else {
            is_paid.then(|| self.record(ClaimState::Interrupted))
        }
    }
}

impl Drop for ActiveClaim {
    /// Gives the key back if it is reserved, and no end is recorded: the client has left while it was
    /// reserved, the request was refused before its handler, or the store has failed.
    fn drop(&mut self) {
        if self.is_reserved.load(Ordering::Relaxed) && !self.is_settled.load(Ordering::Relaxed) {
            let end = self.unrecorded_end();
            let attempt = std::mem::take(&mut self.attempt);
            self.claims.spawn_return(self.key.clone(), attempt, end);
        }
    }
}

impl ClaimedKey for ActiveClaim {
    fn begin(&self, work: ClaimedWork) {
        let mut is_first = false;
        self.progress.send_modify(|progress| {
            is_first = progress.work.is_none();
            progress.work.get_or_insert(work);
            progress.open += 1;
        });
        if !is_first {
            return;
        }
        let state = match work {
            ClaimedWork::Run => ClaimState::Running,
            ClaimedWork::Object => ClaimState::Creating,
        };
        // Not awaited: the transaction is queued, and what is queued later is written no earlier.
        drop(
            self.claims
                .write(&self.key, self.record(state), Bytes::new()),
        );
    }

    fn end(&self, is_charged: bool) {
        self.progress.send_modify(|progress| {
            progress.open = progress.open.saturating_sub(1);
            progress.is_charged |= is_charged;
        });
    }

    fn object_id(&self) -> &str {
        &self.object_id
    }

    fn is_resumed(&self) -> bool {
        self.is_resumption()
    }
}
