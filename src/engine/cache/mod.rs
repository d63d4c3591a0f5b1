//! Response cache: stored answers, and single-flight coalescing of equal turns that run now.
//!
//! Independent of HTTP and of how an answer is made; `E` is the error of a run. Two turns are the
//! same when every field is ([`CacheKey`]), and only for callers of one project.
//!
//! On a cache miss the first caller runs the turn in a [shared run](shared_run); callers with an equal
//! turn get the events so far and then follow. A shared run goes on as long as it has a reader:
//! each waiting reader drives it, so it needs no task of its own, a slow reader does not hold up
//! the others, and the run is cancelled as soon as the last reader is dropped.
//!
//! Several servers may share their answers ([`SharedLevel`]): a run begins with a look at what others
//! have, or with a wait for what another one makes, and only then runs the turn.
//!
//! Cached: answers that finished or hit the token limit. Not cached: refusals, which may turn out
//! otherwise the next time, and tool calls, which have effects where the client makes them.

mod cached_answer;
mod cached_stream;
mod clearing;
mod key;
mod shared_fill;
mod shared_level;
mod shared_run;
mod shared_start;
mod stored_answer;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::Weak;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures::Stream;
use serde::Deserialize;

use crate::domain::CacheControl;
use crate::domain::Turn;
use crate::domain::TurnEvent;
use crate::runtime::setting;

use cached_answer::CachedAnswer;
use shared_run::SharedRun;
use shared_run::SharedRunEvents;
use shared_run::SharedRunStart;
use shared_start::SharedRunLink;
use shared_start::SharedStart;

pub use cached_stream::CachedStream;
pub use key::CacheKey;
pub use shared_level::SharedLevel;

/// Settings of the response cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Selects the turns whose answers are cached.
    pub mode: CachingMode,
    /// Capacity in bytes of memory; beyond it, the least used entries are evicted.
    #[serde(deserialize_with = "setting::number::<{ 1 << 20 }, { 1 << 40 }, _, _>")]
    pub max_bytes: u64,
    /// TTL of an entry.
    #[serde(rename = "ttl_seconds")]
    #[serde(deserialize_with = "setting::seconds::<1, _>")]
    pub time_to_live: Duration,
}

/// Selection of the turns whose answers are cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CachingMode {
    /// Caching is off.
    Off,
    /// Only turns that ask for a reproducible answer: with temperature 0, or with a seed.
    Deterministic,
    /// Every turn is a candidate.
    All,
}

/// Hit counters and current size of the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Turns answered from a stored answer or by joining the run of another caller.
    pub hits: u64,
    /// Turns among the hits that joined the run of another caller.
    pub joined: u64,
    /// Turns among the hits whose answer another server has made.
    pub shared_hits: u64,
    /// Waits for answers that another server was making.
    pub shared_waits: u64,
    /// Failures to reach the answers that servers share.
    pub shared_errors: u64,
    /// Turns that were run and could be cached.
    pub misses: u64,
    /// Turns that bypassed the cache.
    pub bypassed: u64,
    /// Stored answers that were removed for their age or to make room.
    pub evicted: u64,
    /// Number of stored answers.
    pub entries: u64,
    /// Memory of the stored answers, in bytes.
    pub bytes: u64,
}

/// Response cache of stored answers and running shared runs; clones share it.
pub struct Cache<E>(Arc<CacheInner<E>>);

struct CacheInner<E> {
    mode: CachingMode,
    /// Version of the hooks, part of each key.
    version: u64,
    stored: moka::sync::Cache<CacheKey, Arc<CachedAnswer>>,
    /// Answers that servers share; `None` if each has its own.
    shared: Option<SharedLevel>,
    /// Shared runs that have a reader and are not over. An answer is stored before its shared run
    /// is removed, so a lookup here first, and in `kept` next, misses none.
    shared_runs: Mutex<SharedRuns<E>>,
    hits: AtomicU64,
    joined: AtomicU64,
    misses: AtomicU64,
    bypassed: AtomicU64,
    /// Shared with the listener of `stored`.
    evicted: Arc<AtomicU64>,
}

type SharedRuns<E> = HashMap<SharedRunKey, Weak<SharedRun<E>>>;

/// Key of a running answer. Background runs wait for a worker without a time limit, so live callers
/// never join them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct SharedRunKey {
    turn: CacheKey,
    in_background: bool,
    /// Distinguishes runs in which other models or sign-ins may answer.
    variant: u64,
}

/// Mark of an answer that must not be stored, because it is not that of the turn's own model. Clones
/// share it.
#[derive(Debug, Clone, Default)]
pub struct KeepOut(Arc<AtomicBool>);

impl KeepOut {
    /// Keeps the answer out of the cache. Its readers get it nevertheless.
    pub fn set(&self) {
        self.0.store(true, Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// Result of a cache lookup.
#[must_use]
pub enum Lookup<E> {
    /// Cache hit: a stored answer, or a running one to follow.
    Hit(CachedStream<E>),
    /// Cache miss: run the turn and pass the run to [`MissGuard::fill`].
    Miss(MissGuard<E>),
    /// Bypass: run the turn without the cache.
    Bypass,
}

/// Permission to fill a missing entry, from a lookup that missed.
#[must_use]
pub struct MissGuard<E> {
    cache: Cache<E>,
    key: SharedRunKey,
    project: Box<str>,
    /// Set when the caller asked to bypass existing answers (`no-cache`).
    ignores_stored: bool,
}

impl<E> Clone for Cache<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E> std::fmt::Debug for Cache<E> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Cache")
            .field("mode", &self.0.mode)
            .finish_non_exhaustive()
    }
}

impl<E> std::fmt::Debug for Lookup<E> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Hit(_) => "Hit",
            Self::Miss(_) => "Miss",
            Self::Bypass => "Bypass",
        })
    }
}

impl<E> std::fmt::Debug for MissGuard<E> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Filler")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl<E: Clone + Send + 'static> Cache<E> {
    /// Creates an empty cache of a server whose hooks have this `version`; 0 without hooks.
    pub fn new(config: Config, version: u64) -> Self {
        Self::with_level(config, version, None)
    }

    /// Creates an empty cache as [`new`](Self::new) does, with the answers of `shared` behind it.
    pub fn with_shared(config: Config, version: u64, shared: SharedLevel) -> Self {
        Self::with_level(config, version, Some(shared))
    }

    fn with_level(config: Config, version: u64, shared: Option<SharedLevel>) -> Self {
        let evicted = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&evicted);
        let stored = moka::sync::Cache::builder()
            .max_capacity(config.max_bytes)
            .time_to_live(config.time_to_live)
            .weigher(|_, answer: &Arc<CachedAnswer>| {
                u32::try_from(answer.bytes()).unwrap_or(u32::MAX)
            })
            .support_invalidation_closures()
            .eviction_listener(move |_, _, cause| {
                if cause.was_evicted() {
                    count.fetch_add(1, Relaxed);
                }
            })
            .build();
        Self(Arc::new(CacheInner {
            mode: config.mode,
            version,
            stored,
            shared,
            shared_runs: Mutex::default(),
            hits: AtomicU64::new(0),
            joined: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            bypassed: AtomicU64::new(0),
            evicted,
        }))
    }

    /// Looks up `turn`, whose model is already resolved, for a caller of `project`. Requests
    /// `in_background` join only running answers of background requests, live ones only those of
    /// live requests.
    pub fn lookup(
        &self,
        project: &str,
        turn: &Turn,
        control: CacheControl,
        in_background: bool,
    ) -> Lookup<E> {
        self.lookup_variant(project, turn, control, in_background, 0)
    }

    /// Looks up `turn` as [`lookup`](Self::lookup) does. Only running answers of the same `variant` are
    /// joined: it stands for the models that may answer in place of the turn's, and for the sign-ins.
    pub fn lookup_variant(
        &self,
        project: &str,
        turn: &Turn,
        control: CacheControl,
        in_background: bool,
        variant: u64,
    ) -> Lookup<E> {
        let is_candidate = match self.0.mode {
            CachingMode::Off => false,
            CachingMode::Deterministic => {
                turn.sampling.temperature == Some(0.0) || turn.sampling.seed.is_some()
            }
            CachingMode::All => true,
        };
        // MCP calls have side effects that a replayed answer would skip.
        let calls_servers =
            !turn.tools.mcp_servers.is_empty() || turn.native.has_field("mcp_servers");
        if !is_candidate || calls_servers || (control.no_cache && control.no_store) {
            return self.bypass();
        }
        let key = SharedRunKey {
            turn: CacheKey::in_version(self.0.version, project, turn),
            in_background,
            variant,
        };
        // `no-cache` skips the lookup alone; the new answer is stored and replaces the old one.
        let found = if control.no_cache {
            None
        } else {
            self.find_hit(&self.shared_runs(), key)
        };
        match found {
            Some(answer) => Lookup::Hit(answer),
            None if control.no_store => self.bypass(),
            None => Lookup::Miss(MissGuard {
                cache: self.clone(),
                key,
                project: project.into(),
                ignores_stored: control.no_cache,
            }),
        }
    }

    /// Evicts the answers of `project`, or of all projects, from the memory of this server. Running
    /// answers go on for their readers and are not cached.
    pub fn clear(&self, project: Option<&str>) {
        // Hazard: dropping the last reference removes the shared run from the table, which takes
        // this lock. The references live until the lock is released.
        let flights: Vec<_> = self
            .shared_runs()
            .values()
            .filter_map(Weak::upgrade)
            .collect();
        for flight in flights
            .iter()
            .filter(|flight| project.is_none_or(|project| flight.belongs_to(project)))
        {
            flight.invalidate();
        }
        match project {
            None => self.0.stored.invalidate_all(),
            Some(project) => {
                let project: Box<str> = project.into();
                let is_of =
                    move |_: &CacheKey, answer: &Arc<CachedAnswer>| answer.project == project;
                // Fails only without `support_invalidation_closures`, which is set.
                let _ = self.0.stored.invalidate_entries_if(is_of);
            }
        }
    }

    /// Returns the hit counters and the current size.
    pub fn stats(&self) -> CacheStats {
        // Applies pending inserts and evictions, so that the counts are exact.
        self.0.stored.run_pending_tasks();
        let shared = self.0.shared.as_ref();
        let shared = shared.map(SharedLevel::counts).unwrap_or_default();
        CacheStats {
            hits: self.0.hits.load(Relaxed),
            joined: self.0.joined.load(Relaxed),
            shared_hits: shared.hits,
            shared_waits: shared.waits,
            shared_errors: shared.errors,
            misses: self.0.misses.load(Relaxed),
            bypassed: self.0.bypassed.load(Relaxed),
            evicted: self.0.evicted.load(Relaxed),
            entries: self.0.stored.entry_count(),
            bytes: self.0.stored.weighted_size(),
        }
    }

    fn bypass(&self) -> Lookup<E> {
        self.0.bypassed.fetch_add(1, Relaxed);
        Lookup::Bypass
    }

    fn find_hit(&self, flights: &SharedRuns<E>, key: SharedRunKey) -> Option<CachedStream<E>> {
        let flight = flights.get(&key).and_then(Weak::upgrade);
        let answer = match flight {
            Some(flight) => {
                self.0.joined.fetch_add(1, Relaxed);
                CachedStream::follower(flight)
            }
            None => {
                let stored = self.0.stored.get(&key.turn);
                CachedStream::from_stored(stored.filter(|answer| answer.is_fresh())?)
            }
        };
        self.0.hits.fetch_add(1, Relaxed);
        Some(answer)
    }
}

impl<E> Cache<E> {
    fn shared_runs(&self) -> MutexGuard<'_, SharedRuns<E>> {
        self.0
            .shared_runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self, key: CacheKey, answer: Arc<CachedAnswer>) {
        self.0.stored.insert(key, answer);
    }
}

impl<E: Clone + Send + 'static> MissGuard<E> {
    /// Starts a shared run that runs `run`, which yields the events of the turn once it has
    /// started. `run` is polled only while the answer is read, dropped when the last reader is
    /// dropped, and not polled after the event `Finished`.
    ///
    /// If an equal turn has started since the lookup, `run` is dropped and the answer follows that
    /// one.
    pub fn fill<S>(
        self,
        run: impl Future<Output = Result<S, E>> + Send + 'static,
    ) -> CachedStream<E>
    where
        S: Stream<Item = Result<TurnEvent, E>> + Send + 'static,
    {
        self.fill_unless(KeepOut::default(), run)
    }

    /// Fills the entry as [`fill`](Self::fill) does, unless `keep_out` says at the end of the answer that
    /// it must not be stored.
    pub fn fill_unless<S>(
        self,
        keep_out: KeepOut,
        run: impl Future<Output = Result<S, E>> + Send + 'static,
    ) -> CachedStream<E>
    where
        S: Stream<Item = Result<TurnEvent, E>> + Send + 'static,
    {
        // Looked up again under the lock: of several callers that missed, one becomes the leader.
        let mut flights = self.cache.shared_runs();
        let found = if self.ignores_stored {
            None
        } else {
            self.cache.find_hit(&flights, self.key)
        };
        if let Some(answer) = found {
            return answer;
        }
        let link = Arc::new(SharedRunLink::default());
        let start: SharedRunStart<E> = match self.cache.0.shared.clone() {
            None => {
                self.cache.0.misses.fetch_add(1, Relaxed);
                Box::pin(async {
                    run.await
                        .map(|events| Box::pin(events) as SharedRunEvents<E>)
                })
            }
            Some(level) => {
                let fill = level.prepare(&self.key, &self.project);
                let start = SharedStart {
                    cache: self.cache.clone(),
                    level,
                    link: Arc::clone(&link),
                    ignores_stored: self.ignores_stored,
                };
                Box::pin(start.answer(fill, run))
            }
        };
        let flight = Arc::new(SharedRun::new(
            self.cache.clone(),
            self.key,
            self.project,
            keep_out,
            link,
            start,
        ));
        flights.insert(self.key, Arc::downgrade(&flight));
        CachedStream::leader(flight)
    }
}
