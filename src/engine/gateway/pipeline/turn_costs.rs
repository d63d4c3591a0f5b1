//! Costs of a turn: tokens and money of its runs, as reported or by the price table.

use std::sync::Arc;

use super::AdmissionDeps;
use crate::accounts::ledger::Charge;
use crate::accounts::ledger::ChargeOutcome;
use crate::accounts::ledger::ChargedFallback;
use crate::domain::BaselineCost;
use crate::domain::CostWatch;
use crate::domain::Money;
use crate::domain::RunCost;
use crate::domain::Usage;
use crate::engine::gateway::ServingSignIn;
use crate::engine::gateway::TakenFallback;
use crate::engine::gateway::TurnInfo;
use crate::engine::gateway::usage_counter::UsageCounter;

/// Usage and costs of a turn so far.
pub(super) struct TurnCosts {
    pub(super) rules: Arc<AdmissionDeps>,
    pub(super) reported_costs: CostWatch,
    pub(super) tally: UsageCounter,
    /// Id of the model that is to answer first.
    model: String,
    prompt_tokens: u64,
    /// Tokens charged for a prompt that was upstream when the run was cut short, before any answer.
    pub(super) charged_prompt: Option<Usage>,
    /// Sign-in that runs the turn.
    sign_in: ServingSignIn,
    /// Fallback that was taken so far.
    fallback: TakenFallback,
}

impl TurnCosts {
    pub(super) fn new(
        rules: Arc<AdmissionDeps>,
        reported_costs: CostWatch,
        info: &TurnInfo,
        prompt_tokens: u64,
        fallback: TakenFallback,
    ) -> Self {
        Self {
            rules,
            reported_costs,
            tally: UsageCounter::default(),
            model: info.model.clone(),
            prompt_tokens,
            charged_prompt: None,
            sign_in: info.sign_in.clone(),
            fallback,
        }
    }

    /// True if the cost of the last run may still be reported.
    pub(super) fn is_awaited(&self) -> bool {
        self.reported_costs
            .runs()
            .last()
            .is_some_and(|run| run.cost.is_none())
    }

    /// Returns the cost of all runs: as reported, else by the price table; `None` if a needed price
    /// is unknown. `is_whole` is set if the last run came to its end: the CLI reports a cost of
    /// zero for an answer that was broken off.
    pub(super) fn total_cost(&self, is_whole: bool) -> Option<Money> {
        let mut runs = self.reported_costs.runs();
        if self.reported_costs.usage().total_tokens() == 0 {
            // No usage was recorded for each run.
            runs.last_mut()?.usage = self.tally.usage();
        }
        if let Some(last) = runs.last_mut().filter(|_| !is_whole && self.has_begun()) {
            let is_final = last.is_final;
            last.cost = last.cost.filter(|cost| is_final || *cost > Money::ZERO);
            last.usage = self.charged_prompt.unwrap_or(last.usage);
        }
        let prices = &self.rules.prices;
        let last = runs.len() - 1;
        // A try that was given up is paid at the price of its own model.
        let models = self.reported_costs.models();
        let model = self.model();
        let model_of = |index: usize| {
            let told = models.get(index).filter(|_| index < last);
            told.and_then(Option::as_deref).unwrap_or(&model)
        };
        for (index, run) in runs[..last].iter_mut().enumerate() {
            if is_lost_upstream(run) {
                run.usage = self.prompt_usage();
                // A model without a price counts as the most expensive one, as in the hold.
                run.cost = Some(prices.amount(model_of(index), &run.usage).money);
            }
        }
        let mut priced = runs.iter().enumerate();
        priced.try_fold(Money::ZERO, |sum, (index, run)| {
            let price = || prices.cost(model_of(index), &run.usage);
            run.cost.or_else(price).map(|cost| sum + cost)
        })
    }

    /// Returns the usage of the last prompt, if its call is upstream and nothing of the answer was
    /// read.
    pub(super) fn upstream_prompt_usage(&self) -> Option<Usage> {
        let last = self
            .reported_costs
            .runs()
            .pop()
            .filter(|last| last.is_under_way)?;
        match last.usage.total_tokens() {
            0 => Some(self.prompt_usage()),
            // Counted upstream although the client had gone.
            _ => (!self.tally.has_begun()).then_some(last.usage),
        }
    }

    /// Returns the usage of a prompt about which upstream reported nothing, as in the hold: all of
    /// it is written to the prompt cache.
    fn prompt_usage(&self) -> Usage {
        Usage {
            cache_write_tokens: self.prompt_tokens,
            ..Usage::default()
        }
    }

    /// Returns the usage of the prompts that were upstream with workers that died, before the last
    /// run.
    pub(super) fn lost_prompts_usage(&self) -> Usage {
        let mut earlier = self.reported_costs.runs();
        earlier.pop();
        earlier
            .iter()
            .filter(|run| is_lost_upstream(run))
            .fold(Usage::default(), |sum, _| sum + self.prompt_usage())
    }

    /// True if anything was used upstream.
    pub(super) fn has_begun(&self) -> bool {
        self.tally.has_begun() || self.charged_prompt.is_some()
    }

    /// Returns the id of the model that answers, or was to answer.
    fn model(&self) -> String {
        if self.tally.has_begun() {
            return self.tally.model.clone();
        }
        let of_last_try = self.reported_costs.models().pop().flatten();
        of_last_try.map_or_else(|| self.model.clone(), |model| model.to_string())
    }

    /// Returns the usage of all runs, without the prompts that are only estimated.
    fn usage(&self) -> Usage {
        self.tally.usage().merge_max(self.reported_costs.usage())
    }

    /// Returns the output tokens of an answer that was cut off before upstream counted them.
    fn estimated_output_tokens(&self) -> u64 {
        // A higher number of the run is upstream's own.
        let is_counted =
            self.reported_costs.usage().output_tokens > self.tally.usage().output_tokens;
        if is_counted {
            0
        } else {
            self.tally.estimated_output_tokens()
        }
    }

    /// Returns the estimated tokens of all prompts about which upstream reported nothing.
    fn estimated_prompt_tokens(&self) -> u64 {
        // A prompt counted upstream is part of the reported cost already.
        let last = self.charged_prompt.filter(|_| {
            let runs = self.reported_costs.runs();
            runs.last()
                .is_some_and(|last| last.usage.total_tokens() == 0)
        });
        (self.lost_prompts_usage() + last.unwrap_or_default()).total_tokens()
    }

    /// Returns the cost of `usage` and of the estimated prompts on the baseline.
    fn baseline_cost(&self, usage: Usage) -> Option<BaselineCost> {
        let estimated = Usage {
            // Charged as such, too.
            cache_write_tokens: self.estimated_prompt_tokens(),
            ..Usage::default()
        };
        let calls = self.reported_costs.runs().len() as u64;
        let prices = &self.rules.prices;
        prices.compare_with_baseline(&self.model(), &(usage + estimated), calls)
    }

    fn charged_fallback(&self) -> Option<Box<ChargedFallback>> {
        let facts = self.fallback.facts()?;
        Some(Box::new(ChargedFallback {
            asked_model: facts.asked_model,
            cause: facts.cause.name().to_owned(),
        }))
    }

    /// Creates the charge of `money` for the turn.
    pub(super) fn charge(&self, money: Option<Money>, outcome: ChargeOutcome) -> Charge {
        let usage = self.usage();
        let estimated_output = self.estimated_output_tokens();
        Charge {
            model: self.model(),
            usage: Usage {
                output_tokens: usage.output_tokens.saturating_sub(estimated_output),
                ..usage
            },
            estimated_tokens: self
                .estimated_prompt_tokens()
                .saturating_add(estimated_output),
            money,
            outcome,
            baseline: self.baseline_cost(usage),
            sign_in: self.sign_in.name(),
            fallback: self.charged_fallback(),
        }
    }
}

/// True if an earlier run left its prompt upstream, without any answer. Its cost is not reported, or
/// is zero: so the CLI reports a call that is interrupted before upstream answers.
fn is_lost_upstream(run: &RunCost) -> bool {
    let is_unpaid = run.cost.is_none_or(|cost| cost == Money::ZERO);
    run.is_under_way && !run.is_final && is_unpaid && run.usage.total_tokens() == 0
}
