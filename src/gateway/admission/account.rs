//! What is held for a run, and how it becomes a charge.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::Rules;
use crate::domain::BillReader;
use crate::domain::Finish;
use crate::domain::Money;
use crate::domain::Spent;
use crate::domain::Usage;
use crate::gateway::tally::Tally;
use crate::ledger::Charge;
use crate::ledger::Hold;
use crate::ledger::Outcome;

/// How long a run that was cut short may take to tell what it cost. It is interrupted at once, which takes milliseconds; a
/// process that does not heed it is ended before this is over.
const BILL_TIMEOUT: Duration = Duration::from_secs(60);

/// A run that is to be paid.
pub(super) struct Account {
    rules: Arc<Rules>,
    hold: Hold,
    bill: BillReader,
    pub(super) tally: Tally,
}

impl Account {
    pub(super) fn new(rules: Arc<Rules>, hold: Hold, bill: BillReader) -> Self {
        Self { rules, hold: hold.begin(), bill, tally: Tally::default() }
    }

    /// Charges a whole answer. Gives its end, which says what it cost, and what is over when the charge is on disk.
    pub(super) fn answered(self, mut finish: Finish) -> (Finish, BoxFuture<'static, ()>) {
        // A stop text may have ended it here, in the middle of the run.
        let cost = self.cost(finish.stop_text.is_none());
        finish.usage.cost = cost;
        let charge = self.charge(cost, Outcome::Answered);
        let settled = self.hold.settle(charge).map(|settled| {
            if let Err(error) = settled {
                // The answer is made and paid for; it is worth more than the order of things. The ledger tries again.
                tracing::error!(%error, "an answer left before its charge was on disk");
            }
        });
        (finish, settled.boxed())
    }

    /// Charges a run that was cut short, as soon as it is known what it cost.
    pub(super) fn cut_short(mut self, outcome: Outcome) {
        let (tracker, runtime) = (self.rules.tracker.clone(), self.rules.runtime.clone());
        let settling = async move {
            if tokio::time::timeout(BILL_TIMEOUT, self.bill.wait()).await.is_err() {
                tracing::warn!("what a run cost is not told, it is charged by the table of prices");
            }
            let cost = self.cost(false);
            let is_free = !self.tally.has_begun() && cost.is_none_or(|cost| cost == Money::ZERO);
            let settled = if is_free {
                self.hold.release().await
            } else {
                let charge = self.charge(cost, outcome);
                self.hold.settle(charge).await
            };
            if let Err(error) = settled {
                tracing::error!(%error, "what a run cost is not on disk yet");
            }
        };
        tracker.spawn_on(settling, &runtime);
    }

    /// What all runs cost: as they were told, and else by the table of prices, where nothing is known of a model that is not in it.
    /// `is_whole` tells whether the last run came to its end: the CLI counts nothing for an answer that upstream broke off.
    fn cost(&self, is_whole: bool) -> Option<Money> {
        let mut runs = self.bill.runs();
        if self.bill.usage().total_tokens() == 0 {
            // Nobody has counted them run by run.
            runs.last_mut()?.usage = self.tally.usage();
        }
        if let Some(last) = runs.last_mut().filter(|_| !is_whole && self.tally.has_begun()) {
            last.cost = last.cost.filter(|cost| *cost > Money::ZERO);
        }
        let price = |run: &Spent| self.rules.prices.cost(&self.tally.model, &run.usage);
        runs.iter().try_fold(Money::ZERO, |sum, run| run.cost.or_else(|| price(run)).map(|cost| sum + cost))
    }

    /// What all runs took.
    fn usage(&self) -> Usage {
        self.tally.usage().greater(self.bill.usage())
    }

    fn charge(&self, money: Option<Money>, outcome: Outcome) -> Charge {
        Charge { model: self.tally.model.clone(), usage: self.usage(), money, outcome }
    }
}
