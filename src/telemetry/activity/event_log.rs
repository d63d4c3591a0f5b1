//! Log of the last events, which viewers read at their own pace.
//!
//! A viewer has no queue of its own: it knows the number of its next event, and reads it from the
//! log. One that is too slow finds its event gone, and begins anew. So viewers take no memory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use futures::Stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::sync::watch;

use super::figures::FigurePoint;
use super::views::EndedTurn;
use super::views::TurnView;
use crate::telemetry::metrics::MetricsSnapshot;

/// Maximum number of events that are kept.
pub(super) const MAX_EVENTS: usize = 2048;
/// Maximum number of viewers at a time.
pub const MAX_VIEWERS: usize = 32;

/// Event for viewers, which has a number.
#[derive(Debug, Clone)]
pub struct ActivityEvent {
    /// Number of the event; each event has the next one.
    pub seq: u64,
    /// Content of the event.
    pub kind: ActivityEventKind,
}

/// Content of an event for viewers.
#[derive(Debug, Clone)]
pub enum ActivityEventKind {
    /// Running turn that began or changed.
    Turn(Arc<TurnView>),
    /// Turn that has ended, or whose charge is known now.
    Ended(Arc<EndedTurn>),
    /// Figures of one second.
    Second(Arc<SecondFigures>),
    /// Events were missed: the state must be read again.
    Resync,
}

/// Figures of one second, with the levels at its end.
#[derive(Debug, Clone)]
pub struct SecondFigures {
    /// Figures of the second.
    pub point: FigurePoint,
    /// Levels and totals of the server's parts.
    pub levels: Arc<MetricsSnapshot>,
    /// Number of running turns.
    pub running: usize,
    /// Number of running turns that are not shown.
    pub running_not_shown: usize,
}

/// Refusal of a viewer: there are [`MAX_VIEWERS`] already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_VIEWERS} viewers follow the dashboard already")]
pub struct TooManyViewers;

/// Log of the last events. Clones share it.
#[derive(Clone)]
pub(super) struct EventLog(Arc<EventLogInner>);

struct EventLogInner {
    /// Held for a few instructions and never across an await.
    kept: Mutex<KeptEvents>,
    /// Number of the newest event, which viewers watch.
    newest: watch::Sender<u64>,
    places: Arc<Semaphore>,
}

struct KeptEvents {
    events: VecDeque<ActivityEvent>,
    /// Number of the newest event, kept or not.
    newest: u64,
}

/// Result of reading one event.
enum LoggedEvent {
    Found(ActivityEvent),
    /// Number of the newest event, after an event that is gone or from another start.
    Missed(u64),
    /// Event that is still to come.
    Coming,
}

/// Reader of the events, from any of them onwards.
pub struct ActivityFollower {
    log: EventLog,
    newest: watch::Receiver<u64>,
    /// Number of the next event.
    next: u64,
    /// Place among the viewers.
    _place: OwnedSemaphorePermit,
}

impl std::fmt::Debug for ActivityFollower {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ActivityFollower")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl EventLog {
    /// Creates an empty log, whose first event has the number after `start`.
    pub(super) fn new(start: u64) -> Self {
        Self(Arc::new(EventLogInner {
            kept: Mutex::new(KeptEvents {
                events: VecDeque::with_capacity(MAX_EVENTS),
                newest: start,
            }),
            newest: watch::Sender::new(start),
            places: Arc::new(Semaphore::new(MAX_VIEWERS)),
        }))
    }

    /// Returns the number of the newest event.
    pub(super) fn newest(&self) -> u64 {
        self.kept().newest
    }

    /// Appends events, and wakes the viewers.
    pub(super) fn append(&self, kinds: impl IntoIterator<Item = ActivityEventKind>) {
        let newest = {
            let mut kept = self.kept();
            for kind in kinds {
                kept.append(kind);
            }
            kept.newest
        };
        self.0.newest.send_replace(newest);
    }

    /// Begins to read after the event `after`; `None` for the events from now on.
    pub(super) fn follow(&self, after: Option<u64>) -> Result<ActivityFollower, TooManyViewers> {
        let place = Arc::clone(&self.0.places).try_acquire_owned();
        let place = place.map_err(|_| TooManyViewers)?;
        let after = after.unwrap_or_else(|| self.newest());
        Ok(ActivityFollower {
            log: self.clone(),
            newest: self.0.newest.subscribe(),
            next: after.saturating_add(1),
            _place: place,
        })
    }

    fn read(&self, number: u64) -> LoggedEvent {
        let kept = self.kept();
        if number == kept.newest + 1 {
            return LoggedEvent::Coming;
        }
        let back = kept.newest.checked_sub(number).map(|back| back as usize);
        let index = back.and_then(|back| kept.events.len().checked_sub(back + 1));
        match index.and_then(|index| kept.events.get(index)) {
            Some(event) => LoggedEvent::Found(event.clone()),
            None => LoggedEvent::Missed(kept.newest),
        }
    }

    fn kept(&self) -> MutexGuard<'_, KeptEvents> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of events that there is memory for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.kept().events.capacity()
    }
}

impl KeptEvents {
    fn append(&mut self, kind: ActivityEventKind) {
        self.newest += 1;
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(ActivityEvent {
            seq: self.newest,
            kind,
        });
    }
}

impl ActivityFollower {
    /// Waits for the next event. After [`ActivityEventKind::Resync`], whose number is that of the
    /// newest event, the events go on behind it.
    ///
    /// Cancellation-safe: a dropped future loses no event.
    pub async fn next(&mut self) -> ActivityEvent {
        loop {
            // Marked as seen before the log is read, so that no event is missed in between.
            self.newest.mark_unchanged();
            match self.log.read(self.next) {
                LoggedEvent::Found(event) => {
                    self.next = event.seq + 1;
                    return event;
                }
                LoggedEvent::Missed(newest) => {
                    self.next = newest + 1;
                    return ActivityEvent {
                        seq: newest,
                        kind: ActivityEventKind::Resync,
                    };
                }
                LoggedEvent::Coming => {
                    // The sender is part of the log, so it is never gone.
                    let _ = self.newest.changed().await;
                }
            }
        }
    }

    /// Returns the events as a stream without an end.
    pub fn into_events(self) -> impl Stream<Item = ActivityEvent> + Send {
        futures::stream::unfold(self, async |mut follower| {
            let event = follower.next().await;
            Some((event, follower))
        })
    }
}
