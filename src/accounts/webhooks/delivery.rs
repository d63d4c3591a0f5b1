//! Delivery of events: persistence, retries and give-up.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::endpoint::WebhookEndpoint;
use super::event::WebhookEvent;
use super::pending;
use super::pending::PendingEvent;
use super::receiver_queue::MAX_PENDING;
use super::receiver_queue::ReceiverQueue;
use super::receiver_queue::ReceiverQueues;
use super::retry_delay;
use super::sender::WebhookSender;
use super::sender::send_once;
use super::sharing_servers::SharingServers;
use crate::storage::store;
use crate::storage::store::Store;
use crate::telemetry::logs::ErrorChain;
use crate::telemetry::metrics::DeliveryEnd;
use crate::telemetry::metrics::WebhookMetrics;

/// Status by which a receiver refuses an event permanently (410 Gone).
const STATUS_GONE: u16 = 410;

/// Delivers webhook events with retries. Clones share the queues.
#[derive(Debug, Clone)]
pub struct Webhooks {
    deps: Arc<WebhookDeps>,
    queues: Arc<ReceiverQueues>,
}

/// Looks up the current receiver of an owner, if it has one.
pub type EndpointLookup = Box<dyn Fn(&str) -> Option<WebhookEndpoint> + Send + Sync>;

/// Dependencies from which [`Webhooks`] is built.
pub struct WebhookDeps {
    /// Store for events until they are delivered.
    pub store: Store,
    /// Lookup of the current receiver of an owner.
    pub endpoint_of: EndpointLookup,
    /// Transport of single requests.
    pub sender: Arc<dyn WebhookSender>,
    /// Tracker on which delivery tasks are spawned.
    pub tracker: TaskTracker,
    /// Cancelled on shutdown; pending events stay in the store.
    pub stop: CancellationToken,
    /// Metrics that events are counted in.
    pub metrics: WebhookMetrics,
    /// Servers that share the store; `None` if it is this server's alone.
    pub servers: Option<Arc<dyn SharingServers>>,
}

/// Reason why an event is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Too many events are pending for the receiver.
    #[error("{MAX_PENDING} events wait already")]
    Full,
    /// The event cannot be stored.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Result of one attempt.
enum AttemptOutcome {
    Arrived,
    /// Refused permanently; no retry.
    Unwanted(&'static str),
    Failed(String),
}

impl fmt::Debug for WebhookDeps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("WebhookDeps")
            .field("sender", &self.sender)
            .finish_non_exhaustive()
    }
}

impl Webhooks {
    /// Starts delivery, and resumes events that an earlier start, or a server that is gone, left
    /// undelivered.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub async fn open(parts: WebhookDeps) -> Result<Self, store::Error> {
        let webhooks = Self {
            deps: Arc::new(parts),
            queues: Arc::default(),
        };
        let (pending, unreadable) = pending::load_pending(&webhooks.deps.store).await?;
        if unreadable > 0 {
            tracing::warn!(unreadable, "unreadable webhook events kept in store");
        }
        webhooks.resume(pending, true).await?;
        Ok(webhooks)
    }

    /// Delivers the events of servers that are gone. Returns their number. Does nothing if no store is
    /// shared.
    ///
    /// # Errors
    /// Fails when the store fails. What was taken over until then is delivered.
    pub async fn take_over(&self) -> Result<usize, store::Error> {
        if self.deps.servers.is_none() {
            return Ok(0);
        }
        let (pending, _) = pending::load_pending(&self.deps.store).await?;
        self.resume(pending, false).await
    }

    /// Delivers those of the events `pending` that no running server delivers; those that name no
    /// server only if `is_start`, as a server of an earlier version may deliver them. Returns their
    /// number.
    async fn resume(
        &self,
        pending: Vec<PendingEvent>,
        is_start: bool,
    ) -> Result<usize, store::Error> {
        if pending.is_empty() {
            return Ok(0);
        }
        let running = self.running_servers().await?;
        let is_left = |pending: &PendingEvent| {
            let server = pending.server.as_ref();
            server.map_or(is_start, |server| !running.contains(server))
        };
        let mut taken = 0;
        for pending in pending.into_iter().filter(is_left) {
            let queue = self.queues.queue_for(&pending.queue_key());
            // An event beyond the limit of its queue stays in the store for a later time.
            let Some(slot) = queue.reserve_slot() else {
                continue;
            };
            let claimed = pending.claim(&self.deps.store, self.own_number()).await?;
            if let Some(pending) = claimed {
                self.start(pending, queue, slot);
                taken += 1;
            }
        }
        Ok(taken)
    }

    /// Returns the number of this server, where several share the store.
    fn own_number(&self) -> Option<u64> {
        let servers = self.deps.servers.as_ref();
        servers.map(|servers| servers.own_number())
    }

    /// Returns the numbers of the running servers; empty if the store is this server's alone, whose
    /// earlier starts have ended.
    async fn running_servers(&self) -> Result<HashSet<u64>, store::Error> {
        let Some(servers) = self.deps.servers.clone() else {
            return Ok(HashSet::new());
        };
        let running = self
            .deps
            .store
            .transaction(move |transaction| servers.running_numbers(transaction));
        running.await
    }

    /// Queues `event` for the receiver of `owner`; does nothing if it has none. Returns once the
    /// event is on disk. After a shutdown, the next start delivers it.
    ///
    /// # Errors
    /// Fails when too many events of the owner are pending, or the event cannot be stored.
    pub async fn send(&self, owner: &str, event: WebhookEvent) -> Result<(), Error> {
        if (self.deps.endpoint_of)(owner).is_none() {
            return Ok(());
        }
        self.enqueue(PendingEvent {
            owner: owner.to_owned(),
            event,
            endpoint: None,
            tries: 0,
            server: self.own_number(),
        })
        .await
    }

    /// Queues `event` of `owner` for `endpoint`. Returns once the event is on disk, as
    /// [`send`](Self::send).
    ///
    /// # Errors
    /// Fails when too many events of the owner are pending for this host, or the event cannot be
    /// stored.
    pub async fn send_to(
        &self,
        owner: &str,
        endpoint: WebhookEndpoint,
        event: WebhookEvent,
    ) -> Result<(), Error> {
        self.enqueue(PendingEvent {
            owner: owner.to_owned(),
            event,
            endpoint: Some(endpoint),
            tries: 0,
            server: self.own_number(),
        })
        .await
    }

    async fn enqueue(&self, pending: PendingEvent) -> Result<(), Error> {
        let queue = self.queues.queue_for(&pending.queue_key());
        // Backpressure: the slot is held until the event is delivered or given up.
        let Some(slot) = queue.reserve_slot() else {
            self.deps.metrics.count_delivery(DeliveryEnd::QueueFull);
            return Err(Error::Full);
        };
        pending.add(&self.deps.store).await?;
        self.start(pending, queue, slot);
        Ok(())
    }

    fn start(&self, pending: PendingEvent, queue: ReceiverQueue, slot: OwnedSemaphorePermit) {
        let webhooks = self.clone();
        let stop = self.deps.stop.clone();
        self.deps
            .tracker
            // Cancelled on shutdown at any await: the event stays in the store until it is removed.
            .spawn(stop.run_until_cancelled_owned(async move {
                webhooks.deliver(pending, &queue).await;
                drop(slot);
            }));
    }

    async fn deliver(&self, mut pending: PendingEvent, queue: &ReceiverQueue) {
        loop {
            let verdict = self.attempt(&pending, queue).await;
            pending.tries += 1;
            let pause = match verdict {
                AttemptOutcome::Failed(_) => retry_delay::delay_after(pending.tries),
                AttemptOutcome::Arrived | AttemptOutcome::Unwanted(_) => None,
            };
            self.count_attempt(&verdict, pause.is_some());
            self.log_attempt(&pending, verdict, pause);
            let Some(pause) = pause else { break };
            match pending.save_tries(&self.deps.store).await {
                Ok(true) => {}
                Ok(false) => {
                    let id = &pending.event.id;
                    tracing::info!(event.id = id, "webhook event left to another server");
                    return;
                }
                Err(error) => log_store_failure(&pending, Err(error)),
            }
            sleep(pause).await;
        }
        log_store_failure(&pending, pending.remove(&self.deps.store).await);
    }

    fn count_attempt(&self, outcome: &AttemptOutcome, is_retried: bool) {
        let metrics = &self.deps.metrics;
        match outcome {
            AttemptOutcome::Arrived => metrics.count_delivery(DeliveryEnd::Delivered),
            AttemptOutcome::Unwanted(_) => metrics.count_delivery(DeliveryEnd::Unwanted),
            AttemptOutcome::Failed(_) if is_retried => metrics.count_retry(),
            AttemptOutcome::Failed(_) => metrics.count_delivery(DeliveryEnd::GivenUp),
        }
    }

    fn endpoint(&self, pending: &PendingEvent) -> Option<WebhookEndpoint> {
        pending
            .endpoint
            .clone()
            .or_else(|| (self.deps.endpoint_of)(&pending.owner))
    }

    /// Makes one attempt, as soon as the queue has a free slot.
    async fn attempt(&self, pending: &PendingEvent, queue: &ReceiverQueue) -> AttemptOutcome {
        let _turn = queue.wait_for_attempt().await;
        let Some(endpoint) = self.endpoint(pending) else {
            return AttemptOutcome::Unwanted("the webhook was removed");
        };
        match send_once(&*self.deps.sender, &endpoint, &pending.event).await {
            Ok(200..=299) => AttemptOutcome::Arrived,
            Ok(STATUS_GONE) => AttemptOutcome::Unwanted("the receiver answered with 410"),
            Ok(status) => AttemptOutcome::Failed(format!("the receiver answered with {status}")),
            Err(error) => AttemptOutcome::Failed(error.to_string()),
        }
    }

    fn log_attempt(
        &self,
        pending: &PendingEvent,
        verdict: AttemptOutcome,
        pause: Option<Duration>,
    ) {
        let PendingEvent {
            owner,
            event: WebhookEvent { id, kind, .. },
            tries,
            ..
        } = pending;
        let endpoint = self.endpoint(pending);
        let host = endpoint.as_ref().map(|endpoint| endpoint.url.host());
        let reason = match verdict {
            AttemptOutcome::Arrived => {
                tracing::info!(
                    event.id = id,
                    event.kind = kind,
                    owner,
                    host,
                    attempt = tries,
                    "webhook event delivered"
                );
                return;
            }
            AttemptOutcome::Unwanted(reason) => reason.to_owned(),
            AttemptOutcome::Failed(reason) => reason,
        };
        match pause {
            Some(pause) => {
                tracing::warn!(
                    event.id = id,
                    event.kind = kind,
                    owner,
                    host,
                    attempt = tries,
                    error = reason,
                    delay_ms = pause.as_millis(),
                    "webhook event retry scheduled"
                );
            }
            None => tracing::warn!(
                event.id = id,
                event.kind = kind,
                owner,
                host,
                attempt = tries,
                error = reason,
                "webhook event given up"
            ),
        }
    }
}

/// Logs a failed write. Delivery continues without it; a restart might then repeat attempts or the
/// whole event.
fn log_store_failure(pending: &PendingEvent, result: Result<(), store::Error>) {
    if let Err(error) = result {
        tracing::warn!(
            event.id = pending.event.id,
            error = %ErrorChain(&error),
            "webhook event state not stored"
        );
    }
}
