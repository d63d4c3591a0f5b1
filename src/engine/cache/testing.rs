//! Cached answers that the servers of a test share, in memory.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::storage::shared_cache::AnswerLookup;
use crate::storage::shared_cache::AnswerStore;
use crate::storage::shared_cache::Config as SharedCacheConfig;
use crate::storage::shared_cache::Error as SharedCacheError;
use crate::storage::shared_cache::FlightClaim;
use crate::storage::shared_cache::FlightEnd;
use crate::storage::shared_cache::FlightOutcome;
use crate::storage::shared_cache::LookupMode;
use crate::storage::shared_cache::SharedAnswerState;
use crate::storage::shared_cache::SharedCachePlace;

use super::Cache;
use super::CachingMode;
use super::Config;
use super::SharedLevel;

/// Time after which a flight that is not renewed ends.
pub(crate) const LEASE: Duration = Duration::from_secs(5);
/// Maximum wait for an answer of another server.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(30);
/// Life of an answer.
pub(crate) const TIME_TO_LIVE: Duration = Duration::from_secs(3600);

/// Place of answers in memory, with the clock of the test.
#[derive(Debug, Default)]
pub(crate) struct MemoryAnswers {
    state: Mutex<MemoryAnswersState>,
    /// Set while the place cannot be reached.
    pub(crate) is_away: AtomicBool,
}

#[derive(Debug, Default)]
struct MemoryAnswersState {
    generation: u8,
    answers: HashMap<String, (u8, Vec<u8>, Instant)>,
    /// Tokens of the flights, with the ends of their leases; without a token for unshared ones.
    flights: HashMap<String, (Option<String>, Instant)>,
}

impl MemoryAnswers {
    fn answer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut MemoryAnswersState) -> T,
    ) -> BoxFuture<'_, Result<T, SharedCacheError>> {
        let outcome = if self.is_away.load(Relaxed) {
            Err(SharedCacheError::TimedOut)
        } else {
            Ok(work(&mut self.state.lock().unwrap()))
        };
        async { outcome }.boxed()
    }

    /// Number of flights.
    pub(crate) fn flights(&self) -> usize {
        self.state.lock().unwrap().flights.len()
    }

    /// Stores the bytes of an answer, which must be the only one, also as the answer `name`.
    pub(crate) fn copy_only_answer(&self, name: String) {
        let mut state = self.state.lock().unwrap();
        let stored = state.answers.values().next().unwrap().clone();
        state.answers.insert(name, stored);
    }
}

impl AnswerStore for MemoryAnswers {
    fn look_up(
        &self,
        claim: FlightClaim,
        mode: LookupMode,
    ) -> BoxFuture<'_, Result<AnswerLookup, SharedCacheError>> {
        self.answer(|state| {
            let now = Instant::now();
            state.flights.retain(|_, (_, ends_at)| *ends_at > now);
            let found = state.answers.get(&claim.name.answer);
            let found = found.filter(|found| found.0 == state.generation && found.2 > now);
            let flight = state.flights.get(&claim.name.flight);
            let state_of_answer = match (found, flight) {
                _ if mode == LookupMode::Renew => SharedAnswerState::Unclaimed,
                (Some((_, bytes, ends_at)), _) => SharedAnswerState::Found {
                    bytes: bytes.clone(),
                    remaining: *ends_at - now,
                },
                (None, Some((Some(_), _))) => SharedAnswerState::Taken,
                (None, Some((None, _))) => SharedAnswerState::Unclaimed,
                (None, None) => {
                    let flight = (Some(claim.token), now + LEASE);
                    state.flights.insert(claim.name.flight, flight);
                    SharedAnswerState::Claimed
                }
            };
            AnswerLookup {
                generation: vec![state.generation],
                state: state_of_answer,
            }
        })
    }

    fn renew(&self, claim: FlightClaim) -> BoxFuture<'_, Result<bool, SharedCacheError>> {
        self.answer(|state| {
            let flight = state.flights.get_mut(&claim.name.flight);
            let own = flight.filter(|flight| flight.0.as_ref() == Some(&claim.token));
            own.map(|flight| flight.1 = Instant::now() + LEASE)
                .is_some()
        })
    }

    fn finish(&self, end: FlightEnd) -> BoxFuture<'_, Result<bool, SharedCacheError>> {
        self.answer(|state| {
            let FlightClaim { name, token } = end.claim;
            let now = Instant::now();
            let is_own = |flight: &(Option<String>, Instant)| flight.0.as_ref() == Some(&token);
            if state.flights.get(&name.flight).is_some_and(is_own) {
                state.flights.remove(&name.flight);
                if end.outcome == FlightOutcome::Unshared {
                    let mark = (None, now + Duration::from_secs(2));
                    state.flights.insert(name.flight, mark);
                }
            }
            let FlightOutcome::Stored(bytes) = end.outcome else {
                return false;
            };
            let is_current = end.generation == [state.generation];
            if is_current {
                let answer = (state.generation, bytes, now + TIME_TO_LIVE);
                state.answers.insert(name.answer, answer);
            }
            is_current
        })
    }

    fn clear(&self, _: Option<String>) -> BoxFuture<'_, Result<(), SharedCacheError>> {
        self.answer(|state| state.generation += 1)
    }

    fn last_clearing(&self) -> BoxFuture<'_, Result<Vec<u8>, SharedCacheError>> {
        self.answer(|state| vec![state.generation])
    }

    fn flight_lease(&self) -> Duration {
        LEASE
    }
}

/// Returns the cache of one server, for all turns in `mode`, with the answers of `answers` behind it.
/// What ends flights runs on `tasks`.
pub(crate) fn sharing_cache<E: Clone + Send + 'static>(
    answers: &Arc<MemoryAnswers>,
    mode: CachingMode,
    max_entry_bytes: usize,
    tasks: TaskTracker,
) -> Cache<E> {
    let shared = SharedCacheConfig {
        shared: SharedCachePlace::Redis,
        redis_url: String::new(),
        redis_username: String::new(),
        redis_password_file: PathBuf::new(),
        redis_ca_file: PathBuf::new(),
        redis_prefix: "test".to_owned(),
        redis_timeout: Duration::from_millis(100),
        max_entry_bytes,
        max_wait: MAX_WAIT,
    };
    let config = Config {
        mode,
        max_bytes: 1 << 20,
        time_to_live: TIME_TO_LIVE,
    };
    let store = Arc::clone(answers) as Arc<dyn AnswerStore>;
    Cache::with_shared(config, 0, SharedLevel::new(store, &shared, tasks))
}
