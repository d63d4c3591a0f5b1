//! The event stream of an answer, as one caller reads it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use futures::Stream;

use crate::domain::TurnEvent;

use super::cached_answer::CachedAnswer;
use super::shared_run::SharedRun;
use super::shared_run::SharedRunReader;

/// Stream of the events of an answer, replayed from the cache or followed live. Ends after
/// `Finished` or after the first error.
///
/// Dropping it detaches the caller; the run is cancelled when its last reader is dropped.
#[must_use = "streams do nothing unless they are read"]
pub struct CachedStream<E> {
    source: CachedStreamSource<E>,
    is_hit: bool,
    position: usize,
    is_over: bool,
}

enum CachedStreamSource<E> {
    Stored(Arc<CachedAnswer>),
    Shared(SharedRunReader<E>),
}

impl<E> std::fmt::Debug for CachedStream<E> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Answer")
            .field("is_hit", &self.is_hit)
            .finish_non_exhaustive()
    }
}

impl<E> CachedStream<E> {
    pub(super) fn from_stored(cached: Arc<CachedAnswer>) -> Self {
        Self {
            source: CachedStreamSource::Stored(cached),
            is_hit: true,
            position: 0,
            is_over: false,
        }
    }

    pub(super) fn follower(flight: Arc<SharedRun<E>>) -> Self {
        Self {
            source: CachedStreamSource::Shared(SharedRunReader::new(flight)),
            is_hit: true,
            position: 0,
            is_over: false,
        }
    }

    pub(super) fn leader(flight: Arc<SharedRun<E>>) -> Self {
        Self {
            is_hit: false,
            ..Self::follower(flight)
        }
    }

    /// Returns the resolved id of the model that made the answer; empty before the first event.
    pub fn model(&self) -> String {
        let first = match &self.source {
            CachedStreamSource::Stored(cached) => cached.events.first().cloned(),
            CachedStreamSource::Shared(reader) => reader.first(),
        };
        match first {
            Some(TurnEvent::Started { model, .. }) => model,
            _ => String::new(),
        }
    }

    /// True for a cache hit: the answer takes no run of its own. Where servers share their answers,
    /// this is known once the answer has [`started`](Self::started).
    pub fn is_hit(&self) -> bool {
        self.is_hit
            || match &self.source {
                CachedStreamSource::Stored(_) => true,
                CachedStreamSource::Shared(reader) => reader.is_reused(),
            }
    }
}

impl<E: Clone + Send + 'static> CachedStream<E> {
    /// Waits until the run that produces the answer has started.
    ///
    /// # Errors
    /// Fails if the run could not start, or has already failed.
    pub async fn started(&mut self) -> Result<(), E> {
        match &self.source {
            CachedStreamSource::Stored(_) => Ok(()),
            CachedStreamSource::Shared(reader) => {
                std::future::poll_fn(|context| reader.poll_started(context)).await
            }
        }
    }

    fn poll_event(&self, context: &mut Context<'_>) -> Poll<Option<Result<TurnEvent, E>>> {
        match &self.source {
            CachedStreamSource::Stored(cached) => {
                Poll::Ready(cached.events.get(self.position).cloned().map(Ok))
            }
            CachedStreamSource::Shared(reader) => reader.poll_event(self.position, context),
        }
    }
}

impl<E: Clone + Send + 'static> Stream for CachedStream<E> {
    type Item = Result<TurnEvent, E>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        let polled = this.poll_event(context);
        if let Poll::Ready(event) = &polled {
            this.position += 1;
            this.is_over = !matches!(event, Some(Ok(_)));
        }
        polled
    }
}
