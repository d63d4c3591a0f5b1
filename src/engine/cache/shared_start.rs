//! Start of a shared run where servers share their answers: the turn is run only if no other server
//! has its answer.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

use futures::Stream;
use futures::stream;
use tokio::time::Instant;

use crate::domain::TurnEvent;
use crate::storage::shared_cache::LookupMode;

use super::Cache;
use super::SharedLevel;
use super::shared_fill::FillOutcome;
use super::shared_fill::SharedFill;
use super::shared_fill::SharedSearch;
use super::shared_run::SharedRunEvents;

/// Part of a shared run that its start fills in.
#[derive(Default)]
pub(super) struct SharedRunLink {
    /// Copy of the first event, readable without the lock of the run.
    first: OnceLock<TurnEvent>,
    /// End of the answer's life, if another server has made it.
    ends_at: OnceLock<Instant>,
    /// Claim to make the answer for other servers.
    fill: Mutex<Option<SharedFill>>,
}

impl SharedRunLink {
    /// Keeps `event` if it is the first one.
    pub(super) fn set_first(&self, event: &TurnEvent) {
        self.first.get_or_init(|| event.clone());
    }

    /// Returns the first event, if it is known.
    pub(super) fn first(&self) -> Option<TurnEvent> {
        self.first.get().cloned()
    }

    /// True if another server has made the answer.
    pub(super) fn is_reused(&self) -> bool {
        self.ends_at.get().is_some()
    }

    /// Returns the end of the life of an answer that another server has made.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        self.ends_at.get().copied()
    }

    /// Ends the claim with `outcome`, or gives it up. Does nothing after the first call.
    pub(super) fn end_fill(&self, outcome: Option<FillOutcome>) {
        let fill = self.lock_fill().take();
        if let (Some(fill), Some(outcome)) = (fill, outcome) {
            fill.finish(outcome);
        }
    }

    fn set_reused(&self, events: &[TurnEvent], ends_at: Instant) {
        if let Some(first) = events.first() {
            self.set_first(first);
        }
        self.ends_at.get_or_init(|| ends_at);
    }

    fn lock_fill(&self) -> MutexGuard<'_, Option<SharedFill>> {
        self.fill.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Start of a shared run, with the level that is asked first.
pub(super) struct SharedStart<E> {
    pub(super) cache: Cache<E>,
    pub(super) level: SharedLevel,
    pub(super) link: Arc<SharedRunLink>,
    /// Set when the caller asked to bypass existing answers.
    pub(super) ignores_stored: bool,
}

impl<E: Clone + Send + 'static> SharedStart<E> {
    /// Returns the answer that another server has made, or else that of `run`, by the claim `fill`.
    pub(super) async fn answer<S>(
        self,
        fill: SharedFill,
        run: impl Future<Output = Result<S, E>> + Send + 'static,
    ) -> Result<SharedRunEvents<E>, E>
    where
        S: Stream<Item = Result<TurnEvent, E>> + Send + 'static,
    {
        let mode = if self.ignores_stored {
            LookupMode::Renew
        } else {
            LookupMode::Claim
        };
        match fill.find(mode).await {
            SharedSearch::Found { events, ends_at } => {
                self.cache.0.hits.fetch_add(1, Relaxed);
                self.level.count_hit();
                self.link.set_reused(&events, ends_at);
                Ok(Box::pin(stream::iter(events.into_iter().map(Ok::<_, E>))))
            }
            SharedSearch::Missing(fill) => {
                self.cache.0.misses.fetch_add(1, Relaxed);
                *self.link.lock_fill() = fill;
                let events = run.await?;
                Ok(Box::pin(events))
            }
        }
    }
}
