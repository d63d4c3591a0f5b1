//! Routing rules.

use std::sync::Arc;

use crate::accounts::pricing::Prices;
use crate::domain::BudgetState;
use crate::domain::ModelName;
use crate::domain::Turn;

use super::choice_counts::ChoiceCounts;
use super::choice_counts::RoutingCount;
use super::words::{are_simple, first_hard_stem, is_short};
use super::{Config, FallbackConfig, RoutingChoice, RoutingFeatures, RoutingRule};

/// Chooses a model by the routing rules.
#[derive(Debug, Clone)]
pub struct Router {
    config: Config,
    prices: Arc<Prices>,
    counts: ChoiceCounts,
    fallbacks: FallbackConfig,
}

impl Router {
    /// Creates a router with the rules of `config`; tokens are estimated by `prices`.
    pub fn new(config: Config, prices: Arc<Prices>) -> Self {
        Self {
            config,
            prices,
            counts: ChoiceCounts::default(),
            fallbacks: FallbackConfig::default(),
        }
    }

    /// Sets the models that answer where another one cannot.
    #[must_use]
    pub fn with_fallbacks(self, fallbacks: FallbackConfig) -> Self {
        Self { fallbacks, ..self }
    }

    /// Returns the models that answer where another one cannot.
    pub fn fallbacks(&self) -> &FallbackConfig {
        &self.fallbacks
    }

    /// Chooses the model for `turn` of a caller with this state of its budgets, and counts the
    /// choice.
    pub fn route(&self, turn: &Turn, budget: BudgetState) -> RoutingChoice {
        let choice = self.choose(&RoutingFeatures::from_turn(
            turn,
            self.prices.prompt_tokens(turn),
            budget,
        ));
        self.counts.add(&choice);
        choice
    }

    /// Lists how often which rule has chosen which model for a turn, since the start.
    pub fn choice_counts(&self) -> Vec<RoutingCount> {
        self.counts.list()
    }

    /// Chooses the model for these features.
    pub fn choose(&self, features: &RoutingFeatures<'_>) -> RoutingChoice {
        let (model, rule, reason) = self.first_matching_rule(features);
        let choice = RoutingChoice {
            model: model.clone(),
            rule,
            reason,
        };
        match features.budget.percent_used {
            Some(percent) if percent >= self.config.saving_percent => {
                self.downgrade(choice, percent)
            }
            _ => choice,
        }
    }

    /// Returns the model of the first rule that matches, with the rule and the reason.
    fn first_matching_rule(
        &self,
        features: &RoutingFeatures<'_>,
    ) -> (&ModelName, RoutingRule, String) {
        let config = &self.config;
        let prompt = &features.prompt;
        let context = features.context_tokens;
        if let Some(left) = features
            .budget
            .tokens_left
            .filter(|left| *left < config.scarce_tokens)
        {
            let reason = format!(
                "{left} tokens of the budget are left, fewer than {}",
                config.scarce_tokens
            );
            return (&config.light_model, RoutingRule::ScarceBudget, reason);
        }
        if context > config.long_context_tokens {
            let reason = format!(
                "the context has {context} tokens, more than {}",
                config.long_context_tokens
            );
            return (&config.heavy_model, RoutingRule::LongContext, reason);
        }
        let hard = first_hard_stem(prompt, &config.hard_words);
        let short = config.short_prompt_characters;
        if hard.is_none()
            && is_short(prompt, short)
            && are_simple(prompt, config.longest_simple_word)
        {
            let reason = format!("the prompt has fewer than {short} characters and simple words");
            return (&config.light_model, RoutingRule::SimplePrompt, reason);
        }
        if let Some(word) = hard {
            let reason = format!("the prompt has a word that begins with {word}");
            return (&config.usual_model, RoutingRule::HardWords, reason);
        }
        (
            &config.usual_model,
            RoutingRule::Otherwise,
            "the prompt is neither long nor simple".to_owned(),
        )
    }

    /// Replaces the chosen model by the next cheaper one.
    fn downgrade(&self, choice: RoutingChoice, percent: u64) -> RoutingChoice {
        let Config {
            light_model,
            usual_model,
            heavy_model,
            ..
        } = &self.config;
        let has_step = choice.model == *heavy_model && usual_model != heavy_model;
        let cheaper = if has_step { usual_model } else { light_model };
        if *cheaper == choice.model {
            return choice;
        }
        let reason = format!(
            "{percent} % of the budget are used, so not {}, although {}",
            choice.model, choice.reason
        );
        RoutingChoice {
            model: cheaper.clone(),
            rule: RoutingRule::SavingBudget,
            reason,
        }
    }
}

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
