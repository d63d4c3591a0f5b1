//! Single-flight: one run of a turn that several readers share.
//!
//! A reader that has consumed all buffered events polls the run itself, under the lock on its
//! state, and appends what it yields. The run is polled with a waker that wakes all waiting
//! readers, so it does not matter which of them drives it, or whether that one is dropped.
//!
//! The lock is only ever tried, never waited for, since a step of the run may take long: a reader
//! that does not get it stores its waker and is woken when the lock is released.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::TryLockError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Context;
use std::task::Poll;
use std::task::Wake;
use std::task::Waker;
use std::task::ready;

use futures::Stream;

use crate::domain::TurnEvent;

use super::Cache;
use super::KeepOut;
use super::SharedRunKey;
use super::cached_answer::CachedAnswer;
use super::cached_answer::is_cacheable;
use super::shared_fill::FillOutcome;
use super::shared_start::SharedRunLink;

/// Events of a run.
pub(super) type SharedRunEvents<E> = Pin<Box<dyn Stream<Item = Result<TurnEvent, E>> + Send>>;
/// Future that yields the events of a run once it has started.
pub(super) type SharedRunStart<E> =
    Pin<Box<dyn Future<Output = Result<SharedRunEvents<E>, E>> + Send>>;

/// Lock order: the state of a shared run, then the cache's table of shared runs; never the other
/// way round.
pub(super) struct SharedRun<E> {
    cache: Cache<E>,
    key: SharedRunKey,
    project: Box<str>,
    state: Mutex<SharedRunState<E>>,
    /// Part of the run that the level of several servers fills.
    link: Arc<SharedRunLink>,
    /// Set when the answer must not be cached, however it ends.
    is_invalidated: AtomicBool,
    /// Says at the end of the answer that it must not be cached.
    keep_out: KeepOut,
    /// Wakers of readers that have consumed all buffered events.
    waiting: Arc<WakerSet>,
    /// Wakers of readers that found the lock taken.
    lock_waiters: WakerSet,
    readers: AtomicU64,
}

struct SharedRunState<E> {
    run: SharedRunPhase<E>,
    events: Vec<TurnEvent>,
}

enum SharedRunPhase<E> {
    Starting(SharedRunStart<E>),
    Running(SharedRunEvents<E>),
    Failed(E),
    Over,
}

/// Set of wakers that are woken together.
#[derive(Default)]
struct WakerSet(Mutex<HashMap<u64, Waker>>);

/// Lock guard on the state of a shared run; releasing it wakes the readers that found it taken.
struct SharedRunGuard<'a, E> {
    state: MutexGuard<'a, SharedRunState<E>>,
    /// Declared after the guard, so dropped after it: woken readers try the lock at once.
    _wake: WakeOnDrop<'a>,
}

struct WakeOnDrop<'a>(&'a WakerSet);

/// Handle of one reader of a shared run; dropping the last one cancels the run.
pub(super) struct SharedRunReader<E> {
    flight: Arc<SharedRun<E>>,
    number: u64,
}

impl<E> SharedRun<E> {
    pub(super) fn new(
        cache: Cache<E>,
        key: SharedRunKey,
        project: Box<str>,
        keep_out: KeepOut,
        link: Arc<SharedRunLink>,
        start: SharedRunStart<E>,
    ) -> Self {
        Self {
            cache,
            key,
            project,
            state: Mutex::new(SharedRunState {
                run: SharedRunPhase::Starting(start),
                events: Vec::new(),
            }),
            link,
            is_invalidated: AtomicBool::new(false),
            keep_out,
            waiting: Arc::default(),
            lock_waiters: WakerSet::default(),
            readers: AtomicU64::new(0),
        }
    }

    pub(super) fn belongs_to(&self, project: &str) -> bool {
        *self.project == *project
    }

    /// Removes the shared run from the lookup table and keeps its answer out of the cache.
    pub(super) fn invalidate(&self) {
        self.is_invalidated.store(true, Relaxed);
        self.deregister();
    }

    /// Removes the shared run from the lookup table, unless a newer one has replaced it.
    fn deregister(&self) {
        let mut flights = self.cache.shared_runs();
        if flights
            .get(&self.key)
            .is_some_and(|flight| std::ptr::eq(flight.as_ptr(), self))
        {
            flights.remove(&self.key);
        }
    }

    /// Returns the state, or `None` if another reader holds the lock.
    fn try_state(&self) -> Option<MutexGuard<'_, SharedRunState<E>>> {
        match self.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Polls the run for one step.
    fn poll_step(&self, state: &mut SharedRunState<E>) -> Poll<()> {
        let waker = Waker::from(Arc::clone(&self.waiting));
        let mut context = Context::from_waker(&waker);
        match &mut state.run {
            SharedRunPhase::Starting(start) => match ready!(start.as_mut().poll(&mut context)) {
                Ok(events) => state.run = SharedRunPhase::Running(events),
                Err(error) => self.end_run(state, SharedRunPhase::Failed(error)),
            },
            SharedRunPhase::Running(events) => {
                match ready!(events.as_mut().poll_next(&mut context)) {
                    Some(Ok(event)) => self.append_event(state, event),
                    Some(Err(error)) => self.end_run(state, SharedRunPhase::Failed(error)),
                    None => self.end_run(state, SharedRunPhase::Over),
                }
            }
            SharedRunPhase::Failed(_) | SharedRunPhase::Over => {}
        }
        Poll::Ready(())
    }

    fn append_event(&self, state: &mut SharedRunState<E>, event: TurnEvent) {
        let reason = match &event {
            TurnEvent::Finished(finish) => Some(finish.reason),
            _ => None,
        };
        self.link.set_first(&event);
        state.events.push(event);
        let Some(reason) = reason else { return };
        // Stored before the shared run leaves the table, so that a lookup finds it in one of the
        // two.
        if self.is_invalidated.load(Relaxed) {
            self.link.end_fill(None);
        } else if is_cacheable(reason) && !self.keep_out.is_set() {
            let answer = Arc::new(CachedAnswer {
                project: self.project.clone(),
                events: state.events.iter().cloned().collect(),
                ends_at: self.link.ends_at(),
            });
            self.cache.store(self.key.turn, Arc::clone(&answer));
            self.link.end_fill(Some(FillOutcome::Answer(answer)));
        } else {
            self.link.end_fill(Some(FillOutcome::Unshared));
        }
        self.end_run(state, SharedRunPhase::Over);
    }

    fn end_run(&self, state: &mut SharedRunState<E>, run: SharedRunPhase<E>) {
        state.run = run;
        self.link.end_fill(None);
        self.deregister();
    }
}

impl<E> Drop for SharedRun<E> {
    fn drop(&mut self) {
        self.deregister();
    }
}

impl<E> SharedRunReader<E> {
    pub(super) fn new(flight: Arc<SharedRun<E>>) -> Self {
        let number = flight.readers.fetch_add(1, Relaxed);
        Self { flight, number }
    }
}

impl<E> SharedRunReader<E> {
    /// Returns the first event, if it has come.
    pub(super) fn first(&self) -> Option<TurnEvent> {
        self.flight.link.first()
    }

    /// True if the answer turned out to be one that another server has made.
    pub(super) fn is_reused(&self) -> bool {
        self.flight.link.is_reused()
    }
}

impl<E: Clone> SharedRunReader<E> {
    /// Waits until the run has started or ended.
    pub(super) fn poll_started(&self, context: &mut Context<'_>) -> Poll<Result<(), E>> {
        let mut held = ready!(self.poll_lock(context));
        let state = &mut *held.state;
        loop {
            match &state.run {
                SharedRunPhase::Starting(_) => ready!(self.poll_step(state, context)),
                SharedRunPhase::Failed(error) => return Poll::Ready(Err(error.clone())),
                SharedRunPhase::Running(_) | SharedRunPhase::Over => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Returns the event at `position`, driving the run if it has not come yet.
    pub(super) fn poll_event(
        &self,
        position: usize,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<TurnEvent, E>>> {
        let mut held = ready!(self.poll_lock(context));
        let state = &mut *held.state;
        loop {
            if let Some(event) = state.events.get(position) {
                return Poll::Ready(Some(Ok(event.clone())));
            }
            match &state.run {
                SharedRunPhase::Starting(_) | SharedRunPhase::Running(_) => {
                    ready!(self.poll_step(state, context));
                }
                SharedRunPhase::Failed(error) => return Poll::Ready(Some(Err(error.clone()))),
                SharedRunPhase::Over => return Poll::Ready(None),
            }
        }
    }

    fn poll_lock(&self, context: &Context<'_>) -> Poll<SharedRunGuard<'_, E>> {
        let lock_waiters = &self.flight.lock_waiters;
        let held = |state| {
            Poll::Ready(SharedRunGuard {
                state,
                _wake: WakeOnDrop(lock_waiters),
            })
        };
        if let Some(state) = self.flight.try_state() {
            return held(state);
        }
        // Registered before the second try, to lose no wake-up: a holder that still has the lock by
        // then wakes this reader after releasing it.
        lock_waiters
            .wakers()
            .insert(self.number, context.waker().clone());
        let Some(state) = self.flight.try_state() else {
            return Poll::Pending;
        };
        lock_waiters.wakers().remove(&self.number);
        held(state)
    }

    fn poll_step(&self, state: &mut SharedRunState<E>, context: &Context<'_>) -> Poll<()> {
        // Registered before the run is polled, since polling may wake the waiting readers at once.
        self.flight
            .waiting
            .wakers()
            .insert(self.number, context.waker().clone());
        ready!(self.flight.poll_step(state));
        self.flight.waiting.wakers().remove(&self.number);
        // The other readers have something new to consume.
        self.flight.waiting.wake_all();
        Poll::Ready(())
    }
}

impl<E> Drop for SharedRunReader<E> {
    fn drop(&mut self) {
        self.flight.waiting.wakers().remove(&self.number);
        self.flight.lock_waiters.wakers().remove(&self.number);
        // If this reader panicked inside the run, nothing else would wake the others.
        self.flight.waiting.wake_all();
    }
}

impl Drop for WakeOnDrop<'_> {
    fn drop(&mut self) {
        self.0.wake_all();
    }
}

impl WakerSet {
    fn wakers(&self) -> MutexGuard<'_, HashMap<u64, Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(&self) {
        // Woken after the lock is released: a waker may poll at once and take it again.
        let wakers = std::mem::take(&mut *self.wakers());
        wakers.into_values().for_each(Waker::wake);
    }
}

impl Wake for WakerSet {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
}
