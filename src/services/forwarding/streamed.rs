//! Answers that are passed on piece by piece, and charged at their end.

use std::pin::Pin;

use bytes::Bytes;
use eventsource_stream::Event;
use eventsource_stream::EventStreamError;
use eventsource_stream::Eventsource as _;
use futures::Stream;
use futures::StreamExt as _;
use futures::stream;

use super::call_billing::CallBilling;
use crate::domain::Failure;
use crate::engine::gateway::Error;
use crate::engine::upstreams::AnswerBody;
use crate::engine::upstreams::StreamedChunk;
use crate::engine::upstreams::UpstreamEndpoint;
use crate::engine::upstreams::UpstreamRequest;
use crate::engine::upstreams::broken_answer;
use crate::telemetry::activity::TrackedTurn;
use crate::telemetry::activity::TurnPhase;

/// Data of the event that ends a stream of chat completions.
const DONE: &str = "[DONE]";
/// Name of events without one.
const UNNAMED: &str = "message";
/// Maximum length of a line of events, in bytes; one with a picture has some megabytes. A line is
/// scanned from its beginning with each piece of it.
pub(super) const MAX_LINE_BYTES: usize = 16 << 20;

/// Boxed stream of a part of an answer.
pub type ForwardedStream<T> = Pin<Box<dyn Stream<Item = Result<T, Error>> + Send>>;

pub(super) type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, Failure>> + Send>>;
type Events = Pin<Box<dyn Stream<Item = Result<Event, EventStreamError<Failure>>> + Send>>;

/// Event of a streamed answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardedEvent {
    /// Piece of the answer.
    Data {
        /// Name of the event, if it has one.
        name: Option<String>,
        /// Data of the event, as the upstream has sent them.
        data: String,
    },
    /// End of a chat, which the client is told by a text of its own.
    Done,
    /// End of another answer.
    End,
}

/// Bytes of an answer, such as audio.
pub(super) struct StreamedPieces {
    pieces: Pieces,
    tracked: TrackedTurn,
    /// Billing of the call; `None` once the answer is over.
    billing: Option<CallBilling>,
}

/// Events of an answer.
pub(super) struct StreamedEvents {
    events: Events,
    tracked: TrackedTurn,
    /// Billing of the call; `None` once the answer is over.
    billing: Option<CallBilling>,
    upstream: String,
    /// Set if the client has not asked for the usage.
    hides_usage: bool,
    /// Set if the stream has to end with `[DONE]`.
    is_chat: bool,
    /// Set once the last event of another answer has come.
    has_last: bool,
}

impl StreamedPieces {
    pub(super) fn new(body: AnswerBody, billing: CallBilling) -> Self {
        Self {
            pieces: Box::pin(body.into_pieces()),
            tracked: billing.tracked().clone(),
            billing: Some(billing),
        }
    }

    pub(super) fn into_stream(self) -> ForwardedStream<Bytes> {
        let pieces = stream::unfold(self, |mut this| async move {
            let piece = this.next().await?;
            Some((piece, this))
        });
        Box::pin(pieces)
    }

    async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        self.billing.as_ref()?;
        let piece = tokio::select! {
            biased;
            () = self.tracked.cancelled() => Some(Err(Error::CancelledByOperator)),
            piece = self.pieces.next() => piece.map(|piece| piece.map_err(Error::from)),
        };
        match piece {
            Some(Ok(bytes)) => {
                self.tracked.begin_phase(TurnPhase::Stream);
                Some(Ok(bytes))
            }
            Some(Err(error)) => {
                if let Some(billing) = self.billing.take() {
                    billing.fail(&error, false);
                }
                Some(Err(error))
            }
            None => {
                if let Some(billing) = self.billing.take() {
                    billing.finish().await;
                }
                None
            }
        }
    }
}

impl StreamedEvents {
    pub(super) fn new(
        body: AnswerBody,
        billing: CallBilling,
        upstream: &str,
        request: &UpstreamRequest,
    ) -> Self {
        let pieces = bounded_lines(body.into_pieces(), MAX_LINE_BYTES, upstream.to_owned());
        Self {
            events: Box::pin(pieces.eventsource()),
            tracked: billing.tracked().clone(),
            billing: Some(billing),
            upstream: upstream.to_owned(),
            hides_usage: request.hides_usage,
            is_chat: request.endpoint == UpstreamEndpoint::Chat,
            has_last: false,
        }
    }

    pub(super) fn into_stream(self) -> ForwardedStream<ForwardedEvent> {
        let events = stream::unfold(self, |mut this| async move {
            let event = this.next().await?;
            Some((event, this))
        });
        Box::pin(events)
    }

    async fn next(&mut self) -> Option<Result<ForwardedEvent, Error>> {
        loop {
            self.billing.as_ref()?;
            let received = tokio::select! {
                biased;
                () = self.tracked.cancelled() => Err(Error::CancelledByOperator),
                event = self.events.next() => Ok(event),
            };
            let passed = match received {
                Ok(event) => self.pass(event).await,
                Err(error) => Err(error),
            };
            match passed {
                Ok(Some(event)) => return Some(Ok(event)),
                Ok(None) => {}
                Err(error) => {
                    if let Some(billing) = self.billing.take() {
                        billing.fail(&error, false);
                    }
                    return Some(Err(error));
                }
            }
        }
    }

    /// Returns what is passed on of a received event, or of the end of the stream; `None` if
    /// nothing is.
    async fn pass(
        &mut self,
        received: Option<Result<Event, EventStreamError<Failure>>>,
    ) -> Result<Option<ForwardedEvent>, Error> {
        let Some(received) = received else {
            if self.has_last && !self.is_chat {
                self.finish().await;
                return Ok(Some(ForwardedEvent::End));
            }
            return Err(self.broken("ended its stream too early"));
        };
        let event = match received {
            Ok(event) => event,
            Err(EventStreamError::Transport(failure)) => return Err(failure.into()),
            Err(EventStreamError::Utf8(_) | EventStreamError::Parser(_)) => {
                return Err(self.broken("sent no valid events"));
            }
        };
        if event.data == DONE {
            self.finish().await;
            return Ok(Some(ForwardedEvent::Done));
        }
        let chunk = StreamedChunk::read(&event.data);
        let chunk = chunk.map_err(|_| self.broken("sent an event that is no JSON object"))?;
        if chunk.is_error {
            return Err(self.broken("broke off its answer"));
        }
        if let Some(billing) = &mut self.billing {
            billing.record_text(chunk.text_bytes);
            if let Some(usage) = chunk.usage {
                billing.record_usage(usage);
            }
        }
        self.has_last |= chunk.is_last;
        if chunk.is_usage_only && self.hides_usage {
            return Ok(None);
        }
        Ok(Some(ForwardedEvent::Data {
            name: Some(event.event).filter(|name| name != UNNAMED),
            data: event.data,
        }))
    }

    /// Charges the whole answer; the end is passed on when the charge is on disk.
    async fn finish(&mut self) {
        if let Some(billing) = self.billing.take() {
            billing.finish().await;
        }
    }

    fn broken(&self, what: &str) -> Error {
        broken_answer(&self.upstream, what).into()
    }
}

/// Passes pieces on until a line has more than `max_bytes`, which is a failure of `upstream`.
pub(super) fn bounded_lines(
    pieces: impl Stream<Item = Result<Bytes, Failure>> + Send + 'static,
    max_bytes: usize,
    upstream: String,
) -> Pieces {
    let mut line_bytes = 0_usize;
    Box::pin(pieces.map(move |piece| {
        let piece = piece?;
        line_bytes = match memchr::memrchr(b'\n', &piece) {
            Some(end) => piece.len() - end,
            None => line_bytes.saturating_add(piece.len()),
        };
        if line_bytes > max_bytes {
            return Err(broken_answer(&upstream, "sent a line that is too long"));
        }
        Ok(piece)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn line_over_its_limit_is_a_failure() {
        for (sent, passed) in [
            (["12345", "67890", "\n"], 3),
            (["12345", "6789\n1", "234567"], 3),
            (["12345", "67890", "1"], 2),
        ] {
            let pieces = sent.map(|text| Ok(Bytes::from_static(text.as_bytes())));
            let bounded = bounded_lines(stream::iter(pieces), 10, "other".to_owned());
            let results: Vec<_> = bounded.collect().await;
            let good = results.iter().filter(|piece| piece.is_ok()).count();
            assert_eq!((results.len(), good), (3, passed), "{sent:?}");
        }
    }
}
