//! From an event to its arrival.

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

/// The answer by which a receiver says that it wants none of it.
const GONE: u16 = 410;

/// Delivers events. Clones share it.
#[derive(Debug, Clone)]
pub struct Webhooks {
    parts: Arc<Parts>,
    lanes: Arc<Lanes>,
}

/// Tells the address that an owner has now, if it has one.
pub type Addresses = Box<dyn Fn(&str) -> Option<Endpoint> + Send + Sync>;

/// What it is made of.
pub struct Parts {
    /// Where events lie until they have arrived.
    pub store: Store,
    /// Knows addresses.
    pub addresses: Addresses,
    /// Sends them.
    pub sender: Arc<dyn Sender>,
    /// Where deliveries live.
    pub tracker: TaskTracker,
    /// Cancelled when tries are to end.
    pub stop: CancellationToken,
}

/// Why an event is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its owner's receiver has left too many waiting.
    #[error("{ROOM} events wait already")]
    Full,
    /// It cannot be kept.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// What came of a try.
enum Verdict {
    Arrived,
    /// The receiver wants none of it.
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
    /// Begins, with what an earlier start has left undelivered.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn open(parts: Parts) -> Result<Self, store::Error> {
        let (pending, unreadable) = pending::all(&parts.store).await?;
        if unreadable > 0 {
            tracing::warn!(
                unreadable,
                "webhook events of another version of this server are left where they are"
            );
        }
        let webhooks = Self {
            parts: Arc::new(parts),
            lanes: Arc::default(),
        };
        for pending in pending {
            let lane = webhooks.lanes.of(&pending.way());
            if let Some(place) = lane.place() {
                webhooks.start(pending, lane, place);
            }
        }
        Ok(webhooks)
    }

    /// Has `event` delivered to `owner`, if that has an address; returns once it is on disk. When the server stops, it is sent
    /// by the next start.
    ///
    /// # Errors
    /// When too many of the owner's wait already, or it cannot be kept.
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

    /// Has `event` of `owner` delivered to `endpoint`; returns once it is on disk, as [`send`](Self::send).
    ///
    /// # Errors
    /// When too many of the owner's for this host wait already, or it cannot be kept.
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
        let place = lane.place().ok_or(Error::Full)?;
        pending.save(&self.parts.store).await?;
        self.start(pending, lane, place);
        Ok(())
    }

    fn start(&self, pending: Pending, lane: Lane, place: OwnedSemaphorePermit) {
        let (webhooks, stop) = (self.clone(), self.parts.stop.clone());
        self.parts
            .tracker
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

    /// One try, when it is its turn.
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
                    id,
                    kind,
                    owner,
                    host,
                    tries,
                    "a webhook event was delivered"
                );
                return;
            }
            Verdict::Unwanted(reason) => reason.to_owned(),
            Verdict::Failed(reason) => reason,
        };
        match pause {
            Some(pause) => {
                let next = pause.as_secs();
                tracing::warn!(
                    id,
                    kind,
                    owner,
                    host,
                    tries,
                    reason,
                    next,
                    "a webhook event is sent again later"
                );
            }
            None => tracing::warn!(
                id,
                kind,
                owner,
                host,
                tries,
                reason,
                "a webhook event is given up"
            ),
        }
    }
}

/// A delivery goes on without its record; a restart would then send it again, or not at all.
fn note_store(pending: &Pending, result: Result<(), store::Error>) {
    if let Err(error) = result {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(
            id = pending.event.id,
            error,
            "what became of a webhook event was not kept"
        );
    }
}
