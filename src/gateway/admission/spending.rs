//! What a turn takes while it runs.

use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use futures::Stream;

use crate::domain::TurnEvent;
use crate::gateway::Error;
use crate::gateway::TurnStream;
use crate::limits::Permit;

/// Bytes of an answer that are a token, about: for an answer that nobody has counted since it was cut off.
const BYTES_PER_TOKEN: u64 = 4;

/// The events of a turn, with the permit it runs under: held to the last event, or until whoever listens hangs up.
pub(super) struct Spending {
    events: TurnStream,
    permit: Permit,
    /// Tokens that are known to be taken.
    counted: u64,
    /// Bytes of the answer that are not counted yet.
    uncounted: u64,
}

impl Spending {
    /// Settles `permit` by what `events` tell.
    pub(super) fn new(events: TurnStream, permit: Permit) -> Self {
        Self { events, permit, counted: 0, uncounted: 0 }
    }

    fn note(&mut self, event: &TurnEvent) {
        match event {
            TurnEvent::Started { usage, .. } => self.counted = usage.total_tokens(),
            TurnEvent::Text(piece) | TurnEvent::Thinking(piece) | TurnEvent::ToolInput(piece) => {
                self.uncounted += piece.len() as u64;
            }
            TurnEvent::Finished(finish) => {
                (self.counted, self.uncounted) = (finish.usage.total_tokens(), 0);
                self.settle();
            }
            TurnEvent::ThinkingSealed(_) | TurnEvent::ThinkingRedacted(_) | TurnEvent::ToolCall { .. } => {}
        }
    }

    fn settle(&mut self) {
        self.permit.settle(self.counted + self.uncounted.div_ceil(BYTES_PER_TOKEN));
    }
}

impl Stream for Spending {
    type Item = Result<TurnEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.events.as_mut().poll_next(context);
        if let Poll::Ready(Some(Ok(event))) = &next {
            self.note(event);
        }
        next
    }
}

impl Drop for Spending {
    /// However it ended: only the first word counts.
    fn drop(&mut self) {
        self.settle();
    }
}
