//! The record of requests: what came in, in order, and how each answer ended.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use axum::http::{HeaderMap, request::Parts};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

/// The headers worth a test's look. None of them is a credential.
const KEPT_HEADERS: &str = "accept anthropic-beta anthropic-version content-type user-agent x-app \
    x-claude-code-session-id x-client-request-id x-stainless-retry-count";

/// Counted for each request on top of its body.
const ENTRY_BYTES: usize = 1024;

/// One request as the stand-in received it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recorded {
    /// 1 for the first request of the server's life; clearing the record does not reset it.
    pub sequence: u64,
    /// Milliseconds from the server's start until the whole request had arrived.
    pub at_ms: u64,
    /// The HTTP method, in capitals.
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The query without its question mark; empty if there is none.
    pub query: String,
    /// Headers by lower-case name, of a short list without credentials.
    pub headers: BTreeMap<String, String>,
    /// The body; a string if it is no JSON, null if it is empty or was too large.
    pub body: Arc<Value>,
    /// How the answer ended, or that it has not.
    pub outcome: Outcome,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The answer is still under way.
    Running,
    /// The answer was given to its scripted end, which may be an error or a cut.
    Finished,
    /// The client closed the connection before the end.
    ClientGone,
}

/// Counts since the server's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Requests received.
    pub received: u64,
    /// Answers under way now.
    pub running: u64,
    /// Answers given to their scripted end.
    pub finished: u64,
    /// Answers whose client left.
    pub client_gone: u64,
    /// Requests which the record dropped to stay within its limits.
    pub dropped: u64,
}

/// Bounds of the record; the oldest requests are dropped to stay within them.
#[derive(Clone, Copy, Debug)]
pub struct RecordLimits {
    /// Most requests kept; 10,000 by default.
    pub requests: usize,
    /// Most bytes of bodies kept, as received, with 1 KiB a request added; 256 MiB by default.
    pub bytes: usize,
}

impl Default for RecordLimits {
    fn default() -> Self {
        Self {
            requests: 10_000,
            bytes: 256 * 1024 * 1024,
        }
    }
}

/// The shared record.
pub(crate) struct Log {
    limits: RecordLimits,
    started: Instant,
    inner: Mutex<Inner>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Inner {
    /// Sequence numbers in here are contiguous, so that an entry's place follows from the first one's.
    entries: VecDeque<(Recorded, usize)>,
    bytes: usize,
    stats: Stats,
}

impl Log {
    pub fn new(limits: RecordLimits) -> Self {
        Self {
            limits,
            started: Instant::now(),
            inner: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    /// Records a request; its outcome is settled by the returned guard.
    pub fn open(self: &Arc<Self>, parts: &Parts, body: Arc<Value>, body_bytes: usize) -> Running {
        let mut inner = self.lock();
        inner.stats.received += 1;
        inner.stats.running += 1;
        let sequence = inner.stats.received;
        let recorded = Recorded {
            sequence,
            at_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: kept_headers(&parts.headers),
            body,
            outcome: Outcome::Running,
        };
        inner.push(recorded, body_bytes + ENTRY_BYTES, self.limits);
        drop(inner);
        self.changed.send_replace(());
        Running {
            log: Arc::clone(self),
            sequence,
            is_settled: false,
        }
    }

    pub fn requests(&self) -> Vec<Recorded> {
        self.lock()
            .entries
            .iter()
            .map(|(recorded, _)| recorded.clone())
            .collect()
    }

    pub fn stats(&self) -> Stats {
        self.lock().stats
    }

    pub fn clear(&self) {
        let mut inner = self.lock();
        inner.entries.clear();
        inner.bytes = 0;
    }

    /// Wakes whoever waits for the record to change.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn settle(&self, sequence: u64, outcome: Outcome) {
        let mut inner = self.lock();
        inner.settle(sequence, outcome);
        drop(inner);
        self.changed.send_replace(());
    }

    /// A std mutex is enough: sections are short and never await. Counts stay true even if a holder panicked.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn push(&mut self, recorded: Recorded, bytes: usize, limits: RecordLimits) {
        self.bytes += bytes;
        self.entries.push_back((recorded, bytes));
        while self.entries.len() > limits.requests || self.bytes > limits.bytes {
            let Some((_, bytes)) = self.entries.pop_front() else {
                break;
            };
            self.bytes -= bytes;
            self.stats.dropped += 1;
        }
    }

    fn settle(&mut self, sequence: u64, outcome: Outcome) {
        self.stats.running -= 1;
        match outcome {
            Outcome::ClientGone => self.stats.client_gone += 1,
            Outcome::Running | Outcome::Finished => self.stats.finished += 1,
        }
        // The request may have been dropped or cleared meanwhile.
        let first = self
            .entries
            .front()
            .map_or(u64::MAX, |(recorded, _)| recorded.sequence);
        let index = sequence
            .checked_sub(first)
            .and_then(|index| usize::try_from(index).ok());
        if let Some((recorded, _)) = index.and_then(|index| self.entries.get_mut(index)) {
            recorded.outcome = outcome;
        }
    }
}

/// An answer under way. Dropped before [`Running::finish`], it means that the client has left.
#[must_use]
pub(crate) struct Running {
    log: Arc<Log>,
    sequence: u64,
    is_settled: bool,
}

impl Running {
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    pub fn finish(&mut self) {
        self.settle(Outcome::Finished);
    }

    fn settle(&mut self, outcome: Outcome) {
        if !std::mem::replace(&mut self.is_settled, true) {
            self.log.settle(self.sequence, outcome);
            tracing::info!(request.sequence = self.sequence, ?outcome, "answer ended");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.settle(Outcome::ClientGone);
    }
}

fn kept_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let kept = KEPT_HEADERS
        .split(' ')
        .filter_map(|name| Some((name, headers.get(name)?)));
    kept.map(|(name, value)| {
        (
            name.to_owned(),
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        )
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn open(log: &Arc<Log>, bytes: usize) -> Running {
        let (parts, ()) = Request::post("/v1/messages?beta=true")
            .header("x-api-key", "k")
            .body(())
            .unwrap()
            .into_parts();
        log.open(&parts, Arc::new(Value::Null), bytes)
    }

    #[test]
    fn drops_the_oldest_and_settles_the_rest() {
        let log = Arc::new(Log::new(RecordLimits {
            requests: 2,
            bytes: usize::MAX,
        }));
        let mut running: Vec<_> = (0..3).map(|_| open(&log, 0)).collect();
        running.iter_mut().for_each(Running::finish);
        let kept = log.requests();
        assert_eq!(
            kept.iter()
                .map(|recorded| recorded.sequence)
                .collect::<Vec<_>>(),
            [2, 3]
        );
        assert!(
            kept.iter().all(
                |recorded| recorded.outcome == Outcome::Finished && recorded.headers.is_empty()
            )
        );
        assert_eq!(
            log.stats(),
            Stats {
                received: 3,
                finished: 3,
                dropped: 1,
                ..Stats::default()
            }
        );
    }

    #[test]
    fn bytes_are_bounded_and_clearing_keeps_the_sequence() {
        let log = Arc::new(Log::new(RecordLimits {
            requests: 9,
            bytes: 3 * ENTRY_BYTES,
        }));
        let (_first, _second) = (open(&log, ENTRY_BYTES), open(&log, ENTRY_BYTES));
        assert_eq!(log.requests().len(), 1);
        log.clear();
        drop(open(&log, 0));
        let kept = log.requests();
        assert_eq!(
            (kept[0].sequence, kept[0].outcome),
            (3, Outcome::ClientGone)
        );
    }
}
