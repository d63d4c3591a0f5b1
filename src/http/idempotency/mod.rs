//! Answers that requests with the same idempotency key share.
//!
//! The first request with a key runs its handler as a part of its [`SharedAnswer`]; others with the key
//! read the same answer from its beginning. Each of them drives the handler while it reads, so the
//! answer is made as fast as the fastest reads, and the run ends with the last reader. What is
//! recorded at the end is decided in [`settlement`]; the layer that requests pass is
//! [`middleware::idempotency`](super::middleware::idempotency).

mod answer_memory;
mod answer_reader;
mod answer_state;
mod hashed_body;
mod settlement;
mod shared_answer;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use self::answer_memory::AnswerMemory;
use crate::services::idempotency::ClaimKey;
use crate::services::idempotency::IdempotencyClaims;

pub(super) use self::answer_reader::AnswerReader;
pub(super) use self::answer_state::EveryPartFailed;
pub(super) use self::answer_state::SharedHead;
pub(super) use self::hashed_body::HashedBody;
pub(super) use self::shared_answer::FirstRequest;
pub(super) use self::shared_answer::JoinedAnswer;
pub(super) use self::shared_answer::SharedAnswer;

/// Answers that are being made or sent again, by their keys. Clones share them.
#[derive(Clone)]
pub(super) struct SharedAnswers(Arc<SharedAnswersInner>);

struct SharedAnswersInner {
    claims: IdempotencyClaims,
    memory: AnswerMemory,
    by_key: Mutex<HashMap<ClaimKey, Arc<SharedAnswer>>>,
}

/// Answer for a key: a new one that its first request has to open, or that of an earlier one.
pub(super) enum EnteredAnswer {
    New(OpeningAnswer),
    Known(Arc<SharedAnswer>),
}

/// Guard of an answer that is being opened. One that is dropped before it is filled frees the key, and
/// others that wait for it look the key up again.
pub(super) struct OpeningAnswer {
    answer: Arc<SharedAnswer>,
    is_filled: bool,
}

impl SharedAnswers {
    /// Creates answers that are recorded in `claims`.
    pub(super) fn new(claims: IdempotencyClaims) -> Self {
        let memory = AnswerMemory::new(claims.config());
        Self(Arc::new(SharedAnswersInner {
            claims,
            memory,
            by_key: Mutex::default(),
        }))
    }

    /// Records of the keys.
    pub(super) fn claims(&self) -> &IdempotencyClaims {
        &self.0.claims
    }

    /// Returns the answer for `key`, which is new if no other request with the key runs.
    pub(super) fn enter(&self, key: &ClaimKey) -> EnteredAnswer {
        let mut by_key = self.lock();
        if let Some(answer) = by_key.get(key) {
            return EnteredAnswer::Known(Arc::clone(answer));
        }
        let answer = Arc::new(SharedAnswer::new(self.clone(), key.clone()));
        by_key.insert(key.clone(), Arc::clone(&answer));
        EnteredAnswer::New(OpeningAnswer {
            answer,
            is_filled: false,
        })
    }

    /// Memory of the answers.
    fn memory(&self) -> &AnswerMemory {
        &self.0.memory
    }

    /// Removes `answer`, so that the next request with its key looks the key up. An answer that has taken
    /// its place meanwhile stays.
    fn remove(&self, answer: &SharedAnswer) {
        let mut by_key = self.lock();
        let known = by_key.get(&answer.key);
        if known.is_some_and(|known| std::ptr::eq(Arc::as_ptr(known), answer)) {
            by_key.remove(&answer.key);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ClaimKey, Arc<SharedAnswer>>> {
        self.0.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SharedAnswers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SharedAnswers")
            .field("claims", &self.0.claims)
            .finish_non_exhaustive()
    }
}

impl OpeningAnswer {
    /// Returns the answer that is being opened.
    pub(super) fn answer(&self) -> &Arc<SharedAnswer> {
        &self.answer
    }

    /// Ends the opening of an answer that is filled.
    pub(super) fn complete(mut self) {
        self.is_filled = true;
    }
}

impl Drop for OpeningAnswer {
    fn drop(&mut self) {
        if !self.is_filled {
            self.answer.abandon();
        }
    }
}
