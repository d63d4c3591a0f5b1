//! State of a shared answer, behind its lock.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::Waker;

use axum::body::Body;
use axum::http::Extensions;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::response::Parts;
use axum::response::Response;
use bytes::Bytes;

use super::answer_memory::AnswerMemoryShare;
use crate::services::idempotency::BodyDigest;

/// Run of the handler of a first request.
pub(in crate::http) type HandlerRun = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Mark of an answer all of whose parts have failed, so that it counts as an error.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct EveryPartFailed;

/// Memory that a chunk takes beside its bytes.
const CHUNK_OVERHEAD_BYTES: usize = 2 * size_of::<Bytes>();

/// Status and headers of an answer, with the id of the first request.
#[derive(Clone)]
pub(in crate::http) struct SharedHead {
    pub(in crate::http) status: StatusCode,
    pub(in crate::http) headers: HeaderMap,
    pub(in crate::http) extensions: Extensions,
    pub(in crate::http) request_id: String,
}

/// Whether new requests with the key may join the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerStanding {
    /// Wait: the key is being looked up.
    Opening,
    /// Read the answer.
    Open,
    /// Requests cannot join, because the answer is too large to be kept.
    TooLarge,
    /// Wait: it is not known yet whether the answer, which failed or was cut off, was paid.
    Settling,
    /// Look the key up again.
    Gone,
}

/// Source of an answer.
pub(super) enum AnswerSource {
    /// Handler, until it returns the head.
    Handler(HandlerRun),
    /// Rest of the body.
    Body(Body),
}

/// Next piece of an answer for one of its readers.
pub(super) enum AnswerPiece {
    Chunk(Bytes),
    End,
    /// The answer ended before its end, or it is too large for this reader.
    CutOff,
}

/// State of an answer.
pub(super) struct AnswerState {
    pub(super) standing: AnswerStanding,
    /// Source of the rest; `None` while it is polled, and once the answer is over.
    pub(super) source: Option<AnswerSource>,
    pub(super) head: Option<SharedHead>,
    /// Digest of the body of the first request, once that is read.
    pub(super) body: Option<BodyDigest>,
    /// Chunks of the answer's body, from number `first_chunk` on.
    pub(super) chunks: VecDeque<Bytes>,
    first_chunk: usize,
    pub(super) memory: AnswerMemoryShare,
    pub(super) is_over: bool,
    /// Set if the answer ended before its end.
    pub(super) is_broken: bool,
    /// Set if the answer is an error, or ends with one.
    pub(super) is_failed: bool,
    /// Reader that alone gets the rest of an answer that is too large.
    only_reader: Option<u64>,
    /// Number of readers, with those that linger.
    pub(super) readers: usize,
    /// Number of readers behind which there is no client.
    pub(super) lingering: usize,
    next_reader: u64,
    waiting: Vec<Waker>,
}

impl SharedHead {
    /// Creates the head of the answer to the request `request_id`.
    pub(super) fn new(parts: Parts, request_id: &str) -> Self {
        Self {
            status: parts.status,
            headers: parts.headers,
            extensions: parts.extensions,
            request_id: request_id.to_owned(),
        }
    }
}

impl AnswerState {
    pub(super) fn new(memory: AnswerMemoryShare) -> Self {
        Self {
            standing: AnswerStanding::Opening,
            source: None,
            head: None,
            body: None,
            chunks: VecDeque::new(),
            first_chunk: 0,
            memory,
            is_over: false,
            is_broken: false,
            is_failed: false,
            only_reader: None,
            readers: 0,
            lingering: 0,
            next_reader: 0,
            waiting: Vec::new(),
        }
    }

    /// Counts a reader in, and returns its number.
    pub(super) fn add_reader(&mut self) -> u64 {
        self.readers += 1;
        self.next_reader += 1;
        self.next_reader
    }

    /// Registers `waker` for the next change.
    pub(super) fn add_waiting(&mut self, waker: &Waker) {
        if !self.waiting.iter().any(|known| known.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }

    /// Takes the wakers of all who wait, to be woken when the lock is released.
    #[must_use]
    pub(super) fn take_waiting(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.waiting)
    }

    /// True if a part of the body was made.
    pub(super) fn has_begun(&self) -> bool {
        self.first_chunk + self.chunks.len() > 0
    }

    /// Adds `chunk`, which `reader` has read from the source. That reader has read all chunks before it,
    /// so it gets the rest alone if there is no memory to keep the answer.
    pub(super) fn push(&mut self, chunk: Bytes, reader: u64) {
        let bytes = chunk.len() + CHUNK_OVERHEAD_BYTES;
        if self.only_reader.is_none() && !self.memory.grow(bytes) {
            self.only_reader = Some(reader);
            self.standing = AnswerStanding::TooLarge;
            self.memory.clear();
        }
        if self.only_reader.is_some() {
            self.first_chunk += self.chunks.len();
            self.chunks.clear();
        }
        self.chunks.push_back(chunk);
    }

    /// Ends the answer. `has_error` is set if its stream ended with an error.
    pub(super) fn finish(&mut self, is_broken: bool, has_error: bool) {
        let status = self.head.as_ref().map(|head| head.status);
        self.is_over = true;
        self.is_broken = is_broken;
        let head = self.head.as_ref();
        let every_part = head.and_then(|head| head.extensions.get::<EveryPartFailed>());
        let is_success = status.is_some_and(|status| status.is_success());
        self.is_failed = has_error || !is_success || every_part.is_some();
        if self.standing == AnswerStanding::Open && (is_broken || self.is_failed) {
            self.standing = AnswerStanding::Settling;
        }
    }

    /// Returns chunk number `number` for `reader`; `None` if there is none yet.
    pub(super) fn piece(&self, reader: u64, number: usize) -> Option<AnswerPiece> {
        if self.only_reader.is_some_and(|only| only != reader) {
            return Some(AnswerPiece::CutOff);
        }
        let index = number.checked_sub(self.first_chunk);
        if let Some(chunk) = index.and_then(|index| self.chunks.get(index)) {
            return Some(AnswerPiece::Chunk(chunk.clone()));
        }
        match (self.is_over, self.is_broken) {
            (false, _) => None,
            (true, false) => Some(AnswerPiece::End),
            (true, true) => Some(AnswerPiece::CutOff),
        }
    }

    /// Returns the number of bytes from chunk `number` to the end; `None` while it is not known.
    pub(super) fn rest_bytes(&self, number: usize) -> Option<u64> {
        if !self.is_over || self.is_broken {
            return None;
        }
        let rest = self
            .chunks
            .iter()
            .skip(number - self.first_chunk.min(number));
        Some(rest.map(|chunk| chunk.len() as u64).sum())
    }
}
