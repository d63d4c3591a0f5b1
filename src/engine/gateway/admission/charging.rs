//! Event stream of a run that is charged at its end.

use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use futures::Stream;
use futures::future::BoxFuture;

use super::account::Account;
use crate::accounts::ledger::Outcome;
use crate::domain::Finish;
use crate::domain::TurnEvent;
use crate::engine::gateway::Error;
use crate::engine::gateway::TurnStream;

/// Events of a run, with its charge. The last event is yielded when the charge is on disk; a run
/// that fails, or whose stream is dropped, is charged on a task of its own.
pub(super) struct Charging(Stage);

enum Stage {
    Running {
        events: TurnStream,
        account: Account,
    },
    Settling {
        finish: Finish,
        settled: BoxFuture<'static, ()>,
    },
    Over,
}

impl Charging {
    pub(super) fn new(events: TurnStream, account: Account) -> Self {
        Self(Stage::Running { events, account })
    }

    /// Charges a run that did not come to its end.
    fn cut_short(&mut self, outcome: Outcome, is_lost: bool) {
        if let Stage::Running { events, account } = std::mem::replace(&mut self.0, Stage::Over) {
            // Dropping the events cancels the run, which then reports its cost.
            drop(events);
            account.cut_short(outcome, is_lost);
        }
    }

    fn settle(&mut self, finish: Finish) {
        if let Stage::Running { account, .. } = std::mem::replace(&mut self.0, Stage::Over) {
            let (finish, settled) = account.answered(finish);
            self.0 = Stage::Settling { finish, settled };
        }
    }
}

impl Stream for Charging {
    type Item = Result<TurnEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.0 {
                Stage::Running { events, account } => {
                    match ready!(events.as_mut().poll_next(context)) {
                        Some(Ok(event)) => {
                            account.tally.note(&event);
                            match event {
                                TurnEvent::Finished(finish) => self.settle(finish),
                                event => return Poll::Ready(Some(Ok(event))),
                            }
                        }
                        other => {
                            let is_lost = matches!(&other, Some(Err(Error::Failed(failure))) if failure.is_workers_fault());
                            self.cut_short(Outcome::Failed, is_lost);
                            return Poll::Ready(other);
                        }
                    }
                }
                Stage::Settling { finish, settled } => {
                    // The end of the answer is held back until the charge is on disk.
                    ready!(settled.as_mut().poll(context));
                    let finish = finish.clone();
                    self.0 = Stage::Over;
                    return Poll::Ready(Some(Ok(TurnEvent::Finished(finish))));
                }
                Stage::Over => return Poll::Ready(None),
            }
        }
    }
}

impl Drop for Charging {
    // Cancellation: a dropped stream still settles its hold.
    fn drop(&mut self) {
        self.cut_short(Outcome::Cancelled, false);
    }
}
