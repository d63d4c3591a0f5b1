//! The price table.

use crate::domain::Amount;
use crate::domain::Money;
use crate::domain::Price;
use crate::domain::Turn;
use crate::domain::Usage;

use super::Config;
use super::size;
use super::text;

/// The prices of all models.
#[derive(Debug, Clone)]
pub struct Prices {
    /// Longer names first: what they say is more exact.
    models: Vec<(String, Price)>,
    config: Config,
}

impl Prices {
    /// The prices of `config`.
    pub fn new(mut config: Config) -> Self {
        let models = std::mem::take(&mut config.models);
        let mut models: Vec<_> = models
            .into_iter()
            .map(|(name, price)| (name.to_ascii_lowercase(), price))
            .collect();
        models.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        Self { models, config }
    }

    /// What one call of `model` that took `usage` costs, rounded up once to whole nano-dollars. None for a model without a
    /// price.
    ///
    /// `model` is an id or an alias of the CLI. The longest name of the table that stands in it decides, where it begins
    /// and ends at words: `opus-4` is a name of `claude-opus-4-8`, and none of `claude-opus-45`.
    pub fn cost(&self, model: &str, usage: &Usage) -> Option<Money> {
        let model = model.to_ascii_lowercase();
        let price = self.models.iter().find(|(name, _)| stands_in(name, &model));
        price.map(|(_, price)| price.cost(usage) + self.searches(usage))
    }

    /// What `turn` takes if `model` answers: more than it usually is, so that it can be held against a budget. The answer
    /// is as long as it may be, the whole prompt is written to the prompt cache, and an unknown model is the dearest.
    pub fn estimate(&self, model: &str, turn: &Turn) -> Amount {
        self.estimate_of(model, turn, self.prompt_tokens(turn))
    }

    /// As [`estimate`](Self::estimate), for a turn whose [`prompt_tokens`](Self::prompt_tokens) are known.
    pub fn estimate_of(&self, model: &str, turn: &Turn, prompt_tokens: u64) -> Amount {
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

    /// Tokens and cost of `usage` on `model`; an unknown model costs as much as the dearest one.
    pub fn amount(&self, model: &str, usage: &Usage) -> Amount {
        let dearest = || {
            let prices = self.models.iter().map(|(_, price)| price.cost(usage));
            prices.max().unwrap_or_default() + self.searches(usage)
        };
        Amount {
            tokens: usage.total_tokens(),
            money: self.cost(model, usage).unwrap_or_else(dearest),
        }
    }

    /// How many tokens `text` has at most, more or less.
    pub fn tokens_of(&self, text: &str) -> u64 {
        text::tokens_of(text)
    }

    fn searches(&self, usage: &Usage) -> Money {
        let count = i64::try_from(usage.web_searches).unwrap_or(i64::MAX);
        Money::from_nanos(self.config.web_search.nanos().saturating_mul(count))
    }

    /// How many tokens the prompt of `turn` has at most, more or less: instructions, tools and history included.
    pub fn prompt_tokens(&self, turn: &Turn) -> u64 {
        let size = size::of(turn);
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

/// Whether `name` is a part of `model` that begins and ends at words.
fn stands_in(name: &str, model: &str) -> bool {
    let is_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    model.match_indices(name).any(|(start, _)| {
        let (before, after) = (
            &model.as_bytes()[..start],
            &model.as_bytes()[start + name.len()..],
        );
        !is_word(before.last()) && !is_word(after.first())
    })
}

#[cfg(test)]
#[path = "prices_tests.rs"]
mod tests;
