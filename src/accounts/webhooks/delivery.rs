//! Delivery of events: persistence, retries and give-up.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::address::Endpoint;
use super::back_off;
use super::event::Event;
use super::lane::Lane;
use super::lane::Lanes;
use super::lane::ROOM;
use super::pending;
use super::pending::Pending;
use super::sender::Sender;
use super::sender::try_once;
use crate::storage::store;
use crate::storage::store::Store;

/// Status by which a receiver refuses an event for good (410 Gone).
const GONE: u16 = 410;

/// Delivers webhook events with retries. Clones share the queues.
#[derive(Debug, Clone)]
pub struct Webhooks {
    parts: Arc<Parts>,
    lanes: Arc<Lanes>,
}

/// Looks up the current receiver of an owner, if it has one.
pub type Addresses = Box<dyn Fn(&str) -> Option<Endpoint> + Send + Sync>;

/// Dependencies from which [`Webhooks`] is built.
pub struct Parts {
    /// Store for events until they are delivered.
    pub store: Store,
    /// Lookup of the current receiver of an owner.
    pub addresses: Addresses,
    /// Transport of single requests.
    pub sender: Arc<dyn Sender>,
    /// Tracker on which delivery tasks are spawned.
    pub tracker: TaskTracker,
    /// Cancelled on shutdown; pending events stay in the store.
    pub stop: CancellationToken,
}

/// Reason why an event is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Too many events are pending for the receiver.
    #[error("{ROOM} events wait already")]
    Full,
    /// The event cannot be stored.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Result of one attempt.
enum Verdict {
    Arrived,
    /// Refused for good; no retry.
    Unwanted(&'static str),
    Failed(String),
}

impl fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Parts")
            .field("sender", &self.sender)
            .finish_non_exhaustive()
    }
}

impl Webhooks {
    /// Starts delivery, and resumes events that an earlier start left undelivered.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn open(parts: Parts) -> Result<Self, store::Error> {
        let (pending, unreadable) = pending::all(&parts.store).await?;
        if unreadable > 0 {
            tracing::warn!(unreadable, "unreadable webhook events kept in store");
        }
        let webhooks = Self {
            parts: Arc::new(parts),
            lanes: Arc::default(),
        };
        for pending in pending {
            let lane = webhooks.lanes.of(&pending.way());
            // An event beyond the limit of its queue stays in the store for the next start.
            if let Some(place) = lane.place() {
                webhooks.start(pending, lane, place);
            }
        }
        Ok(webhooks)
    }

    /// Queues `event` for the receiver of `owner`; does nothing if it has none. Returns once the
    /// event is on disk. After a shutdown, the next start delivers it.
    ///
    /// # Errors
    /// When too many events of the owner are pending, or the event cannot be stored.
    pub async fn send(&self, owner: &str, event: Event) -> Result<(), Error> {
        if (self.parts.addresses)(owner).is_none() {
            return Ok(());
        }
        self.take(Pending {
            owner: owner.to_owned(),
            event,
            endpoint: None,
            tries: 0,
        })
        .await
    }

    /// Queues `event` of `owner` for `endpoint`. Returns once the event is on disk, as
    /// [`send`](Self::send).
    ///
    /// # Errors
    /// When too many events of the owner are pending for this host, or the event cannot be stored.
    pub async fn send_to(
        &self,
        owner: &str,
        endpoint: Endpoint,
        event: Event,
    ) -> Result<(), Error> {
        self.take(Pending {
            owner: owner.to_owned(),
            event,
            endpoint: Some(endpoint),
            tries: 0,
        })
        .await
    }

    async fn take(&self, pending: Pending) -> Result<(), Error> {
        let lane = self.lanes.of(&pending.way());
        // Backpressure: the slot is held until the event is delivered or given up.
        let place = lane.place().ok_or(Error::Full)?;
        pending.save(&self.parts.store).await?;
        self.start(pending, lane, place);
        Ok(())
    }

    fn start(&self, pending: Pending, lane: Lane, place: OwnedSemaphorePermit) {
        let (webhooks, stop) = (self.clone(), self.parts.stop.clone());
        self.parts
            .tracker
            // Cancelled on shutdown at any await: the event stays in the store until it is removed.
            .spawn(stop.run_until_cancelled_owned(async move {
                webhooks.deliver(pending, &lane).await;
                drop(place);
            }));
    }

    async fn deliver(&self, mut pending: Pending, lane: &Lane) {
        loop {
            let verdict = self.attempt(&pending, lane).await;
            pending.tries += 1;
            let pause = match verdict {
                Verdict::Failed(_) => back_off::pause_after(pending.tries),
                Verdict::Arrived | Verdict::Unwanted(_) => None,
            };
            self.note(&pending, verdict, pause);
            let Some(pause) = pause else { break };
            note_store(&pending, pending.save(&self.parts.store).await);
            sleep(pause).await;
        }
        note_store(&pending, pending.remove(&self.parts.store).await);
    }

    fn endpoint(&self, pending: &Pending) -> Option<Endpoint> {
        pending
            .endpoint
            .clone()
            .or_else(|| (self.parts.addresses)(&pending.owner))
    }

    /// Makes one attempt, as soon as the queue has a free slot.
    async fn attempt(&self, pending: &Pending, lane: &Lane) -> Verdict {
        let _turn = lane.turn().await;
        let Some(endpoint) = self.endpoint(pending) else {
            return Verdict::Unwanted("the webhook was taken away");
        };
        match try_once(&*self.parts.sender, &endpoint, &pending.event).await {
            Ok(200..=299) => Verdict::Arrived,
            Ok(GONE) => Verdict::Unwanted("the receiver answered with 410"),
            Ok(status) => Verdict::Failed(format!("the receiver answered with {status}")),
            Err(error) => Verdict::Failed(error.to_string()),
        }
    }

    fn note(&self, pending: &Pending, verdict: Verdict, pause: Option<Duration>) {
        let Pending {
            owner,
            event: Event { id, kind, .. },
            tries,
            ..
        } = pending;
        let endpoint = self.endpoint(pending);
        let host = endpoint.as_ref().map(|endpoint| endpoint.url.host());
        let reason = match verdict {
            Verdict::Arrived => {
                tracing::info!(
                    event.id = id,
                    event.kind = kind,
                    owner,
                    host,
                    attempt = tries,
                    "a webhook event was delivered"
                );
                return;
            }
            Verdict::Unwanted(reason) => reason.to_owned(),
            Verdict::Failed(reason) => reason,
        };
        match pause {
            Some(pause) => {
                tracing::warn!(
                    event.id = id,
                    event.kind = kind,
                    owner,
                    host,
                    attempt = tries,
                    reason,
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
                reason,
                "webhook event given up"
            ),
        }
    }
}

/// Logs a failed write. Delivery continues without it; a restart might then repeat attempts or the
/// whole event.
fn note_store(pending: &Pending, result: Result<(), store::Error>) {
    if let Err(error) = result {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(
            event.id = pending.event.id,
            error,
            "webhook event state not stored"
        );
    }
}
