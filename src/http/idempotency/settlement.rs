//! End of a shared answer: what is recorded for its key.
//!
//! | answer | nothing was paid | a run was paid | an object was created |
//! | --- | --- | --- | --- |
//! | complete | stored | stored | stored |
//! | error, or a stream that ends with one | key is free | stored | the object is found again |
//! | cut off | key is free | recorded as cut off | the object is found again |
//! | too large, or `no-store` | key is free | recorded as not kept | the object is found again |

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use bytes::Bytes;
use bytes::BytesMut;

use super::SharedAnswer;
use super::answer_state::AnswerStanding;
use super::answer_state::AnswerState;
use super::answer_state::SharedHead;
use super::shared_answer::FirstRequest;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;
use crate::runtime::compute::in_place;
use crate::services::idempotency::AnswerHead;
use crate::services::idempotency::ClaimedCost;
use crate::storage::store;
use crate::telemetry::logs::ErrorChain;

/// Beginnings of the names of headers that say something about the moment, and are not stored.
const MOMENTARY_HEADERS: [&str; 5] = [
    "x-ratelimit-",
    "anthropic-ratelimit-",
    "retry-after",
    "content-length",
    "date",
];

/// Header that tells clients whether to retry.
const SHOULD_RETRY: &str = "x-should-retry";

/// End of an answer, with the chunks of its body if it is stored.
enum AnswerEnd {
    Complete(AnswerHead, Vec<Bytes>),
    Failed(AnswerHead, Vec<Bytes>),
    /// Too large, or not to be stored.
    NotKept,
    CutOff,
}

impl SharedAnswer {
    /// Records what became of the answer, and then lets new requests look the key up.
    pub(super) fn spawn_settlement(self: &Arc<Self>) {
        let this = Arc::clone(self);
        self.answers.claims().spawn(async move {
            this.settle().await;
        });
    }

    async fn settle(&self) {
        if let Some(first) = self.first.get()
            && let Err(error) = self.record_end(first).await
        {
            tracing::error!(
                request.id = first.claim.request_id(),
                error = %ErrorChain(&error),
                "answer for idempotency key not stored"
            );
        }
        self.answers.remove(self);
        let mut state = self.lock();
        // Those who have found a complete answer before still read it.
        if state.standing != AnswerStanding::Open {
            state.standing = AnswerStanding::Gone;
        }
        let waiting = state.take_waiting();
        drop(state);
        waiting.into_iter().for_each(std::task::Waker::wake);
    }

    async fn record_end(&self, first: &FirstRequest) -> Result<(), store::Error> {
        let claim = &first.claim;
        let end = AnswerEnd::of(&self.lock(), first);
        if let AnswerEnd::Complete(head, chunks) = end {
            return claim.store_answer(head, concatenate(&chunks)).await;
        }
        match (claim.wait_for_cost().await, end) {
            (ClaimedCost::Free, _) => claim.release().await,
            (ClaimedCost::Object, _) => claim.store_object().await,
            (ClaimedCost::Run, AnswerEnd::Failed(head, chunks)) => {
                let content = concatenate(&chunks);
                claim.store_answer(without_retry(head), content).await
            }
            (ClaimedCost::Run, AnswerEnd::NotKept) => claim.store_loss(true).await,
            (ClaimedCost::Run, _) => claim.store_loss(false).await,
        }
    }
}

impl AnswerEnd {
    fn of(state: &AnswerState, first: &FirstRequest) -> Self {
        let head = match &state.head {
            Some(head) if !state.is_broken => head,
            _ => return Self::CutOff,
        };
        if state.standing == AnswerStanding::TooLarge || !first.may_store {
            return Self::NotKept;
        }
        let error = head.extensions.get::<ApiError>();
        if error.is_some_and(|error| error.kind() == ErrorKind::ShuttingDown) {
            return Self::CutOff;
        }
        let stored = to_stored(head);
        if let Some(error) = error {
            let body = error.render_for(first.flavor, &head.request_id);
            return Self::Failed(stored, vec![body.into()]);
        }
        let chunks = state.chunks.iter().cloned().collect();
        if state.is_failed {
            Self::Failed(stored, chunks)
        } else {
            Self::Complete(stored, chunks)
        }
    }
}

impl SharedHead {
    /// Reads a stored head, of the answer to the request `request_id`. A header that is not one is left
    /// out.
    pub(in crate::http) fn from_stored(head: AnswerHead, request_id: String) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in head.headers {
            if let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_str(&value),
            ) {
                headers.append(name, value);
            }
        }
        Self {
            status: StatusCode::from_u16(head.status).unwrap_or(StatusCode::OK),
            headers,
            extensions: axum::http::Extensions::new(),
            request_id,
        }
    }
}

/// Returns the head of an error whose request was paid, so that clients do not retry it.
fn without_retry(mut head: AnswerHead) -> AnswerHead {
    if head.status >= 400 {
        head.headers.retain(|(name, _)| name != SHOULD_RETRY);
        head.headers
            .push((SHOULD_RETRY.to_owned(), "false".to_owned()));
    }
    head
}

fn to_stored(head: &SharedHead) -> AnswerHead {
    let is_momentary = |name: &HeaderName| {
        MOMENTARY_HEADERS
            .iter()
            .any(|prefix| name.as_str().starts_with(prefix))
    };
    let headers = head
        .headers
        .iter()
        .filter(|(name, _)| !is_momentary(name))
        .filter_map(|(name, value)| {
            let value = value.to_str().ok()?;
            Some((name.as_str().to_owned(), value.to_owned()))
        });
    AnswerHead {
        status: head.status.as_u16(),
        headers: headers.collect(),
    }
}

fn concatenate(chunks: &[Bytes]) -> Bytes {
    if let [only] = chunks {
        return only.clone();
    }
    let bytes = chunks.iter().map(Bytes::len).sum();
    in_place(bytes, || {
        let mut content = BytesMut::with_capacity(bytes);
        for chunk in chunks {
            content.extend_from_slice(chunk);
        }
        content.freeze()
    })
}
