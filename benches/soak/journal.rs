//! The outcome of every request, and the times of the faults.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::doors::Door;

/// Why a request was not answered.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// An error in the envelope of the API, with a known code.
    Refused(String),
    /// The connection broke off without a word.
    Cut(String),
    /// Anything else: another's words, a torn stream, a hang, an error that nobody knows.
    Wrong(String),
}

/// How a request ended.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Answered,
    /// The client left on purpose.
    Left,
    Not(Trouble),
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) door: Door,
    pub(crate) key: &'static str,
    /// Seconds since the begin of the run.
    pub(crate) begun: f64,
    pub(crate) ended: f64,
    pub(crate) outcome: Outcome,
}

/// The time in which a fault may be felt.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub(crate) fault: &'static str,
    /// Whether the server itself is gone, so that it cannot say anything.
    pub(crate) is_server_gone: bool,
    pub(crate) begun: f64,
    /// When the fault was over; infinite while it lasts.
    pub(crate) ended: f64,
    /// Seconds after that within which the server must be as before.
    pub(crate) allowance: f64,
    /// What was done.
    pub(crate) note: String,
}

impl Window {
    /// Whether a request was under way while the fault could be felt.
    pub(crate) fn touches(&self, event: &Event) -> bool {
        event.begun <= self.ended + self.allowance && event.ended >= self.begun
    }

    /// Whether a request was under way while the fault lasted.
    pub(crate) fn meets(&self, event: &Event) -> bool {
        event.begun <= self.ended && event.ended >= self.begun
    }
}

/// Everything that happened.
#[derive(Debug)]
pub(crate) struct Journal {
    started: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    events: Vec<Event>,
    windows: Vec<Window>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            inner: Mutex::default(),
        }
    }

    /// Seconds since the begin.
    pub(crate) fn now(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a request of `key`, which must end within `deadline`, and notes what became of it.
    pub(crate) async fn watch<T>(
        &self,
        (door, key): (Door, &'static str),
        deadline: Duration,
        request: impl Future<Output = Result<T, Trouble>>,
    ) -> Option<T> {
        let begun = self.now();
        let result = in_time(deadline, request).await;
        self.note(
            (door, key),
            begun,
            result.as_ref().map(drop).map_err(Trouble::clone),
        );
        result.ok()
    }

    /// Notes what became of a request.
    pub(crate) fn note(
        &self,
        (door, key): (Door, &'static str),
        begun: f64,
        result: Result<(), Trouble>,
    ) {
        let outcome = match result {
            Err(trouble) => Outcome::Not(trouble),
            Ok(()) if door == Door::Left => Outcome::Left,
            Ok(()) => Outcome::Answered,
        };
        if let Outcome::Not(Trouble::Wrong(what)) = &outcome {
            self.say(&format!("WRONG: {door:?} of {key}: {what}"));
        }
        self.lock().events.push(Event {
            door,
            key,
            begun,
            ended: self.now(),
            outcome,
        });
    }

    /// Opens the window of a fault and gives its place.
    pub(crate) fn begin(&self, fault: &'static str, is_server_gone: bool, allowance: f64) -> usize {
        self.say(&format!("fault begins: {fault}"));
        let begun = self.now();
        let mut inner = self.lock();
        let ended = f64::INFINITY;
        inner.windows.push(Window {
            fault,
            is_server_gone,
            begun,
            ended,
            allowance,
            note: String::new(),
        });
        inner.windows.len() - 1
    }

    /// Notes that the fault of a window is over.
    pub(crate) fn end(&self, window: usize, note: String) {
        let now = self.now();
        let mut inner = self.lock();
        if let Some(window) = inner.windows.get_mut(window) {
            (window.ended, window.note) = (now, note);
            let (fault, note, begun) = (window.fault, window.note.clone(), window.begun);
            drop(inner);
            self.say(&format!(
                "fault over after {:.1} s: {fault} ({note})",
                now - begun
            ));
        }
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.lock().events.clone()
    }

    pub(crate) fn windows(&self) -> Vec<Window> {
        self.lock().windows.clone()
    }

    /// How many requests ended in which way since `since`, for a line of progress.
    pub(crate) fn counts(&self, since: f64) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for event in self
            .lock()
            .events
            .iter()
            .rev()
            .take_while(|event| event.ended >= since)
        {
            let name = match &event.outcome {
                Outcome::Answered => "answered",
                Outcome::Left => "left",
                Outcome::Not(Trouble::Refused(_)) => "refused",
                Outcome::Not(Trouble::Cut(_)) => "cut",
                Outcome::Not(Trouble::Wrong(_)) => "wrong",
            };
            *counts.entry(name).or_default() += 1;
        }
        counts
            .iter()
            .map(|(name, count)| format!("{count} {name}"))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// A line on stderr, with the time of the run before it.
    pub(crate) fn say(&self, what: &str) {
        // Nobody reads it when stderr is closed.
        let _ = writeln!(std::io::stderr(), "soak {:>6.1} s  {what}", self.now());
    }
}

/// What `request` gives, which must not take longer than `deadline`.
pub(crate) async fn in_time<T>(
    deadline: Duration,
    request: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let hang = |_| {
        Err(Trouble::Wrong(format!(
            "no end within {} s",
            deadline.as_secs()
        )))
    };
    timeout(deadline, request).await.unwrap_or_else(hang)
}
