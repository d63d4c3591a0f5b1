//! What is held for a run, and how it becomes a charge.

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

/// How long a run that was cut short may take to tell what it cost. It is interrupted at once, which takes milliseconds; a
/// process that does not heed it is ended before this is over.
const BILL_TIMEOUT: Duration = Duration::from_secs(60);

/// A run that is to be paid.
pub(super) struct Account {
    rules: Arc<Rules>,
    hold: Hold,
    bill: BillReader,
    pub(super) tally: Tally,
    /// The id of the model that is to answer.
    model: String,
    /// Estimated tokens of the prompt.
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
    ///
    /// Who leaves while the call is upstream pays for its prompt, though nothing of an answer has come, and so does one whose worker falls
    /// silent or dies with the call (`is_lost`). A call that upstream refused, or that failed there before the model began to answer, is
    /// free.
    pub(super) fn cut_short(mut self, outcome: Outcome, is_lost: bool) {
        let (tracker, runtime) = (self.rules.tracker.clone(), self.rules.runtime.clone());
        let settling = async move {
            if tokio::time::timeout(BILL_TIMEOUT, self.bill.wait())
                .await
                .is_err()
            {
                tracing::warn!("what a run cost is not told, it is charged by the table of prices");
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
        if let Some(last) = runs.last_mut().filter(|_| !is_whole && self.has_begun()) {
            last.cost = last.cost.filter(|cost| *cost > Money::ZERO);
            last.usage = self.left.unwrap_or(last.usage);
        }
        let last = runs.len() - 1;
        for run in runs[..last].iter_mut().filter(|run| is_lost(run)) {
            run.usage = self.prompt();
            // A model without a price is the dearest for what nobody tells the cost of, as where it is held.
            run.cost = Some(self.rules.prices.amount(self.model(), &run.usage).money);
        }
        let price = |run: &Spent| self.rules.prices.cost(self.model(), &run.usage);
        runs.iter().try_fold(Money::ZERO, |sum, run| {
            run.cost.or_else(|| price(run)).map(|cost| sum + cost)
        })
    }

    /// What the prompt of the last call takes, if that is upstream and nothing of its answer was read.
    fn left_prompt(&self) -> Option<Usage> {
        let last = self.bill.runs().pop().filter(|last| last.is_under_way)?;
        match last.usage.total_tokens() {
            0 => Some(self.prompt()),
            // Upstream has counted it behind the back of a client that was gone.
            _ => (!self.tally.has_begun()).then_some(last.usage),
        }
    }

    /// What a prompt takes of which upstream has told nothing, as it was held: all of it is written to the prompt cache.
    fn prompt(&self) -> Usage {
        Usage {
            cache_write_tokens: self.prompt_tokens,
            ..Usage::default()
        }
    }

    /// What the prompts took that were upstream with workers that died, before the last run.
    fn lost(&self) -> Usage {
        let mut earlier = self.bill.runs();
        earlier.pop();
        earlier
            .iter()
            .filter(|run| is_lost(run))
            .fold(Usage::default(), |sum, _| sum + self.prompt())
    }

    /// Whether anything was taken upstream.
    fn has_begun(&self) -> bool {
        self.tally.has_begun() || self.left.is_some()
    }

    /// The id of the model that answers, or that was to.
    fn model(&self) -> &str {
        if self.tally.has_begun() {
            &self.tally.model
        } else {
            &self.model
        }
    }

    /// What all runs took.
    fn usage(&self) -> Usage {
        let counted = self.tally.usage().greater(self.bill.usage()) + self.lost();
        // A prompt that upstream has counted is on the bill already.
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

/// Whether a run that was not the last has left its prompt upstream: nothing came of it, and nobody told what it cost.
fn is_lost(run: &Spent) -> bool {
    run.is_under_way && run.cost.is_none() && run.usage.total_tokens() == 0
}
