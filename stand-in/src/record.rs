//! Record of the received requests, in order, and of the outcome of each answer.

use std::{
    collections::{BTreeMap, VecDeque},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use axum::http::{HeaderMap, header::AUTHORIZATION, request::Parts};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

/// RecordedRequest headers, none of which is a credential.
const RECORDED_HEADERS: &str = "accept anthropic-beta anthropic-version content-type user-agent x-app \
    x-claude-code-session-id x-client-request-id x-stainless-retry-count";

/// Bytes counted for each request in addition to its body.
const ENTRY_BYTES: usize = 1024;

/// Request as the stand-in received it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecordedRequest {
    /// Number of the request, from 1; clearing the record does not reset it.
    pub sequence: u64,
    /// Milliseconds from the start of the server to the arrival of the whole request.
    pub at_ms: u64,
    /// HTTP method, in capitals.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// Query without its question mark; empty if there is none.
    pub query: String,
    /// Headers by lower-case name: a fixed list without credentials.
    pub headers: BTreeMap<String, String>,
    /// Digest of the API key or token, as [`credential_digest`] returns it; 0 without one.
    #[serde(default)]
    pub credential: u64,
    /// Body; a string if it is not JSON, null if it is empty or was too large.
    pub body: Arc<Value>,
    /// State of the answer to this request.
    pub outcome: Outcome,
}

/// State of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The answer is still being sent.
    Running,
    /// The answer reached its scripted end, which may be an error or a cut.
    Finished,
    /// The client closed the connection before the end.
    ClientGone,
}

/// Counters since the start of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Number of requests received.
    pub received: u64,
    /// Number of answers being sent now.
    pub running: u64,
    /// Number of answers that reached their scripted end.
    pub finished: u64,
    /// Number of answers whose client disconnected.
    pub client_gone: u64,
    /// Number of requests evicted from the record to keep its limits.
    pub dropped: u64,
}

/// Limits of the record; the oldest requests are evicted to keep them.
#[derive(Clone, Copy, Debug)]
pub struct RecordLimits {
    /// Maximum number of requests; 10,000 by default.
    pub requests: usize,
    /// Maximum bytes of received bodies, plus 1 KiB for each request; 256 MiB by default.
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

/// Shared record of requests.
pub(crate) struct RequestLog {
    limits: RecordLimits,
    started: Instant,
    inner: Mutex<RequestLogInner>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct RequestLogInner {
    /// Entries with contiguous sequence numbers, so that the first one gives the index of any
    /// other.
    entries: VecDeque<(RecordedRequest, usize)>,
    bytes: usize,
    stats: Stats,
}

impl RequestLog {
    pub fn new(limits: RecordLimits) -> Self {
        Self {
            limits,
            started: Instant::now(),
            inner: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    /// Records a request; the returned guard sets its outcome.
    pub fn open(
        self: &Arc<Self>,
        parts: &Parts,
        body: Arc<Value>,
        body_bytes: usize,
    ) -> RunningAnswer {
        let mut inner = self.lock();
        inner.stats.received += 1;
        inner.stats.running += 1;
        let sequence = inner.stats.received;
        let recorded = RecordedRequest {
            sequence,
            at_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: recorded_headers(&parts.headers),
            credential: recorded_credential(&parts.headers),
            body,
            outcome: Outcome::Running,
        };
        inner.push(recorded, body_bytes + ENTRY_BYTES, self.limits);
        drop(inner);
        self.changed.send_replace(());
        RunningAnswer {
            log: Arc::clone(self),
            sequence,
            is_settled: false,
        }
    }

    pub fn requests(&self) -> Vec<RecordedRequest> {
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

    /// Returns a receiver of changes to the record.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn settle(&self, sequence: u64, outcome: Outcome) {
        let mut inner = self.lock();
        inner.settle(sequence, outcome);
        drop(inner);
        self.changed.send_replace(());
    }

    /// Locks the record. Sections are short and never await; counts stay valid if a holder
    /// panicked.
    fn lock(&self) -> MutexGuard<'_, RequestLogInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RequestLogInner {
    fn push(&mut self, recorded: RecordedRequest, bytes: usize, limits: RecordLimits) {
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
        // The request may have been evicted or cleared since.
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

/// Guard of an answer being sent; a drop before [`RunningAnswer::finish`] records a disconnect.
#[must_use]
pub(crate) struct RunningAnswer {
    log: Arc<RequestLog>,
    sequence: u64,
    is_settled: bool,
}

impl RunningAnswer {
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

impl Drop for RunningAnswer {
    fn drop(&mut self) {
        self.settle(Outcome::ClientGone);
    }
}

/// Returns a number that tells API keys and tokens apart without showing them; the same for programs of one build.
pub fn credential_digest(credential: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    credential.hash(&mut hasher);
    hasher.finish()
}

fn recorded_credential(headers: &HeaderMap) -> u64 {
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| value.strip_prefix("Bearer "));
    let key = headers
        .get("x-api-key")
        .and_then(|value| value.to_str().ok());
    key.or(bearer).map_or(0, credential_digest)
}

fn recorded_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let recorded = RECORDED_HEADERS
        .split(' ')
        .filter_map(|name| Some((name, headers.get(name)?)));
    recorded
        .map(|(name, value)| {
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

    fn open(log: &Arc<RequestLog>, bytes: usize) -> RunningAnswer {
        let (parts, ()) = Request::post("/v1/messages?beta=true")
            .header("x-api-key", "k")
            .body(())
            .unwrap()
            .into_parts();
        log.open(&parts, Arc::new(Value::Null), bytes)
    }

    #[test]
    fn record_evicts_the_oldest_requests() {
        let log = Arc::new(RequestLog::new(RecordLimits {
            requests: 2,
            bytes: usize::MAX,
        }));
        let mut running: Vec<_> = (0..3).map(|_| open(&log, 0)).collect();
        running.iter_mut().for_each(RunningAnswer::finish);
        let recorded = log.requests();
        assert_eq!(
            recorded
                .iter()
                .map(|recorded| recorded.sequence)
                .collect::<Vec<_>>(),
            [2, 3]
        );
        assert!(
            recorded.iter().all(
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
    fn record_bounds_bytes_and_clearing_keeps_the_sequence() {
        let log = Arc::new(RequestLog::new(RecordLimits {
            requests: 9,
            bytes: 3 * ENTRY_BYTES,
        }));
        let _first = open(&log, ENTRY_BYTES);
        let _second = open(&log, ENTRY_BYTES);
        assert_eq!(log.requests().len(), 1);
        log.clear();
        drop(open(&log, 0));
        let recorded = log.requests();
        assert_eq!(
            (recorded[0].sequence, recorded[0].outcome),
            (3, Outcome::ClientGone)
        );
    }
}
