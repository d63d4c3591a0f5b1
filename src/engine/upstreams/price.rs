//! Prices of the models of other servers.

use std::str::FromStr;

use super::usage::MeteredUsage;
use crate::domain::Money;

/// Text of a price that costs nothing.
const FREE: &str = "free";
const MILLION: u128 = 1_000_000;
/// Maximum price, a million dollars in nano-dollars, so that no sum in `cost` overflows.
const MAX_PRICE: u64 = 1_000_000_000_000_000;
const MINUTE_MS: u128 = 60_000;

/// Price of a model of another server.
///
/// As text: `input 0.4, cached input 0.1, output 1.6` and `characters 15` in dollars for a million
/// tokens or characters; `call 0.01`, `image 0.04` and `minute 0.006` in dollars for each; or `free`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UpstreamPrice {
    input: u64,
    /// Price of cached tokens of the request; `None` if they cost as much as the others.
    cached_input: Option<u64>,
    output: u64,
    characters: u64,
    call: u64,
    image: u64,
    minute: u64,
}

/// Reason why a text is no price, with what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidUpstreamPrice(String);

impl UpstreamPrice {
    /// True if tokens of requests have a price.
    pub fn asks_for_input(&self) -> bool {
        self.input > 0 || self.cached_input.is_some_and(|price| price > 0)
    }

    /// Returns the cost of one call with `usage`, rounded up to the next nano-dollar.
    pub fn cost(&self, usage: &MeteredUsage) -> Money {
        let cached = usage.cached_tokens.min(usage.input_tokens);
        let cached_price = self.cached_input.unwrap_or(self.input);
        let product = |count: u64, price: u64| u128::from(count) * u128::from(price);
        let millionths = product(usage.input_tokens - cached, self.input)
            + product(cached, cached_price)
            + product(usage.output_tokens, self.output)
            + product(usage.characters, self.characters);
        let minutes = product(usage.milliseconds, self.minute).div_ceil(MINUTE_MS);
        let nanos = millionths.div_ceil(MILLION)
            + minutes
            + product(usage.images, self.image)
            + u128::from(self.call);
        i64::try_from(nanos).map_or(Money::MAX, Money::from_nanos)
    }
}

impl FromStr for UpstreamPrice {
    type Err = InvalidUpstreamPrice;

    fn from_str(text: &str) -> Result<Self, InvalidUpstreamPrice> {
        let mut price = Self::default();
        if text.trim() == FREE {
            return Ok(price);
        }
        let mut seen: Vec<&str> = Vec::new();
        for item in text.split(',').map(str::trim) {
            let (name, amount) = item.rsplit_once(' ').unwrap_or((item, ""));
            let name = name.trim_end();
            let nanos = Money::from_decimal(amount)
                .and_then(|money| u64::try_from(money.nanos()).ok())
                .filter(|nanos| *nanos <= MAX_PRICE)
                .ok_or_else(|| {
                    let message = format!("`{item}` has no price in dollars, such as 0.02");
                    InvalidUpstreamPrice(message)
                })?;
            if seen.contains(&name) {
                return Err(InvalidUpstreamPrice(format!("`{name}` is there twice")));
            }
            seen.push(name);
            match name {
                "input" => price.input = nanos,
                "cached input" => price.cached_input = Some(nanos),
                "output" => price.output = nanos,
                "characters" => price.characters = nanos,
                "call" => price.call = nanos,
                "image" => price.image = nanos,
                "minute" => price.minute = nanos,
                _ => {
                    let message = format!(
                        "`{name}` is none of input, cached input, output, characters, call, image and minute"
                    );
                    return Err(InvalidUpstreamPrice(message));
                }
            }
        }
        Ok(price)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(price: &str, usage: MeteredUsage) -> i64 {
        price.parse::<UpstreamPrice>().unwrap().cost(&usage).nanos()
    }

    #[test]
    fn price_counts_tokens_calls_images_and_minutes() {
        let usage = MeteredUsage {
            input_tokens: 1000,
            cached_tokens: 400,
            output_tokens: 10,
            characters: 2000,
            images: 2,
            milliseconds: 90_000,
        };
        for (price, nanos) in [
            ("free", 0),
            ("input 0.02", 20_000),
            ("input 1, cached input 0.1", 640_000),
            ("input 1, output 2", 1_020_000),
            ("characters 15", 30_000_000),
            ("call 0.01", 10_000_000),
            ("image 0.04", 80_000_000),
            ("minute 0.006", 9_000_000),
            ("input 0.000000001", 1),
        ] {
            assert_eq!(cost(price, usage), nanos, "{price}");
        }
        let endless = MeteredUsage {
            input_tokens: u64::MAX,
            ..usage
        };
        assert_eq!(cost("input 1000000", endless), Money::MAX.nanos());
    }

    #[test]
    fn wrong_price_says_what_is_wrong() {
        for (text, part) in [
            ("", "no price in dollars"),
            ("input", "no price in dollars"),
            ("input -1", "no price in dollars"),
            ("input 1, input 2", "twice"),
            ("tokens 1", "none of input"),
        ] {
            let error = text.parse::<UpstreamPrice>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
