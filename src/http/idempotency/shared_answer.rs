//! Answer that requests with one idempotency key share, and how it is filled.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http_body::Body as HttpBody;

use super::AnswerReader;
use super::SharedAnswers;
use super::answer_state::AnswerSource;
use super::answer_state::AnswerStanding;
use super::answer_state::AnswerState;
use super::answer_state::HandlerRun;
use super::answer_state::SharedHead;
use crate::http::error::ApiError;
use crate::http::error::ApiFlavor;
use crate::http::middleware::access_log::RequestNotes;
use crate::services::idempotency::ActiveClaim;
use crate::services::idempotency::BodyDigest;
use crate::services::idempotency::ClaimKey;

/// Answer that requests with one key share.
pub(in crate::http) struct SharedAnswer {
    pub(super) answers: SharedAnswers,
    pub(super) key: ClaimKey,
    /// Request whose handler makes the answer; unset for an answer that was stored.
    pub(super) first: OnceLock<FirstRequest>,
    state: Mutex<AnswerState>,
}

/// Facts about the request whose handler makes an answer.
#[derive(Debug)]
pub(in crate::http) struct FirstRequest {
    pub(in crate::http) claim: Arc<ActiveClaim>,
    /// Format of its errors.
    pub(in crate::http) flavor: ApiFlavor,
    /// Notes for its log line, which have the error of a stream.
    pub(in crate::http) notes: RequestNotes,
    /// False if the answer must not be stored (`Cache-Control: no-store`).
    pub(in crate::http) may_store: bool,
}

/// Result of joining the answer of an earlier request with the same key.
pub(in crate::http) enum JoinedAnswer {
    /// The answer, from its beginning.
    Reader(AnswerReader),
    /// An answer that is too large for another reader.
    TooLarge,
    /// The answer is gone, and the key has to be looked up again.
    Gone,
}

/// Result of polling a source once.
enum SourceStep {
    Pending(AnswerSource),
    Head(Response),
    Chunk(Bytes, Body),
    End,
    Broken,
}

/// Guard of a poll of the source: if the handler panics, the answer is over.
struct PollGuard<'a> {
    answer: &'a Arc<SharedAnswer>,
    has_returned: bool,
}

impl SharedAnswer {
    /// Creates an answer whose key is being looked up.
    pub(super) fn new(answers: SharedAnswers, key: ClaimKey) -> Self {
        let memory = answers.memory().share();
        Self {
            answers,
            key,
            first: OnceLock::new(),
            state: Mutex::new(AnswerState::new(memory)),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, AnswerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills the answer by `handler`, the run of the request `first`, and returns its first reader.
    pub(in crate::http) fn run(
        self: &Arc<Self>,
        first: FirstRequest,
        handler: HandlerRun,
    ) -> AnswerReader {
        self.first.get_or_init(|| first);
        self.fill(|state| state.source = Some(AnswerSource::Handler(handler)))
    }

    /// Fills the answer by a stored one, and returns its first reader; `None` if there is no memory
    /// for it.
    pub(in crate::http) fn replay(
        self: &Arc<Self>,
        body: Option<BodyDigest>,
        head: SharedHead,
        content: Bytes,
    ) -> Option<AnswerReader> {
        if !self.lock().memory.grow_for_stored(content.len()) {
            return None;
        }
        let reader = self.fill(|state| {
            state.body = body;
            state.head = Some(head);
            state.is_over = true;
            if !content.is_empty() {
                state.chunks.push_back(content);
            }
        });
        Some(reader)
    }

    /// Opens the answer for readers once `change` has filled it.
    fn fill(self: &Arc<Self>, change: impl FnOnce(&mut AnswerState)) -> AnswerReader {
        let mut state = self.lock();
        change(&mut state);
        state.standing = AnswerStanding::Open;
        let id = state.add_reader();
        let waiting = state.take_waiting();
        drop(state);
        wake(waiting);
        AnswerReader::new(Arc::clone(self), id)
    }

    /// Gives an answer up that was never filled, and frees its key.
    pub(super) fn abandon(&self) {
        self.answers.remove(self);
        let mut state = self.lock();
        state.standing = AnswerStanding::Gone;
        let waiting = state.take_waiting();
        drop(state);
        wake(waiting);
    }

    /// Waits until a new request may read the answer, or has to do something else.
    pub(in crate::http) async fn join(self: &Arc<Self>) -> JoinedAnswer {
        std::future::poll_fn(|context| {
            let mut state = self.lock();
            let joined = match state.standing {
                AnswerStanding::Opening | AnswerStanding::Settling => {
                    state.add_waiting(context.waker());
                    return Poll::Pending;
                }
                AnswerStanding::Open => {
                    let id = state.add_reader();
                    drop(state);
                    JoinedAnswer::Reader(AnswerReader::new(Arc::clone(self), id))
                }
                AnswerStanding::TooLarge => JoinedAnswer::TooLarge,
                AnswerStanding::Gone => JoinedAnswer::Gone,
            };
            Poll::Ready(joined)
        })
        .await
    }

    /// Records the digest of the body of the first request.
    pub(super) fn record_body(&self, digest: BodyDigest) {
        let mut state = self.lock();
        state.body = Some(digest);
        let waiting = state.take_waiting();
        drop(state);
        wake(waiting);
    }

    /// Polls the source for the reader `reader` until `find` finds something in the state.
    pub(super) fn poll_until<T>(
        self: &Arc<Self>,
        reader: u64,
        context: &mut Context<'_>,
        find: impl Fn(&AnswerState) -> Option<T>,
    ) -> Poll<T> {
        loop {
            if let Some(found) = find(&self.lock()) {
                return Poll::Ready(found);
            }
            if !self.drive(reader, context) {
                // The waker is registered now, so a change after this look wakes the reader.
                let found = find(&self.lock());
                return found.map_or(Poll::Pending, Poll::Ready);
            }
        }
    }

    /// Polls the source once, unless another reader does. Returns false if there is nothing new; the
    /// reader is woken then by the source, or by the reader that drives it.
    fn drive(self: &Arc<Self>, reader: u64, context: &mut Context<'_>) -> bool {
        let mut state = self.lock();
        state.add_waiting(context.waker());
        let source = state.source.take();
        drop(state);
        let Some(source) = source else {
            return false;
        };
        let mut guard = PollGuard {
            answer: self,
            has_returned: false,
        };
        // Not under the lock: the handler may record the digest of its body, and takes its time.
        let step = source.poll(context);
        guard.has_returned = true;
        drop(guard);
        let mut state = self.lock();
        if state.is_over {
            // The last client has left meanwhile. Dropping the source ends the run.
            drop(state);
            drop(step);
            return true;
        }
        match step {
            SourceStep::Pending(source) => {
                state.source = Some(source);
                return false;
            }
            SourceStep::Head(response) => {
                let (parts, body) = response.into_parts();
                // The body of an error is written by an outer layer.
                let is_whole = parts.extensions.get::<ApiError>().is_some() || body.is_end_stream();
                let first = self.first.get();
                let id = first.map_or("", |first| first.claim.request_id());
                state.head = Some(SharedHead::new(parts, id));
                if is_whole {
                    self.finish(&mut state, false);
                } else {
                    state.source = Some(AnswerSource::Body(body));
                }
            }
            SourceStep::Chunk(chunk, body) => {
                state.push(chunk, reader);
                if body.is_end_stream() {
                    self.finish(&mut state, false);
                } else {
                    state.source = Some(AnswerSource::Body(body));
                }
            }
            SourceStep::End => self.finish(&mut state, false),
            SourceStep::Broken => self.finish(&mut state, true),
        }
        let waiting = state.take_waiting();
        let is_alone = state.readers == 1;
        drop(state);
        // The reader that drives goes on by itself. Another one may be polled by the same task.
        let is_own = |waker: &Waker| is_alone && waker.will_wake(context.waker());
        wake(waiting.into_iter().filter(|waker| !is_own(waker)));
        true
    }

    /// Ends the answer, unless it is over, and begins to record what became of it.
    fn finish(self: &Arc<Self>, state: &mut AnswerState, is_broken: bool) {
        if state.is_over {
            return;
        }
        let first = self.first.get();
        let has_error = first.is_some_and(|first| first.notes.has_error());
        state.finish(is_broken, has_error);
        self.spawn_settlement();
    }

    /// Counts a reader out, one without a client if `was_lingering`. An answer that is not over ends when
    /// the last client has left, or if it has not begun, some time later.
    pub(super) fn leave(self: &Arc<Self>, was_lingering: bool) {
        let mut state = self.lock();
        state.readers -= 1;
        state.lingering -= usize::from(was_lingering);
        let goes_on = if was_lingering {
            state.readers > 0
        } else {
            state.readers > state.lingering
        };
        if goes_on || state.is_over {
            // An answer that was made here is removed when it is recorded.
            let is_read_replay = state.readers == 0 && self.first.get().is_none();
            // One of the others has to poll the source from now on.
            let waiting = state.take_waiting();
            drop(state);
            if is_read_replay {
                self.answers.remove(self);
            }
            wake(waiting);
            return;
        }
        let claims = self.answers.claims();
        if !was_lingering
            && !state.has_begun()
            && !claims.config().linger.is_zero()
            && !claims.stop().is_cancelled()
        {
            let id = state.add_reader();
            state.lingering += 1;
            drop(state);
            let reader = AnswerReader::lingering(Arc::clone(self), id);
            claims.spawn(reader.linger(claims.config().linger, claims.stop().clone()));
            return;
        }
        let source = state.source.take();
        self.finish(&mut state, true);
        let waiting = state.take_waiting();
        drop(state);
        // Dropping the source ends the run; its guards may take locks of their own.
        drop(source);
        wake(waiting);
    }
}

impl AnswerSource {
    fn poll(self, context: &mut Context<'_>) -> SourceStep {
        match self {
            Self::Handler(mut handler) => match handler.as_mut().poll(context) {
                Poll::Ready(response) => SourceStep::Head(response),
                Poll::Pending => SourceStep::Pending(Self::Handler(handler)),
            },
            Self::Body(mut body) => loop {
                match Pin::new(&mut body).poll_frame(context) {
                    Poll::Pending => return SourceStep::Pending(Self::Body(body)),
                    Poll::Ready(None) => return SourceStep::End,
                    Poll::Ready(Some(Err(_))) => return SourceStep::Broken,
                    Poll::Ready(Some(Ok(frame))) => {
                        if let Ok(chunk) = frame.into_data()
                            && !chunk.is_empty()
                        {
                            return SourceStep::Chunk(chunk, body);
                        }
                    }
                }
            },
        }
    }
}

impl Drop for PollGuard<'_> {
    fn drop(&mut self) {
        if self.has_returned {
            return;
        }
        let mut state = self.answer.lock();
        self.answer.finish(&mut state, true);
        let waiting = state.take_waiting();
        drop(state);
        wake(waiting);
    }
}

fn wake(waiting: impl IntoIterator<Item = Waker>) {
    waiting.into_iter().for_each(Waker::wake);
}
