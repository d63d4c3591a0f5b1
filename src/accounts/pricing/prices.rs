//! Price table and cost estimates.

use crate::domain::Amount;
use crate::domain::BaselineCost;
use crate::domain::Money;
use crate::domain::Price;
use crate::domain::Turn;
use crate::domain::Usage;

use super::Config;
use super::size;
use super::text;

/// Price table of all models.
#[derive(Debug, Clone)]
pub struct Prices {
    /// Prices by name, longest names first, because they are more specific.
    models: Vec<(String, Price)>,
    config: Config,
    /// Model that costs are compared with.
    baseline: Option<String>,
}

impl Prices {
    /// Creates the price table from its configuration.
    pub fn new(mut config: Config) -> Self {
        let models = std::mem::take(&mut config.models);
        let mut models: Vec<_> = models
            .into_iter()
            .map(|(name, price)| (name.to_ascii_lowercase(), price))
            .collect();
        models.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        Self {
            models,
            config,
            baseline: None,
        }
    }

    /// Sets the baseline `model`, which costs are compared with.
    #[must_use]
    pub fn with_baseline(mut self, model: impl Into<String>) -> Self {
        self.baseline = Some(model.into());
        self
    }

    /// True if `model` has a price.
    pub fn has_price(&self, model: &str) -> bool {
        self.cost(model, &Usage::default()).is_some()
    }

    /// Cost of one call of `model` with this usage, rounded up once to whole nano-dollars. `None`
    /// for a model without a price.
    ///
    /// `model` is an id or an alias of the CLI. The longest name in the table that occurs in it at
    /// word boundaries decides: `opus-4` matches `claude-opus-4-8`, but not `claude-opus-45`.
    pub fn cost(&self, model: &str, usage: &Usage) -> Option<Money> {
        self.cost_of_calls(model, usage, 1)
    }

    /// Compares the cost of `usage` on `model` with that on the baseline. `calls` is the number of
    /// calls of the model that it is the sum of. `None` without tokens, and without a priced
    /// baseline.
    pub fn compare_with_baseline(
        &self,
        model: &str,
        usage: &Usage,
        calls: u64,
    ) -> Option<BaselineCost> {
        let baseline = self.baseline.as_deref()?;
        if usage.total_tokens() == 0 {
            return None;
        }
        let plain = usage.without_prompt_cache();
        let total = self.cost_of_calls(baseline, &plain, calls)?;
        let uncached = self.cost_of_calls(model, &plain, calls);
        let cached = self.cost_of_calls(model, usage, calls);
        // Without a price of the model all of the saving counts as its choice.
        let prompt_cache = match (uncached, cached) {
            (Some(uncached), Some(cached)) => uncached - cached,
            _ => Money::ZERO,
        };
        Some(BaselineCost {
            total,
            prompt_cache,
        })
    }

    /// Returns the cost of `calls` calls together, as [`cost`](Self::cost) does for one. Prices of long
    /// prompts apply if the prompts are long on average.
    pub fn cost_of_calls(&self, model: &str, usage: &Usage, calls: u64) -> Option<Money> {
        let model = model.to_ascii_lowercase();
        let price = self
            .models
            .iter()
            .find(|(name, _)| contains_name(name, &model));
        price.map(|(_, price)| price.cost_of_calls(usage, calls) + self.search_cost(usage))
    }

    /// Upper estimate of the tokens and cost of `turn` on `model`, for a budget hold. Assumes the
    /// longest allowed answer (or the configured length without a limit) and a prompt that is all
    /// written to the prompt cache; an unknown model costs as much as the most expensive one.
    pub fn estimate(&self, model: &str, turn: &Turn) -> Amount {
        self.estimate_with_prompt_tokens(model, turn, self.prompt_tokens(turn))
    }

    /// Estimates like [`estimate`](Self::estimate), for a turn whose
    /// [`prompt_tokens`](Self::prompt_tokens) are known.
    pub fn estimate_with_prompt_tokens(
        &self,
        model: &str,
        turn: &Turn,
        prompt_tokens: u64,
    ) -> Amount {
        let usage = Usage {
            cache_write_tokens: prompt_tokens,
            output_tokens: turn
                .sampling
                .max_output_tokens
                .map_or(self.config.assumed_output_tokens, u64::from),
            web_searches: turn
                .tools
                .web_search
                .as_ref()
                .map_or(0, |search| search.max_uses.map_or(1, u64::from)),
            ..Usage::default()
        };
        self.amount(model, &usage)
    }

    /// Tokens and cost of `usage` on `model`; an unknown model costs as much as the most expensive
    /// one.
    pub fn amount(&self, model: &str, usage: &Usage) -> Amount {
        self.amount_of_calls(model, usage, 1)
    }

    /// Tokens and cost of `calls` calls together, as [`amount`](Self::amount) gives them for one.
    pub fn amount_of_calls(&self, model: &str, usage: &Usage, calls: u64) -> Amount {
        let highest_price = || {
            let prices = self.models.iter();
            let costs = prices.map(|(_, price)| price.cost_of_calls(usage, calls));
            costs.max().unwrap_or_default() + self.search_cost(usage)
        };
        let cost = self.cost_of_calls(model, usage, calls);
        Amount {
            tokens: usage.total_tokens(),
            money: cost.unwrap_or_else(highest_price),
        }
    }

    /// Estimated upper bound of the tokens of `text`.
    pub fn tokens_of(&self, text: &str) -> u64 {
        text::tokens_of(text)
    }

    fn search_cost(&self, usage: &Usage) -> Money {
        let count = i64::try_from(usage.web_searches).unwrap_or(i64::MAX);
        Money::from_nanos(self.config.web_search.nanos().saturating_mul(count))
    }

    /// Estimated upper bound of the prompt tokens of `turn`, including instructions, tools and
    /// history.
    pub fn prompt_tokens(&self, turn: &Turn) -> u64 {
        let size = size::measure_turn(turn);
        let Config {
            image_tokens,
            document_tokens,
            ..
        } = self.config;
        let documents = size
            .documents
            .iter()
            .map(|document| document.tokens(image_tokens, document_tokens));
        documents.fold(
            size.tokens_of_text()
                .saturating_add(size.images.saturating_mul(image_tokens)),
            u64::saturating_add,
        )
    }
}

/// True if `name` occurs in `model` at word boundaries.
fn contains_name(name: &str, model: &str) -> bool {
    let is_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    model.match_indices(name).any(|(start, _)| {
        let before = &model.as_bytes()[..start];
        let after = &model.as_bytes()[start + name.len()..];
        !is_word(before.last()) && !is_word(after.first())
    })
}

#[cfg(test)]
#[path = "prices_tests.rs"]
mod tests;
