//! Billing of a call: its hold becomes a charge, however the call ends.

use super::call_record::CallRecord;
use super::estimate::CallEstimate;
use crate::accounts::ledger::BudgetHold;
use crate::accounts::ledger::Charge;
use crate::accounts::ledger::ChargeOutcome;
use crate::accounts::rate_limit::Permit;
use crate::domain::Money;
use crate::domain::Usage;
use crate::engine::gateway::Error;
use crate::engine::upstreams::MeteredUsage;
use crate::engine::upstreams::UpstreamPrice;
use crate::telemetry::activity::TrackedTurn;
use crate::telemetry::activity::TurnPhase;
use crate::telemetry::activity::TurnTokens;
use crate::telemetry::logs::ErrorChain;

/// Call with a hold. Dropping it charges what is known to be used: the client has left.
pub(super) struct CallBilling {
    record: CallRecord,
    /// Hold of the call; `None` once it is charged or released.
    hold: Option<BudgetHold>,
    permit: Permit,
    price: UpstreamPrice,
    estimate: CallEstimate,
    model: String,
    /// Usage that the upstream has reported so far.
    reported: Option<MeteredUsage>,
    /// Bytes of the answer so far.
    text_bytes: u64,
}

impl CallBilling {
    /// Begins the call of `model`: from now on a dropped hold is charged.
    pub(super) fn begin(
        record: CallRecord,
        hold: BudgetHold,
        permit: Permit,
        price: UpstreamPrice,
        estimate: CallEstimate,
        model: &str,
    ) -> Self {
        record.accept();
        record.tracked().begin_phase(TurnPhase::FirstToken);
        Self {
            record,
            hold: Some(hold.start()),
            permit,
            price,
            estimate,
            model: model.to_owned(),
            reported: None,
            text_bytes: 0,
        }
    }

    pub(super) fn tracked(&self) -> &TrackedTurn {
        self.record.tracked()
    }

    /// Records usage that the upstream has reported.
    pub(super) fn record_usage(&mut self, usage: MeteredUsage) {
        let so_far = self.reported.unwrap_or_default();
        self.reported = Some(so_far.merge_max(usage));
    }

    /// Records a piece of the answer with so many bytes of text.
    pub(super) fn record_text(&mut self, bytes: u64) {
        if bytes > 0 {
            self.tracked().begin_phase(TurnPhase::Stream);
            self.tracked()
                .add_output(usize::try_from(bytes).unwrap_or(usize::MAX));
            self.text_bytes = self.text_bytes.saturating_add(bytes);
        }
    }

    /// Charges a complete answer, and returns its tokens once the charge is on disk. If the disk
    /// fails, the ledger tries again, and the answer is passed on nevertheless.
    pub(super) async fn finish(mut self) -> Usage {
        let charge = self.charge(ChargeOutcome::Answered);
        let usage = Usage {
            cost: charge.money,
            ..charge.usage
        };
        let settled = self.hold.take().map(|hold| hold.settle(charge));
        self.record.finish(&usage);
        if let Some(settled) = settled
            && let Err(error) = settled.await
        {
            tracing::error!(error = %ErrorChain(&error), "charge not stored before end of answer");
        }
        usage
    }

    /// Ends a call that has failed. It is free if the upstream has not begun to answer it.
    pub(super) fn fail(mut self, error: &Error, is_free: bool) {
        if is_free {
            self.permit.settle(0);
            let free = TurnTokens::default();
            self.tracked().record_charge(free, Some(Money::ZERO));
            // The transaction is queued by the call itself.
            drop(self.hold.take().map(BudgetHold::release));
        } else {
            let outcome = if *error == Error::CancelledByOperator {
                ChargeOutcome::Cancelled
            } else {
                ChargeOutcome::Failed
            };
            self.settle(outcome);
        }
        self.record.fail(error);
    }

    /// Charges what is known to be used, without waiting for the disk.
    fn settle(&mut self, outcome: ChargeOutcome) {
        let charge = self.charge(outcome);
        // The transaction is queued by the call itself, and made again if the disk fails.
        drop(self.hold.take().map(|hold| hold.settle(charge)));
    }

    /// Returns the charge, and settles the permit and what the dashboard shows by it.
    fn charge(&mut self, outcome: ChargeOutcome) -> Charge {
        let known = self.estimate.request;
        let reported = self.reported.unwrap_or_default();
        let has_tokens = reported.input_tokens + reported.output_tokens > 0;
        let guessed_output = self.text_bytes.div_ceil(Usage::BYTES_PER_OUTPUT_TOKEN);
        let or_known = |reported: u64, known: u64| if reported > 0 { reported } else { known };
        let used = MeteredUsage {
            characters: known.characters,
            images: or_known(reported.images, known.images),
            milliseconds: or_known(reported.milliseconds, known.milliseconds),
            input_tokens: or_known(reported.input_tokens, known.input_tokens),
            output_tokens: if has_tokens {
                reported.output_tokens
            } else {
                guessed_output
            },
            cached_tokens: reported.cached_tokens,
        };
        let (usage, estimated_tokens) = if has_tokens {
            (used.tokens(), 0)
        } else {
            (Usage::default(), used.input_tokens + used.output_tokens)
        };
        let money = self.price.cost(&used);
        self.permit
            .settle(usage.total_tokens().saturating_add(estimated_tokens));
        let tokens = TurnTokens {
            estimated: estimated_tokens,
            ..TurnTokens::from(&usage)
        };
        self.tracked().record_charge(tokens, Some(money));
        Charge {
            model: self.model.clone(),
            usage,
            estimated_tokens,
            money: Some(money),
            outcome,
            baseline: None,
            sign_in: None,
            fallback: None,
        }
    }
}

impl Drop for CallBilling {
    // Cancellation: a call may be answered upstream although nobody reads it.
    fn drop(&mut self) {
        if self.hold.is_some() {
            self.settle(ChargeOutcome::Cancelled);
        }
    }
}
