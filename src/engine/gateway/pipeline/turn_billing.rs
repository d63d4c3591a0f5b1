//! Billing of a turn: turns its hold into a charge.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::AdmissionDeps;
use super::turn_costs::TurnCosts;
use crate::accounts::ledger::BudgetHold;
use crate::accounts::ledger::Charge;
use crate::accounts::ledger::ChargeCorrection;
use crate::accounts::ledger::ChargeOutcome;
use crate::domain::Amount;
use crate::domain::CostWatch;
use crate::domain::Finish;
use crate::domain::Money;
use crate::domain::RequestTrace;
use crate::domain::TurnEvent;
use crate::engine::gateway::TakenFallback;
use crate::engine::gateway::TurnInfo;
use crate::telemetry::activity::TrackedTurn;
use crate::telemetry::activity::TurnTokens;
use crate::telemetry::logs::ErrorChain;
use crate::telemetry::traces::child_span;

/// Maximum wait for the reported cost of a run that was cut short. The interrupt takes
/// milliseconds; a process that does not obey it is ended within this time.
const COST_REPORT_TIMEOUT: Duration = Duration::from_secs(60);
/// Name of the span in which a run is charged.
const CHARGE_SPAN: &str = "charge";

/// Turn with a hold that must be settled.
pub(super) struct TurnBilling {
    costs: TurnCosts,
    hold: BudgetHold,
    place: BillingPlace,
}

/// Places at which the charge of a turn is recorded, beside the ledger.
pub(super) struct BillingPlace {
    pub(super) trace: RequestTrace,
    pub(super) tracked: TrackedTurn,
    /// Fallback of the turn, which may be taken while it runs.
    pub(super) fallback: TakenFallback,
}

impl TurnBilling {
    pub(super) fn new(
        rules: Arc<AdmissionDeps>,
        hold: BudgetHold,
        reported_costs: CostWatch,
        info: &TurnInfo,
        prompt_tokens: u64,
        place: BillingPlace,
    ) -> Self {
        place.tracked.open_charge();
        let fallback = place.fallback.clone();
        Self {
            costs: TurnCosts::new(rules, reported_costs, info, prompt_tokens, fallback),
            hold: hold.start(),
            place,
        }
    }

    /// Counts the usage in an event of the turn.
    pub(super) fn record(&mut self, event: &TurnEvent) {
        self.costs.tally.record(event);
    }

    /// Charges a complete answer. Returns its end with the cost, and a future that completes when
    /// the charge is on disk.
    pub(super) fn charge_answer(self, mut finish: Finish) -> (Finish, BoxFuture<'static, ()>) {
        let Self { costs, hold, place } = self;
        let BillingPlace { trace, tracked, .. } = place;
        // A stop text enforced by the server may have ended the answer in the middle of the run.
        let is_whole = finish.stop_sequence.is_none();
        let cost = costs.total_cost(is_whole);
        finish.usage.cost = cost;
        let charge = costs.charge(cost, ChargeOutcome::Answered);
        record_charge(&tracked, &charge);
        let correction = hold.correction();
        let span = child_span(&trace, CHARGE_SPAN);
        let shown = tracked.clone();
        let settled = hold.settle(charge).map(move |settled| {
            drop(span);
            match settled {
                Ok(debited) => show_debited(&shown, cost, debited),
                // The answer is made and paid for, so it is delivered nevertheless. The ledger
                // retries the write.
                Err(error) => {
                    tracing::error!(error = %ErrorChain(&error), "charge not stored before end of answer");
                }
            }
        });
        if !is_whole && costs.is_awaited() {
            correct_when_reported(costs, cost, correction, tracked);
        }
        (finish, settled.boxed())
    }

    /// Charges a run that was cut short, as soon as its cost is known.
    ///
    /// A client that leaves while the call is upstream pays for the prompt even before any answer;
    /// likewise if the worker falls silent or dies during the call (`is_lost`). A call that
    /// upstream refused, or that failed there before the model began to answer, is free.
    pub(super) fn charge_cut_short(self, outcome: ChargeOutcome, is_lost: bool) {
        let Self {
            mut costs,
            hold,
            place,
        } = self;
        let BillingPlace { trace, tracked, .. } = place;
        // Begun here: until the task runs, the other spans of the turn may have ended.
        let span = child_span(&trace, CHARGE_SPAN);
        let tracker = costs.rules.tracker.clone();
        let runtime = costs.rules.runtime.clone();
        let settling = async move {
            if !wait_for_report(&mut costs).await {
                tracing::warn!("run cost not reported, charged by price table");
            }
            if outcome == ChargeOutcome::Cancelled || is_lost {
                costs.charged_prompt = costs.upstream_prompt_usage();
            }
            let cost = costs.total_cost(false);
            let is_taken = costs.has_begun() || costs.lost_prompts_usage().total_tokens() > 0;
            let is_free = !is_taken && cost.is_none_or(|cost| cost == Money::ZERO);
            let settled = if is_free {
                tracked.record_charge(TurnTokens::default(), Some(Money::ZERO));
                hold.release().await.map(|_released| ())
            } else {
                let charge = costs.charge(cost, outcome);
                record_charge(&tracked, &charge);
                let settled = hold.settle(charge).await;
                settled.map(|debited| show_debited(&tracked, cost, debited))
            };
            if let Err(error) = settled {
                tracing::error!(error = %ErrorChain(&error), "charge of run not stored");
            }
            drop(span);
        };
        tracker.spawn_on(settling, &runtime);
    }
}

/// Shows what the turn is charged.
fn record_charge(tracked: &TrackedTurn, charge: &Charge) {
    let tokens = TurnTokens {
        estimated: charge.estimated_tokens,
        ..TurnTokens::from(&charge.usage)
    };
    tracked.record_charge(tokens, charge.money);
}

/// Shows the amount that was debited, if it is not the `cost`: without one, the hold is charged.
fn show_debited(tracked: &TrackedTurn, cost: Option<Money>, debited: Amount) {
    if cost != Some(debited.money) {
        tracked.correct_cost(debited.money);
    }
}

/// Corrects a charge of `charged`, which the price table has set, by the cost that the CLI reports
/// late.
fn correct_when_reported(
    mut costs: TurnCosts,
    charged: Option<Money>,
    correction: ChargeCorrection,
    tracked: TrackedTurn,
) {
    let tracker = costs.rules.tracker.clone();
    let runtime = costs.rules.runtime.clone();
    let correcting = async move {
        wait_for_report(&mut costs).await;
        let Some(cost) = costs
            .total_cost(false)
            .filter(|cost| Some(*cost) != charged)
        else {
            return;
        };
        tracked.correct_cost(cost);
        if let Err(error) = correction.apply(cost).await {
            tracing::error!(error = %ErrorChain(&error), "charge by price table not corrected");
        }
    };
    tracker.spawn_on(correcting, &runtime);
}

/// Waits for the costs of all runs. Returns false if they are not reported in time.
async fn wait_for_report(costs: &mut TurnCosts) -> bool {
    let reported = tokio::time::timeout(COST_REPORT_TIMEOUT, costs.reported_costs.wait_for_costs());
    reported.await.is_ok()
}
