//! Body of a first request, hashed while its handler reads it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::Weak;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use axum::body::Body;
use bytes::Bytes;
use http_body::Body as HttpBody;
use http_body::Frame;
use http_body::SizeHint;
use sha2::Digest as _;
use sha2::Sha256;

use super::SharedAnswer;
use crate::runtime::compute::in_place;
use crate::services::idempotency::ActiveClaim;
use crate::services::idempotency::BodyDigest;

/// Body that records its digest in the claim of its request once it was read.
pub(in crate::http) struct HashedBody {
    inner: Body,
    /// Hasher of what was read; `None` once the digest is recorded, or the body has failed.
    hasher: Option<Sha256>,
    claim: Arc<ActiveClaim>,
    /// Answer whose readers wait for the digest. Weak, because the answer owns the handler.
    answer: Weak<SharedAnswer>,
}

impl HashedBody {
    /// Hashes `inner`, the body of the request with `claim`, for the readers of `answer`.
    pub(in crate::http) fn new(
        inner: Body,
        claim: Arc<ActiveClaim>,
        answer: &Arc<SharedAnswer>,
    ) -> Self {
        let mut this = Self {
            inner,
            hasher: Some(Sha256::new()),
            claim,
            answer: Arc::downgrade(answer),
        };
        // Nobody polls an empty body.
        if this.inner.is_end_stream() {
            this.finish();
        }
        this
    }

    fn finish(&mut self) {
        if let Some(hasher) = self.hasher.take() {
            let digest = BodyDigest::finish(hasher);
            self.claim.record_body(digest.clone());
            if let Some(answer) = self.answer.upgrade() {
                answer.record_body(digest);
            }
        }
    }
}

impl HttpBody for HashedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(data), Some(hasher)) = (frame.data_ref(), &mut this.hasher) {
                    in_place(data.len(), || hasher.update(data));
                }
                if this.inner.is_end_stream() {
                    this.finish();
                }
            }
            Some(Err(_)) => this.hasher = None,
            None => this.finish(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
