//! Event stream of a run that is charged at its end.

use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use futures::Stream;
use futures::future::BoxFuture;

use super::turn_billing::TurnBilling;
use crate::accounts::ledger::ChargeOutcome;
use crate::domain::Finish;
use crate::domain::TurnEvent;
use crate::engine::gateway::Error;
use crate::engine::gateway::TurnStream;

/// Events of a run, with its charge. The last event is yielded when the charge is on disk; a run
/// that fails, or whose stream is dropped, is charged on a task of its own.
pub(super) struct BillingStream(BillingStage);

enum BillingStage {
    Running {
        events: TurnStream,
        account: TurnBilling,
    },
    Settling {
        finish: Finish,
        settled: BoxFuture<'static, ()>,
    },
    Over,
}

impl BillingStream {
    pub(super) fn new(events: TurnStream, account: TurnBilling) -> Self {
        Self(BillingStage::Running { events, account })
    }

    /// Charges a run that did not come to its end.
    fn cut_short(&mut self, outcome: ChargeOutcome, is_lost: bool) {
        if let BillingStage::Running { events, account } =
            std::mem::replace(&mut self.0, BillingStage::Over)
        {
            // Dropping the events cancels the run, which then reports its cost.
            drop(events);
            account.charge_cut_short(outcome, is_lost);
        }
    }

    fn settle(&mut self, finish: Finish) {
        if let BillingStage::Running { account, .. } =
            std::mem::replace(&mut self.0, BillingStage::Over)
        {
            let (finish, settled) = account.charge_answer(finish);
            self.0 = BillingStage::Settling { finish, settled };
        }
    }
}

impl Stream for BillingStream {
    type Item = Result<TurnEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.0 {
                BillingStage::Running { events, account } => {
                    match ready!(events.as_mut().poll_next(context)) {
                        Some(Ok(event)) => {
                            account.record(&event);
                            match event {
                                TurnEvent::Finished(finish) => self.settle(finish),
                                event => return Poll::Ready(Some(Ok(event))),
                            }
                        }
                        other => {
                            let is_lost = matches!(&other, Some(Err(Error::Failed(failure))) if failure.is_workers_fault());
                            self.cut_short(ChargeOutcome::Failed, is_lost);
                            return Poll::Ready(other);
                        }
                    }
                }
                BillingStage::Settling { finish, settled } => {
                    // The end of the answer is buffered until the charge is on disk.
                    ready!(settled.as_mut().poll(context));
                    let finish = finish.clone();
                    self.0 = BillingStage::Over;
                    return Poll::Ready(Some(Ok(TurnEvent::Finished(finish))));
                }
                BillingStage::Over => return Poll::Ready(None),
            }
        }
    }
}

impl Drop for BillingStream {
    // Cancellation: a dropped stream still settles its hold.
    fn drop(&mut self) {
        self.cut_short(ChargeOutcome::Cancelled, false);
    }
}
