//! Billing of a turn: turns its hold into a charge.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::Rules;
use crate::accounts::ledger::Charge;
use crate::accounts::ledger::Hold;
use crate::accounts::ledger::Outcome;
use crate::domain::BillReader;
use crate::domain::Finish;
use crate::domain::Money;
use crate::domain::Spent;
use crate::domain::Usage;
use crate::engine::gateway::tally::Tally;

/// Maximum wait for the reported cost of a run that was cut short. The interrupt takes
/// milliseconds; a process that does not obey it is ended within this time.
const BILL_TIMEOUT: Duration = Duration::from_secs(60);

/// Turn with a hold that must be settled.
pub(super) struct Account {
    rules: Arc<Rules>,
    hold: Hold,
    bill: BillReader,
    pub(super) tally: Tally,
    /// Id of the model that is to answer.
    model: String,
    prompt_tokens: u64,
    /// Tokens charged for a prompt that was upstream when the run was cut short, before any answer.
    left: Option<Usage>,
}

impl Account {
    pub(super) fn new(
        rules: Arc<Rules>,
        hold: Hold,
        bill: BillReader,
        model: &str,
        prompt_tokens: u64,
    ) -> Self {
        let model = model.to_owned();
        Self {
            rules,
            hold: hold.begin(),
            bill,
            tally: Tally::default(),
            model,
            prompt_tokens,
            left: None,
        }
    }

    /// Charges a complete answer. Returns its end with the cost, and a future that completes when
    /// the charge is on disk.
    pub(super) fn answered(self, mut finish: Finish) -> (Finish, BoxFuture<'static, ()>) {
        // A stop text enforced by the server may have ended the answer in the middle of the run.
        let cost = self.cost(finish.stop_text.is_none());
        finish.usage.cost = cost;
        let charge = self.charge(cost, Outcome::Answered);
        let settled = self.hold.settle(charge).map(|settled| {
            if let Err(error) = settled {
                // The answer is made and paid for, so it is delivered all the same. The ledger
                // retries the write.
                tracing::error!(%error, "answer sent before its charge was on disk");
            }
        });
        (finish, settled.boxed())
    }

    /// Charges a run that was cut short, as soon as its cost is known.
    ///
    /// A client that leaves while the call is upstream pays for the prompt even before any answer;
    /// likewise if the worker falls silent or dies during the call (`is_lost`). A call that
    /// upstream refused, or that failed there before the model began to answer, is free.
    pub(super) fn cut_short(mut self, outcome: Outcome, is_lost: bool) {
        let (tracker, runtime) = (self.rules.tracker.clone(), self.rules.runtime.clone());
        let settling = async move {
            if tokio::time::timeout(BILL_TIMEOUT, self.bill.wait())
                .await
                .is_err()
            {
                tracing::warn!("run cost not reported, charged by price table");
            }
            if outcome == Outcome::Cancelled || is_lost {
                self.left = self.left_prompt();
            }
            let cost = self.cost(false);
            let is_taken = self.has_begun() || self.lost().total_tokens() > 0;
            let is_free = !is_taken && cost.is_none_or(|cost| cost == Money::ZERO);
            let settled = if is_free {
                self.hold.release().await
            } else {
                let charge = self.charge(cost, outcome);
                self.hold.settle(charge).await
            };
            if let Err(error) = settled {
                tracing::error!(%error, "charge of run not on disk yet");
            }
        };
        tracker.spawn_on(settling, &runtime);
    }

    /// Returns the cost of all runs: as reported, else by the price table; `None` if a needed price
    /// is unknown. `is_whole` is set if the last run came to its end: the CLI reports a cost of
    /// zero for an answer that was broken off.
    fn cost(&self, is_whole: bool) -> Option<Money> {
        let mut runs = self.bill.runs();
        if self.bill.usage().total_tokens() == 0 {
            // No usage was recorded for each run.
            runs.last_mut()?.usage = self.tally.usage();
        }
        if let Some(last) = runs.last_mut().filter(|_| !is_whole && self.has_begun()) {
            last.cost = last.cost.filter(|cost| *cost > Money::ZERO);
            last.usage = self.left.unwrap_or(last.usage);
        }
        let last = runs.len() - 1;
        for run in runs[..last].iter_mut().filter(|run| is_lost(run)) {
            run.usage = self.prompt();
            // A model without a price counts as the most expensive one, as in the hold.
            run.cost = Some(self.rules.prices.amount(self.model(), &run.usage).money);
        }
        let price = |run: &Spent| self.rules.prices.cost(self.model(), &run.usage);
        runs.iter().try_fold(Money::ZERO, |sum, run| {
            run.cost.or_else(|| price(run)).map(|cost| sum + cost)
        })
    }

    /// Returns the usage of the last prompt, if its call is upstream and nothing of the answer was
    /// read.
    fn left_prompt(&self) -> Option<Usage> {
        let last = self.bill.runs().pop().filter(|last| last.is_under_way)?;
        match last.usage.total_tokens() {
            0 => Some(self.prompt()),
            // Counted upstream although the client had gone.
            _ => (!self.tally.has_begun()).then_some(last.usage),
        }
    }

    /// Returns the usage of a prompt about which upstream reported nothing, as in the hold: all of
    /// it is written to the prompt cache.
    fn prompt(&self) -> Usage {
        Usage {
            cache_write_tokens: self.prompt_tokens,
            ..Usage::default()
        }
    }

    /// Returns the usage of the prompts that were upstream with workers that died, before the last
    /// run.
    fn lost(&self) -> Usage {
        let mut earlier = self.bill.runs();
        earlier.pop();
        earlier
            .iter()
            .filter(|run| is_lost(run))
            .fold(Usage::default(), |sum, _| sum + self.prompt())
    }

    /// True if anything was used upstream.
    fn has_begun(&self) -> bool {
        self.tally.has_begun() || self.left.is_some()
    }

    /// Returns the id of the model that answers, or was to answer.
    fn model(&self) -> &str {
        if self.tally.has_begun() {
            &self.tally.model
        } else {
            &self.model
        }
    }

    /// Returns the usage of all runs.
    fn usage(&self) -> Usage {
        let counted = self.tally.usage().greater(self.bill.usage()) + self.lost();
        // A prompt counted upstream is part of the bill already.
        match self.left.filter(|_| {
            self.bill
                .runs()
                .last()
                .is_some_and(|last| last.usage.total_tokens() == 0)
        }) {
            Some(left) => counted + left,
            None => counted,
        }
    }

    fn charge(&self, money: Option<Money>, outcome: Outcome) -> Charge {
        Charge {
            model: self.model().to_owned(),
            usage: self.usage(),
            money,
            outcome,
        }
    }
}

/// True if an earlier run left its prompt upstream, without any answer or reported cost.
fn is_lost(run: &Spent) -> bool {
    run.is_under_way && run.cost.is_none() && run.usage.total_tokens() == 0
}
