//! What a turn takes of its caller's limits.

use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use futures::Stream;

use crate::domain::TurnEvent;
use crate::gateway::Error;
use crate::gateway::TurnStream;
use crate::gateway::tally::Tally;
use crate::limits::Permit;

/// The events of a turn, with the permit it runs under: held to the last event, or until whoever listens hangs up.
pub(super) struct Spending {
    events: TurnStream,
    permit: Permit,
    tally: Tally,
}

impl Spending {
    /// Settles `permit` by what `events` tell.
    pub(super) fn new(events: TurnStream, permit: Permit) -> Self {
        Self { events, permit, tally: Tally::default() }
    }

    fn settle(&mut self) {
        self.permit.settle(self.tally.usage().total_tokens());
    }
}

impl Stream for Spending {
    type Item = Result<TurnEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.events.as_mut().poll_next(context);
        if let Poll::Ready(Some(Ok(event))) = &next {
            self.tally.note(event);
            if matches!(event, TurnEvent::Finished(_)) {
                self.settle();
            }
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
