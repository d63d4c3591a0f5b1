//! Activity of the server as the dashboard shows it: turns that run, the last that have ended, and
//! figures over time. Without prompts and answers.
//!
//! The steps of a turn report by a [`TrackedTurn`]. Once a second a sample is recorded, which also
//! tells viewers of all that has changed since: a turn that begins or changes costs no more than a
//! few instructions.

mod board;
mod event_log;
mod figures;
mod phases;
mod series;
#[cfg(test)]
mod tests;
mod tracked_turn;
mod views;

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::domain::unix_now_ms;
use crate::telemetry::metrics::MetricsSnapshot;

use board::TurnBoard;
use event_log::EventLog;
use series::FigureSeries;
use tracked_turn::TurnRecord;

pub use event_log::ActivityEvent;
pub use event_log::ActivityEventKind;
pub use event_log::ActivityFollower;
pub use event_log::MAX_VIEWERS;
pub use event_log::SecondFigures;
pub use event_log::TooManyViewers;
pub use figures::FigurePoint;
pub use figures::LevelKind;
pub use figures::LevelSample;
pub use figures::LevelSums;
pub use figures::StepFigures;
pub use phases::BegunPhase;
pub use phases::PhaseTimes;
pub use phases::TurnOutcome;
pub use phases::TurnPhase;
pub use series::FigureSample;
pub use series::FigureSpan;
pub use tracked_turn::TrackedTurn;
pub use views::EndedTurn;
pub use views::TurnError;
pub use views::TurnFacts;
pub use views::TurnTokens;
pub use views::TurnView;
pub use views::shorten_model_name;

/// Numbers that a server may use up in each millisecond of its life, so that those of a restarted
/// server are above those of the one before. Below 2^53 in all, so exact in JavaScript.
const NUMBERS_PER_MILLISECOND: u64 = 1000;
/// Number of seconds after which viewers see the tokens of flowing answers anew.
const TOKEN_UPDATE_SECONDS: u64 = 5;

/// Running and ended turns, and figures over time. Clones share them.
#[derive(Clone)]
pub struct Activity(Arc<ActivityInner>);

struct ActivityInner {
    /// Start of the server, in milliseconds of Unix time.
    started_at_ms: u64,
    next_turn: AtomicU64,
    /// Locks are held for a few instructions and never across an await.
    board: Mutex<TurnBoard>,
    series: Mutex<FigureSeries>,
    levels: Mutex<Arc<MetricsSnapshot>>,
    log: EventLog,
}

/// State of all turns at one moment.
#[derive(Debug, Clone)]
pub struct ActivitySnapshot {
    /// Number of the newest event that the state includes; later ones may be included in part.
    pub seq: u64,
    /// Start of the server, in milliseconds of Unix time.
    pub started_at_ms: u64,
    /// Levels and totals of the server's parts, as last read.
    pub levels: Arc<MetricsSnapshot>,
    /// Running turns, oldest first.
    pub running: Vec<TurnView>,
    /// Number of running turns that are not shown.
    pub running_not_shown: usize,
    /// Last turns that have ended, newest first.
    pub ended: Vec<Arc<EndedTurn>>,
}

impl fmt::Debug for Activity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Activity").finish_non_exhaustive()
    }
}

impl Default for Activity {
    fn default() -> Self {
        Self::new()
    }
}

impl Activity {
    /// Creates the activity of a server that is started now.
    pub fn new() -> Self {
        let started_at_ms = unix_now_ms();
        let first = started_at_ms * NUMBERS_PER_MILLISECOND;
        Self(Arc::new(ActivityInner {
            started_at_ms,
            next_turn: AtomicU64::new(first),
            board: Mutex::default(),
            series: Mutex::default(),
            levels: Mutex::default(),
            log: EventLog::new(first),
        }))
    }

    /// Begins to track a turn, which its handle must [end](TrackedTurn::end).
    pub fn begin_turn(&self, facts: TurnFacts) -> TrackedTurn {
        let id = self.0.next_turn.fetch_add(1, Relaxed);
        let record = Arc::new(TurnRecord::new(id, facts));
        self.board().begin(&record);
        TrackedTurn::new(self.clone(), record)
    }

    /// Cancels the running turn `id`. Returns false if no such turn runs.
    pub fn cancel_turn(&self, id: u64) -> bool {
        let record = self.board().find_running(id);
        record.is_some_and(|record| {
            record.cancel();
            true
        })
    }

    /// Returns the numbers of running turns: all, and those that are not shown.
    pub fn count_running(&self) -> (usize, usize) {
        self.board().count_running()
    }

    /// Records the figures of the second `now` of Unix time and the `levels` of the server's parts,
    /// and tells viewers of all changes.
    pub fn record_second(&self, now: u64, sample: &FigureSample, levels: MetricsSnapshot) {
        let point = self.series().add_second(now, sample);
        let levels = self.keep_levels(levels);
        let are_tokens_due = now.is_multiple_of(TOKEN_UPDATE_SECONDS);
        let (changes, (running, running_not_shown)) = {
            let mut board = self.board();
            (board.take_changes(are_tokens_due), board.count_running())
        };
        let second = ActivityEventKind::Second(Arc::new(SecondFigures {
            point,
            levels,
            running,
            running_not_shown,
        }));
        self.0.log.append(changes.into_iter().chain([second]));
    }

    /// Returns the state of all turns.
    pub fn snapshot(&self) -> ActivitySnapshot {
        // Read first: what happens meanwhile is told again by later events.
        let seq = self.0.log.newest();
        let board = self.board();
        let (_, running_not_shown) = board.count_running();
        ActivitySnapshot {
            seq,
            started_at_ms: self.0.started_at_ms,
            levels: Arc::clone(&self.levels()),
            running: board.running_views(),
            running_not_shown,
            ended: board.ended_turns(),
        }
    }

    /// Returns the starts of the steps of `span` with their points, oldest first and without gaps;
    /// `None` for a step without figures. Starts are in seconds of Unix time.
    pub fn points(&self, span: FigureSpan) -> Vec<(u64, Option<FigurePoint>)> {
        self.series().points(span)
    }

    /// Begins to read events after the event `after`; `None` for those from now on.
    ///
    /// # Errors
    /// Fails when there are too many viewers.
    pub fn follow(&self, after: Option<u64>) -> Result<ActivityFollower, TooManyViewers> {
        self.0.log.follow(after)
    }

    /// Fills in hours of earlier runs of the server, in their order.
    pub fn restore_hours(&self, hours: impl IntoIterator<Item = StepFigures>) {
        let mut series = self.series();
        for hour in hours {
            series.restore_hour(hour);
        }
    }

    /// Takes the hours to be stored: the one that goes on and, once, the one that has ended.
    pub fn take_hours(&self) -> Vec<StepFigures> {
        self.series().take_hours()
    }

    fn board(&self) -> MutexGuard<'_, TurnBoard> {
        self.0.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn series(&self) -> MutexGuard<'_, FigureSeries> {
        self.0.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the levels of the last second. Seconds with the same levels share their memory.
    fn keep_levels(&self, levels: MetricsSnapshot) -> Arc<MetricsSnapshot> {
        let mut kept = self.levels();
        if **kept != levels {
            *kept = Arc::new(levels);
        }
        Arc::clone(&kept)
    }

    fn levels(&self) -> MutexGuard<'_, Arc<MetricsSnapshot>> {
        self.0.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of turns, events and points that there is memory for.
    #[cfg(test)]
    fn capacity(&self) -> usize {
        let board = self.board().capacity();
        board + self.0.log.capacity() + self.series().capacity()
    }
}
