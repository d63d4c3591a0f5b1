//! Rate limits that servers on one store count together.
//!
//! Each server sends what it asks of the limits in batches, one at a time and in order, so that the
//! end of a request comes before the next request of its client. The script `limits.lua` applies a
//! batch as one step, by the clock of Redis. A batch whose answer was lost is sent again and applied
//! once.
//!
//! While Redis is away, requests with limits are refused, or admitted by the share of this server
//! ([`StoreFailure`]). Corrections wait. A server that is silent
//! for longer than its lease loses its share of concurrent requests.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::domain::Caller;
use crate::domain::Rates;
use crate::storage::store;
use crate::storage::store::Store;
use crate::telemetry::logs::ErrorChain;

use super::Config;
use super::batch;
use super::batch::Batch;
use super::batch::LimitRequest;
use super::batch::LimitedScope;
use super::batch::ScopeOutcome;
use super::batch::decode_outcomes;
use super::limited_scopes;
use super::rate_limited::AdmitError;
use super::scope::LimitScope;
use super::state::RateLimitState;
use super::store_failure::StoreFailure;

/// Maximum number of requests in a batch. Redis does nothing else meanwhile.
const MAX_BATCH: usize = 256;
/// Interval at which an idle server renews its lease.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);
/// Pause before a batch is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// Rate limiter that counts in a shared store. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct SharedLimits(Arc<SharedLimitsInner>);

#[derive(Debug)]
struct SharedLimitsInner {
    config: Config,
    queue: UnboundedSender<QueuedRequest>,
    /// Id of the last debit, unique in this process.
    last_debit: AtomicU64,
    failure: StoreFailure,
}

/// Request to the limits, with the one who waits for its outcome.
#[derive(Debug)]
struct QueuedRequest {
    request: LimitRequest,
    waiter: Option<OutcomeWaiter>,
}

/// Waiter for the outcome of a request.
#[derive(Debug)]
enum OutcomeWaiter {
    /// Caller who wants to be admitted, with the permit that it gets then.
    Admission(
        SharedPermit,
        oneshot::Sender<Result<SharedPermit, AdmitError>>,
    ),
    /// Caller who wants tokens.
    Tokens(oneshot::Sender<Result<RateLimitState, AdmitError>>),
}

/// Permit of a request that was admitted by shared limits.
#[derive(Debug)]
pub(super) struct SharedPermit {
    limits: SharedLimits,
    scopes: Arc<[LimitedScope]>,
    /// Id of the request.
    id: u64,
    /// Id of its debits; another one after they were settled.
    debit: u64,
    state: RateLimitState,
    is_admitted: bool,
    is_settled: bool,
}

/// Sender of batches.
struct BatchSender {
    store: Store,
    queue: UnboundedReceiver<QueuedRequest>,
    /// Name of this process. A server that starts again has another one.
    server: String,
    last_batch: u64,
    failure: StoreFailure,
}

impl SharedLimits {
    pub(super) fn new(config: Config, store: Store, tracker: &TaskTracker) -> Self {
        let (queue, receiver) = mpsc::unbounded_channel();
        let failure = StoreFailure::new(config);
        let sender = BatchSender {
            store,
            queue: receiver,
            server: Uuid::new_v4().simple().to_string(),
            last_batch: 0,
            failure: failure.clone(),
        };
        tracker.spawn(sender.run());
        Self(Arc::new(SharedLimitsInner {
            config,
            queue,
            last_debit: AtomicU64::new(0),
            failure,
        }))
    }

    /// Admits a request of `caller`, as [`RateLimits::admit`](super::RateLimits::admit) does.
    ///
    /// # Errors
    /// As there.
    pub(super) async fn admit(
        &self,
        caller: &Caller,
        estimated_tokens: u64,
    ) -> Result<SharedPermit, AdmitError> {
        self.admit_by(self.scopes_of(caller), estimated_tokens)
            .await
    }

    /// Admits a request of `caller` that has been counted before, as
    /// [`RateLimits::admit_counted`](super::RateLimits::admit_counted) does.
    ///
    /// # Errors
    /// As there.
    pub(super) async fn admit_counted(&self, caller: &Caller) -> Result<SharedPermit, AdmitError> {
        let request = |scopes, id| LimitRequest::AdmitCounted { scopes, id };
        self.admit_as(self.scopes_of(caller), request).await
    }

    /// Returns the failure of the store, with the shares of this server meanwhile.
    pub(super) fn failure(&self) -> &StoreFailure {
        &self.0.failure
    }

    fn scopes_of(&self, caller: &Caller) -> Arc<[LimitedScope]> {
        limited_scopes(self.0.config, caller)
            .map(|(whose, name, rates)| LimitedScope::new(whose, name, rates))
            .collect()
    }

    /// Admits a request by the limits `rates` of the end user `name` alone.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub(super) async fn admit_end_user(
        &self,
        name: &str,
        rates: Rates,
        estimated_tokens: u64,
    ) -> Result<SharedPermit, AdmitError> {
        let scope = LimitedScope::new(LimitScope::EndUser, name, rates);
        self.admit_by(Arc::new([scope]), estimated_tokens).await
    }

    async fn admit_by(
        &self,
        scopes: Arc<[LimitedScope]>,
        estimated_tokens: u64,
    ) -> Result<SharedPermit, AdmitError> {
        let request = |scopes, id| LimitRequest::Admit {
            scopes,
            id,
            tokens: estimated_tokens,
        };
        self.admit_as(scopes, request).await
    }

    async fn admit_as(
        &self,
        scopes: Arc<[LimitedScope]>,
        request: impl FnOnce(Arc<[LimitedScope]>, u64) -> LimitRequest,
    ) -> Result<SharedPermit, AdmitError> {
        let id = self.next_debit();
        let mut permit = SharedPermit {
            limits: self.clone(),
            scopes: Arc::clone(&scopes),
            id,
            debit: id,
            state: RateLimitState::default(),
            is_admitted: false,
            is_settled: false,
        };
        if scopes.is_empty() {
            permit.is_settled = true;
            return Ok(permit);
        }
        let request = request(scopes, id);
        let (sender, outcome) = oneshot::channel();
        self.send(request, Some(OutcomeWaiter::Admission(permit, sender)));
        outcome.await.unwrap_or_else(|_| Err(closed()))
    }

    fn next_debit(&self) -> u64 {
        self.0.last_debit.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn send(&self, request: LimitRequest, waiter: Option<OutcomeWaiter>) {
        let queued = QueuedRequest { request, waiter };
        // Refused at once while the store is away, and not after a wait.
        if queued.waiter.is_some()
            && let Some(error) = self.0.failure.get()
        {
            return queued.fail(&error);
        }
        // A queue that is closed drops the waiter, who sees that.
        drop(self.0.queue.send(queued));
    }
}

impl SharedPermit {
    /// Takes tokens, as [`Permit::take_tokens`](super::Permit::take_tokens) does.
    ///
    /// # Errors
    /// As there.
    pub(super) async fn take_tokens(&mut self, tokens: u64) -> Result<(), AdmitError> {
        if self.scopes.is_empty() {
            return Ok(());
        }
        // A settled debit is final and may be merged with others, so a new one is taken.
        if std::mem::take(&mut self.is_settled) {
            self.debit = self.limits.next_debit();
        }
        let request = LimitRequest::Take {
            scopes: Arc::clone(&self.scopes),
            id: self.debit,
            tokens,
        };
        let (sender, outcome) = oneshot::channel();
        self.limits
            .send(request, Some(OutcomeWaiter::Tokens(sender)));
        match outcome.await.unwrap_or_else(|_| Err(closed())) {
            Ok(state) => {
                self.state = state;
                Ok(())
            }
            Err(error) => {
                // The debits of a refused request are given back already.
                self.is_settled = matches!(error, AdmitError::Limited(_));
                Err(error)
            }
        }
    }

    pub(super) fn settle(&mut self, tokens: u64) {
        self.settle_at(Some(tokens));
    }

    pub(super) fn state(&self) -> RateLimitState {
        self.state
    }

    fn settle_at(&mut self, tokens: Option<u64>) {
        if std::mem::replace(&mut self.is_settled, true) || !self.is_admitted {
            return;
        }
        let request = LimitRequest::Settle {
            scopes: Arc::clone(&self.scopes),
            id: self.debit,
            tokens,
        };
        self.limits.send(request, None);
    }
}

impl Drop for SharedPermit {
    fn drop(&mut self) {
        if !self.is_admitted {
            return;
        }
        self.settle_at(None);
        let request = LimitRequest::End {
            scopes: Arc::clone(&self.scopes),
            id: self.id,
        };
        self.limits.send(request, None);
    }
}

impl QueuedRequest {
    /// Tells the waiter, if there is one, that the store has failed.
    fn fail(self, error: &store::Error) {
        if let Some(waiter) = self.waiter {
            waiter.fail(error);
        }
    }
}

impl OutcomeWaiter {
    /// Tells the outcome. A caller who has gone drops the permit, which ends its request.
    fn tell(self, outcome: ScopeOutcome) {
        match self {
            Self::Admission(mut permit, sender) => {
                let told = outcome.map(|state| {
                    permit.is_admitted = true;
                    permit.state = state;
                    permit
                });
                drop(sender.send(told.map_err(AdmitError::from)));
            }
            Self::Tokens(sender) => drop(sender.send(outcome.map_err(AdmitError::from))),
        }
    }

    fn fail(self, error: &store::Error) {
        let error = AdmitError::Store(error.clone());
        match self {
            Self::Admission(_, sender) => drop(sender.send(Err(error))),
            Self::Tokens(sender) => drop(sender.send(Err(error))),
        }
    }
}

impl BatchSender {
    /// Sends batches until all limits and permits are dropped.
    async fn run(mut self) {
        let mut held = Vec::new();
        loop {
            if held.is_empty() {
                match timeout(HEARTBEAT_INTERVAL, self.queue.recv()).await {
                    Ok(Some(first)) => held.push(first),
                    Ok(None) => return,
                    // An empty batch renews the lease.
                    Err(_) => {}
                }
            }
            while held.len() < MAX_BATCH
                && let Ok(next) = self.queue.try_recv()
            {
                held.push(next);
            }
            match self.send_batch(std::mem::take(&mut held)).await {
                Some(waiting) => held = waiting,
                None => return,
            }
        }
    }

    /// Sends a batch until the store answers, and tells the outcomes. Returns the corrections that
    /// have come meanwhile; `None` if there was no answer until all limits and permits were dropped.
    async fn send_batch(&mut self, requests: Vec<QueuedRequest>) -> Option<Vec<QueuedRequest>> {
        self.last_batch += 1;
        let (requests, mut waiters): (Vec<_>, Vec<_>) = requests
            .into_iter()
            .map(|queued| (queued.request, queued.waiter))
            .unzip();
        let batch = Batch::new(&self.server, self.last_batch, &requests);
        let mut corrections = Vec::new();
        let answer = loop {
            let answer =
                self.store
                    .run_script(batch::script(), batch.keys.clone(), batch.arguments.clone());
            match answer.await {
                Ok(answer) => break answer,
                Err(error) if !is_temporary(&error) => {
                    tracing::error!(error = %ErrorChain(&error), "rate limits not applied");
                    waiters
                        .into_iter()
                        .flatten()
                        .for_each(|waiter| waiter.fail(&error));
                    return Some(corrections);
                }
                Err(error) => {
                    if self.failure.begin(error.clone()) {
                        tracing::warn!(error = %ErrorChain(&error), "rate limits not reachable");
                    }
                    release(&mut waiters, &error);
                    self.wait(&mut corrections, &error).await?;
                }
            }
        };
        if self.failure.end() {
            tracing::info!("rate limits reachable again");
        }
        let outcomes = decode_outcomes(&requests, &answer);
        for (waiter, outcome) in waiters.into_iter().zip(outcomes) {
            if let (Some(waiter), Some(outcome)) = (waiter, outcome) {
                waiter.tell(outcome);
            }
        }
        Some(corrections)
    }

    /// Waits before a batch is sent again. Requests that come meanwhile are refused, and corrections
    /// kept. Returns `None` once all limits and permits are dropped.
    async fn wait(
        &mut self,
        corrections: &mut Vec<QueuedRequest>,
        error: &store::Error,
    ) -> Option<()> {
        let mut pause = pin!(sleep(RETRY_PAUSE));
        loop {
            tokio::select! {
                () = &mut pause => return Some(()),
                queued = self.queue.recv() => {
                    let queued = queued?;
                    if queued.waiter.is_some() {
                        queued.fail(error);
                    } else {
                        corrections.push(queued);
                    }
                }
            }
        }
    }
}

/// Tells all waiters that the store does not answer. A request for admission may be applied
/// nevertheless, so its permit stays to be dropped when the answer is known.
fn release(waiters: &mut [Option<OutcomeWaiter>], error: &store::Error) {
    for waiter in waiters {
        match waiter.take() {
            Some(OutcomeWaiter::Admission(permit, sender)) => {
                drop(sender.send(Err(AdmitError::Store(error.clone()))));
                let (nobody, _) = oneshot::channel();
                *waiter = Some(OutcomeWaiter::Admission(permit, nobody));
            }
            Some(tokens @ OutcomeWaiter::Tokens(_)) => tokens.fail(error),
            None => {}
        }
    }
}

/// Returns true if the batch may be applied later, or is applied already. All that may pass counts: the
/// ends in a dropped batch would leave their requests running for ever.
fn is_temporary(error: &store::Error) -> bool {
    matches!(
        error,
        store::Error::Unreachable(_)
            | store::Error::OutOfMemory(_)
            | store::Error::Suspended(_)
            // Its credentials or permissions are being changed.
            | store::Error::Unsuitable { .. }
    )
}

fn closed() -> AdmitError {
    AdmitError::Store(store::Error::Closed)
}

#[cfg(test)]
#[path = "shared_tests.rs"]
mod tests;
