//! Answers that are given again: those that are kept, and those that are being made while somebody else asks the same.
//!
//! Knows neither HTTP nor how an answer is made; `E` is however that fails. Two turns are the same when everything in them
//! is ([`Key`]), and for callers of one project only.
//!
//! A turn that is not known is run by whoever asks first, in a [`flight`]; others who ask for the same get what has come so
//! far and then follow. A flight goes on as long as somebody reads it, whoever that is: each reader that waits moves it along,
//! so it needs no task of its own, a slow reader stops no other, and it ends with the last one to leave, at once.
//!
//! Kept is what the model finished, or stopped only because it had reached its limit of tokens. Not what it refused, which it
//! may not refuse the next time; and not the call of a tool, for which a worker waits that would wait for nothing the second
//! time.

mod answer;
mod flight;
mod key;
#[cfg(test)]
mod key_tests;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::Weak;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures::Stream;

use crate::domain::CacheControl;
use crate::domain::FinishReason;
use crate::domain::Turn;
use crate::domain::TurnEvent;

use flight::Flight;

pub use answer::Answer;
pub use key::Key;

/// What an entry takes beside its events, about.
const ENTRY_BYTES: usize = 256;

/// How much is kept, of what, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Whose answers are kept.
    pub mode: Mode,
    /// Bytes of memory they may take together. Beyond, those leave that are asked for least.
    pub max_bytes: u64,
    /// How long an answer is kept.
    pub time_to_live: Duration,
}

/// Whose answers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nobody's.
    Off,
    /// Those of turns that ask for the same answer each time: with the temperature 0, or a seed.
    Deterministic,
    /// Everybody's.
    All,
}

/// How often it helped, and what is in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Turns that were answered by what was kept, or by the run of another.
    pub hits: u64,
    /// Turns that were run and could be kept.
    pub misses: u64,
    /// Turns that the cache is not for.
    pub bypassed: u64,
    /// Answers that are kept.
    pub entries: u64,
    /// Bytes of memory they take.
    pub bytes: u64,
}

/// The answers that are kept or under way. Clones share them.
pub struct Cache<E>(Arc<Inner<E>>);

struct Inner<E> {
    mode: Mode,
    kept: moka::sync::Cache<Key, Arc<Kept>>,
    /// Those that somebody still reads and that are not over. An answer is kept before its flight goes, so whoever looks
    /// here first, and then there, misses none.
    flights: Mutex<Flights<E>>,
    hits: AtomicU64,
    misses: AtomicU64,
    bypassed: AtomicU64,
}

type Flights<E> = HashMap<FlightKey, Weak<Flight<E>>>;

/// The key of a running answer. Background runs have no time limit on their wait, so live callers never join them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FlightKey {
    turn: Key,
    in_background: bool,
}

/// An answer that is over.
#[derive(Debug)]
struct Kept {
    project: Box<str>,
    events: Box<[TurnEvent]>,
}

/// What there is for a turn.
#[must_use]
pub enum Lookup<E> {
    /// The answer, kept or under way.
    Hit(Answer<E>),
    /// Nothing: run the turn and fill it in.
    Miss(Filler<E>),
    /// Run the turn; nothing of it is to be kept.
    Bypass,
}

/// The place of an answer that is not there.
#[must_use]
pub struct Filler<E> {
    cache: Cache<E>,
    key: FlightKey,
    project: Box<str>,
    /// What is there already was not wanted.
    is_fresh: bool,
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

impl<E> std::fmt::Debug for Filler<E> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Filler")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl<E: Clone + Send + 'static> Cache<E> {
    /// Nothing is in it.
    pub fn new(config: Config) -> Self {
        let kept = moka::sync::Cache::builder()
            .max_capacity(config.max_bytes)
            .time_to_live(config.time_to_live)
            .weigher(|_, kept: &Arc<Kept>| u32::try_from(kept.bytes()).unwrap_or(u32::MAX))
            .support_invalidation_closures()
            .build();
        Self(Arc::new(Inner {
            mode: config.mode,
            kept,
            flights: Mutex::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            bypassed: AtomicU64::new(0),
        }))
    }

    /// What there is for `turn`, whose model is resolved, of a caller of `project`. Of answers that are being made, one `in_background`
    /// meets those of its kind alone, and so do the others.
    pub fn lookup(
        &self,
        project: &str,
        turn: &Turn,
        control: CacheControl,
        in_background: bool,
    ) -> Lookup<E> {
        let is_candidate = match self.0.mode {
            Mode::Off => false,
            Mode::Deterministic => {
                turn.sampling.temperature == Some(0.0) || turn.sampling.seed.is_some()
            }
            Mode::All => true,
        };
        // What they do outside is not done by giving an answer again.
        let calls_servers =
            !turn.tools.mcp_servers.is_empty() || turn.native.has_field("mcp_servers");
        if !is_candidate || calls_servers || (control.no_cache && control.no_store) {
            return self.bypass();
        }
        let key = FlightKey {
            turn: Key::new(project, turn),
            in_background,
        };
        let found = if control.no_cache {
            None
        } else {
            self.find(&self.flights(), key)
        };
        match found {
            Some(answer) => Lookup::Hit(answer),
            None if control.no_store => self.bypass(),
            None => {
                let (cache, is_fresh) = (self.clone(), control.no_cache);
                Lookup::Miss(Filler {
                    cache,
                    key,
                    project: project.into(),
                    is_fresh,
                })
            }
        }
    }

    /// Forgets the answers of `project`, or of all. Those under way go to who asked for them already, and are not kept.
    pub fn clear(&self, project: Option<&str>) {
        // Held until the lock is free: a flight that ends takes it as well.
        let flights: Vec<_> = self.flights().values().filter_map(Weak::upgrade).collect();
        for flight in flights
            .iter()
            .filter(|flight| project.is_none_or(|project| flight.is_of(project)))
        {
            flight.forget();
        }
        match project {
            None => self.0.kept.invalidate_all(),
            Some(project) => {
                let project: Box<str> = project.into();
                let is_of = move |_: &Key, kept: &Arc<Kept>| kept.project == project;
                // Fails only where such closures are not supported, which they are here.
                let _ = self.0.kept.invalidate_entries_if(is_of);
            }
        }
    }

    /// How often it helped, and what is in it.
    pub fn stats(&self) -> Stats {
        // Else what has just come or gone is not counted yet.
        self.0.kept.run_pending_tasks();
        Stats {
            hits: self.0.hits.load(Relaxed),
            misses: self.0.misses.load(Relaxed),
            bypassed: self.0.bypassed.load(Relaxed),
            entries: self.0.kept.entry_count(),
            bytes: self.0.kept.weighted_size(),
        }
    }

    fn bypass(&self) -> Lookup<E> {
        self.0.bypassed.fetch_add(1, Relaxed);
        Lookup::Bypass
    }

    fn find(&self, flights: &Flights<E>, key: FlightKey) -> Option<Answer<E>> {
        let flight = flights.get(&key).and_then(Weak::upgrade);
        let answer = match flight {
            Some(flight) => Answer::following(flight),
            None => Answer::kept(self.0.kept.get(&key.turn)?),
        };
        self.0.hits.fetch_add(1, Relaxed);
        Some(answer)
    }
}

impl<E> Cache<E> {
    fn flights(&self) -> MutexGuard<'_, Flights<E>> {
        self.0
            .flights
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, key: Key, kept: Kept) {
        self.0.kept.insert(key, Arc::new(kept));
    }
}

impl<E: Clone + Send + 'static> Filler<E> {
    /// Has the answer made by `run`, which gives the events of the turn once it is under way. Nothing happens before the
    /// answer is read; when the last one who reads it has left, `run` is dropped. Nothing is asked of it after the event
    /// `Finished`.
    ///
    /// If somebody else has begun the same since it was looked for, `run` is dropped, and the answer is theirs.
    pub fn fill<S>(self, run: impl Future<Output = Result<S, E>> + Send + 'static) -> Answer<E>
    where
        S: Stream<Item = Result<TurnEvent, E>> + Send + 'static,
    {
        let mut flights = self.cache.flights();
        let found = if self.is_fresh {
            None
        } else {
            self.cache.find(&flights, self.key)
        };
        if let Some(answer) = found {
            return answer;
        }
        self.cache.0.misses.fetch_add(1, Relaxed);
        let flight = Arc::new(Flight::new(self.cache.clone(), self.key, self.project, run));
        flights.insert(self.key, Arc::downgrade(&flight));
        Answer::leading(flight)
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        let texts: usize = self.events.iter().map(text_bytes).sum();
        ENTRY_BYTES + self.project.len() + size_of_val(&*self.events) + texts
    }
}

fn text_bytes(event: &TurnEvent) -> usize {
    match event {
        TurnEvent::Started { model, native, .. } => model.capacity() + native.bytes(),
        TurnEvent::Thinking(text)
        | TurnEvent::ThinkingSealed(text)
        | TurnEvent::ThinkingRedacted(text)
        | TurnEvent::Text(text)
        | TurnEvent::ToolInput(text) => text.capacity(),
        TurnEvent::ServerBlock(block) => block.json.capacity(),
        TurnEvent::BlockDelta(delta) => delta.json.capacity(),
        TurnEvent::Citation(citation) => citation.json.capacity(),
        TurnEvent::NextText => 0,
        TurnEvent::ToolCall { id, name, caller } => {
            id.capacity() + name.capacity() + caller.as_ref().map_or(0, String::capacity)
        }
        TurnEvent::Finished(finish) => {
            finish.stop_text.as_ref().map_or(0, String::capacity) + finish.native.bytes()
        }
    }
}

/// Whether an answer that ended so may be given again.
fn may_be_kept(reason: FinishReason) -> bool {
    match reason {
        FinishReason::Stop | FinishReason::Length => true,
        FinishReason::ToolCalls | FinishReason::ContentFilter | FinishReason::Paused => false,
    }
}
