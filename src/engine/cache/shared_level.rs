//! Answers that several servers share, behind the memory of each.
//!
//! The level is an aid: where it fails, turns are run as without it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::runtime::compute::in_place;
use crate::storage::shared_cache::AnswerLookup;
use crate::storage::shared_cache::AnswerName;
use crate::storage::shared_cache::AnswerStore;
use crate::storage::shared_cache::Config as SharedCacheConfig;
use crate::storage::shared_cache::Error as SharedCacheError;
use crate::storage::shared_cache::FlightClaim;
use crate::storage::shared_cache::FlightEnd;
use crate::storage::shared_cache::FlightOutcome;
use crate::storage::shared_cache::LookupMode;
use crate::telemetry::logs::ErrorChain;

use super::SharedRunKey;
use super::cached_answer::CachedAnswer;
use super::shared_fill::FillOutcome;
use super::shared_fill::SharedFill;
use super::stored_answer::encode_answer;

/// Level of the cache that several servers share. Clones share its state.
#[derive(Clone)]
pub struct SharedLevel(Arc<SharedLevelState>);

struct SharedLevelState {
    store: Arc<dyn AnswerStore>,
    max_entry_bytes: usize,
    max_wait: Duration,
    tracker: TaskTracker,
    runtime: Handle,
    /// Set after a failure, until a lookup succeeds.
    is_away: AtomicBool,
    hits: AtomicU64,
    waits: AtomicU64,
    errors: AtomicU64,
}

/// Counters of the level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SharedLevelCounts {
    pub(super) hits: u64,
    pub(super) waits: u64,
    pub(super) errors: u64,
}

impl fmt::Debug for SharedLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SharedLevel")
            .field("store", &self.0.store)
            .finish_non_exhaustive()
    }
}

impl SharedLevel {
    /// Creates the level of the answers in `store`, with the bounds of `config`. What ends flights runs on
    /// `tracker`. Must be called within a runtime.
    pub fn new(
        store: Arc<dyn AnswerStore>,
        config: &SharedCacheConfig,
        tracker: TaskTracker,
    ) -> Self {
        Self(Arc::new(SharedLevelState {
            store,
            max_entry_bytes: config.max_entry_bytes,
            max_wait: config.max_wait,
            tracker,
            runtime: Handle::current(),
            is_away: AtomicBool::new(false),
            hits: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            errors: AtomicU64::new(0),
        }))
    }

    /// Returns how often answers of others were used and waited for, and how often the level failed.
    pub(super) fn counts(&self) -> SharedLevelCounts {
        SharedLevelCounts {
            hits: self.0.hits.load(Relaxed),
            waits: self.0.waits.load(Relaxed),
            errors: self.0.errors.load(Relaxed),
        }
    }

    pub(super) fn count_hit(&self) {
        self.0.hits.fetch_add(1, Relaxed);
    }

    pub(super) fn count_wait(&self) {
        self.0.waits.fetch_add(1, Relaxed);
    }

    /// Maximum wait for an answer that another server is making.
    pub(super) fn max_wait(&self) -> Duration {
        self.0.max_wait
    }

    /// Prepares to find or make the answer of `key` for callers of `project`.
    pub(super) fn prepare(&self, key: &SharedRunKey, project: &str) -> SharedFill {
        let answer = key.turn.to_hex();
        let kind = if key.in_background { 'b' } else { 'l' };
        let claim = FlightClaim {
            name: AnswerName {
                project: project.to_owned(),
                flight: format!("{answer}:{kind}:{:x}", key.variant),
                answer,
            },
            token: Uuid::new_v4().simple().to_string(),
        };
        SharedFill::new(self.clone(), claim)
    }

    /// Looks up an answer.
    ///
    /// # Errors
    /// Fails when the level cannot be used now; the failure is counted, and logged if it is the first.
    pub(super) async fn look_up(
        &self,
        claim: FlightClaim,
        mode: LookupMode,
    ) -> Result<AnswerLookup, SharedCacheError> {
        let found = self.0.store.look_up(claim, mode).await;
        let found = self.note_failure(found)?;
        if self.0.is_away.swap(false, Relaxed) {
            tracing::info!("shared response cache reachable again");
        }
        Ok(found)
    }

    /// Extends the lease of a flight at a third of its time, until it belongs to another server.
    pub(super) async fn keep_claimed(&self, claim: FlightClaim) {
        let interval = self.0.store.flight_lease() / 3;
        loop {
            tokio::time::sleep(interval).await;
            let renewed = self.0.store.renew(claim.clone()).await;
            if let Ok(false) = self.note_failure(renewed) {
                return;
            }
        }
    }

    /// Ends a flight in the background.
    pub(super) fn end(
        &self,
        claim: FlightClaim,
        generation: Vec<u8>,
        outcome: Option<FillOutcome>,
    ) {
        let level = self.clone();
        self.spawn(async move {
            let outcome = match outcome {
                Some(FillOutcome::Answer(answer)) => level.encode(&claim, &answer),
                Some(FillOutcome::Unshared) => FlightOutcome::Unshared,
                None => FlightOutcome::Abandoned,
            };
            let end = FlightEnd {
                claim,
                generation,
                outcome,
            };
            let finished = level.0.store.finish(end).await;
            drop(level.note_failure(finished));
        });
    }

    /// Spawns `work`, also from a thread outside of the runtime.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0.tracker.spawn_on(work, &self.0.runtime);
    }

    /// Clears the answers of `project`, or of all projects, for all servers.
    ///
    /// # Errors
    /// Fails when the level cannot be reached: its answers are as they were.
    pub(super) async fn clear(&self, project: Option<&str>) -> Result<(), SharedCacheError> {
        let cleared = self.0.store.clear(project.map(str::to_owned)).await;
        self.note_failure(cleared)
    }

    /// Returns the mark of the last clearing.
    ///
    /// # Errors
    /// Fails when the level cannot be reached.
    pub(super) async fn last_clearing(&self) -> Result<Vec<u8>, SharedCacheError> {
        let mark = self.0.store.last_clearing().await;
        self.note_failure(mark)
    }

    fn encode(&self, claim: &FlightClaim, answer: &CachedAnswer) -> FlightOutcome {
        let encoded = in_place(answer.bytes(), || encode_answer(&claim.name.answer, answer));
        match encoded {
            Some(bytes) if bytes.len() <= self.0.max_entry_bytes => FlightOutcome::Stored(bytes),
            _ => FlightOutcome::Unshared,
        }
    }

    /// Counts a failure, and logs it if there was none before.
    fn note_failure<T>(&self, outcome: Result<T, SharedCacheError>) -> Result<T, SharedCacheError> {
        if let Err(error) = &outcome {
            self.0.errors.fetch_add(1, Relaxed);
            if !self.0.is_away.swap(true, Relaxed) {
                tracing::warn!(error = %ErrorChain(error), "shared response cache not reachable");
            }
        }
        outcome
    }
}
