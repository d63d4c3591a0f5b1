//! Journal of the outcome of every request and of the times of the faults.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::endpoints::Endpoint;

/// Reason why a request was not answered.
#[derive(Debug, Clone)]
pub(crate) enum RequestFailure {
    /// Error response of the API with a known code.
    Refused(String),
    /// Connection closed without an error response.
    Cut(String),
    /// Any other failure: a wrong answer, a hang, an unknown error.
    Wrong(String),
}

/// Outcome of a request.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Answered,
    /// Intentional disconnect of the client.
    Disconnected,
    Failed(RequestFailure),
}

/// Finished request.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) endpoint: Endpoint,
    pub(crate) key: &'static str,
    /// Start, in seconds since the start of the run.
    pub(crate) started: f64,
    pub(crate) ended: f64,
    pub(crate) outcome: Outcome,
}

/// Time span in which a fault may have effects.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub(crate) fault: &'static str,
    /// Set if the server itself is killed, so that connections end without a response.
    pub(crate) is_server_gone: bool,
    pub(crate) started: f64,
    /// End of the fault; infinite while it lasts.
    pub(crate) ended: f64,
    /// Seconds after the end within which the server must have recovered.
    pub(crate) allowance: f64,
    /// Note about the injected fault, for the report.
    pub(crate) note: String,
}

impl Window {
    /// True if the request overlaps the fault or the recovery time after it.
    pub(crate) fn overlaps_with_recovery(&self, event: &Event) -> bool {
        event.started <= self.ended + self.allowance && event.ended >= self.started
    }

    /// True if the request overlaps the fault itself.
    pub(crate) fn overlaps(&self, event: &Event) -> bool {
        event.started <= self.ended && event.ended >= self.started
    }
}

/// Record of all requests and faults of a run.
#[derive(Debug)]
pub(crate) struct Journal {
    started: Instant,
    inner: Mutex<JournalInner>,
}

#[derive(Debug, Default)]
struct JournalInner {
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

    /// Returns the seconds since the start of the run.
    pub(crate) fn now(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    fn lock(&self) -> MutexGuard<'_, JournalInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a request of `key` within `deadline` and records its outcome.
    pub(crate) async fn run_request<T>(
        &self,
        (endpoint, key): (Endpoint, &'static str),
        deadline: Duration,
        request: impl Future<Output = Result<T, RequestFailure>>,
    ) -> Option<T> {
        let started = self.now();
        let result = with_deadline(deadline, request).await;
        self.record_outcome(
            (endpoint, key),
            started,
            result.as_ref().map(drop).map_err(RequestFailure::clone),
        );
        result.ok()
    }

    /// Records the outcome of a request.
    pub(crate) fn record_outcome(
        &self,
        (endpoint, key): (Endpoint, &'static str),
        started: f64,
        result: Result<(), RequestFailure>,
    ) {
        let outcome = match result {
            Err(failure) => Outcome::Failed(failure),
            Ok(()) if endpoint == Endpoint::EarlyDisconnect => Outcome::Disconnected,
            Ok(()) => Outcome::Answered,
        };
        if let Outcome::Failed(RequestFailure::Wrong(what)) = &outcome {
            self.print(&format!("WRONG: {endpoint:?} of {key}: {what}"));
        }
        self.lock().events.push(Event {
            endpoint,
            key,
            started,
            ended: self.now(),
            outcome,
        });
    }

    /// Opens the window of a fault and returns its index.
    pub(crate) fn begin_fault(
        &self,
        fault: &'static str,
        is_server_gone: bool,
        allowance: f64,
    ) -> usize {
        self.print(&format!("fault begins: {fault}"));
        let started = self.now();
        let mut inner = self.lock();
        let ended = f64::INFINITY;
        inner.windows.push(Window {
            fault,
            is_server_gone,
            started,
            ended,
            allowance,
            note: String::new(),
        });
        inner.windows.len() - 1
    }

    /// Closes the window of a fault.
    pub(crate) fn end_fault(&self, window: usize, note: String) {
        let now = self.now();
        let mut inner = self.lock();
        if let Some(window) = inner.windows.get_mut(window) {
            (window.ended, window.note) = (now, note);
            let fault = window.fault;
            let note = window.note.clone();
            let started = window.started;
            drop(inner);
            self.print(&format!(
                "fault over after {:.1} s: {fault} ({note})",
                now - started
            ));
        }
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.lock().events.clone()
    }

    pub(crate) fn windows(&self) -> Vec<Window> {
        self.lock().windows.clone()
    }

    /// Summarises the outcomes since `since`, for a progress line.
    pub(crate) fn outcome_summary(&self, since: f64) -> String {
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
                Outcome::Disconnected => "disconnected",
                Outcome::Failed(RequestFailure::Refused(_)) => "refused",
                Outcome::Failed(RequestFailure::Cut(_)) => "cut",
                Outcome::Failed(RequestFailure::Wrong(_)) => "wrong",
            };
            *counts.entry(name).or_default() += 1;
        }
        counts
            .iter()
            .map(|(name, count)| format!("{count} {name}"))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Prints a line to stderr, prefixed with the time of the run.
    pub(crate) fn print(&self, what: &str) {
        // A closed stderr is not an error.
        let _ = writeln!(std::io::stderr(), "soak {:>6.1} s  {what}", self.now());
    }
}

/// Awaits `request`, and returns a failure if it exceeds `deadline`.
pub(crate) async fn with_deadline<T>(
    deadline: Duration,
    request: impl Future<Output = Result<T, RequestFailure>>,
) -> Result<T, RequestFailure> {
    let hang = |_| {
        Err(RequestFailure::Wrong(format!(
            "no end within {} s",
            deadline.as_secs()
        )))
    };
    timeout(deadline, request).await.unwrap_or_else(hang)
}
