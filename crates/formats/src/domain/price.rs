//! Prices of tokens.

use std::str::FromStr;

use super::Money;
use super::Usage;

/// Nano-dollars in a dollar.
const NANOS: u64 = 1_000_000_000;
const MILLION: u128 = 1_000_000;

/// Maximum price, a thousand dollars for each token, so that no sum in `cost` overflows.
const MAX_PRICE: u64 = 1_000_000_000 * NANOS;

/// Prices of a model's tokens.
///
/// As text: `input 0.1, output 0.5, cache write 0.125, cache read 0.01`, each in dollars for a
/// million tokens. Prices of long prompts follow behind `; above 100000:`; they apply to all tokens
/// of a turn whose prompt exceeds that number of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    base: Tariff,
    /// Threshold in prompt tokens, and the prices above it.
    long: Option<(u64, Tariff)>,
}

/// Prices in nano-dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tariff {
    input: u64,
    output: u64,
    cache_write: u64,
    cache_read: u64,
}

/// Error for a text that is not a price; says what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPrice(String);

impl Price {
    /// Returns the cost of one call with `usage`, rounded up once, to the next nano-dollar.
    pub fn cost(&self, usage: &Usage) -> Money {
        self.cost_of_calls(usage, 1)
    }

    /// Returns the cost of `calls` calls with `usage` together, rounded up once. Prices of long prompts
    /// apply if the prompts are long on average.
    pub fn cost_of_calls(&self, usage: &Usage, calls: u64) -> Money {
        let prompt = [
            usage.input_tokens,
            usage.cache_write_tokens,
            usage.cache_read_tokens,
        ]
        .map(u128::from);
        let is_long = |above: u64| {
            let limit = u128::from(above) * u128::from(calls.max(1));
            prompt.iter().sum::<u128>() > limit
        };
        let tariff = match self.long {
            Some((above, long)) if is_long(above) => long,
            _ => self.base,
        };
        let prices = [tariff.input, tariff.cache_write, tariff.cache_read].map(u128::from);
        let answer = u128::from(usage.output_tokens) * u128::from(tariff.output);
        let millionths = answer
            + prompt
                .iter()
                .zip(prices)
                .map(|(tokens, price)| tokens * price)
                .sum::<u128>();
        i64::try_from(millionths.div_ceil(MILLION)).map_or(Money::MAX, Money::from_nanos)
    }
}

impl FromStr for Price {
    type Err = InvalidPrice;

    fn from_str(text: &str) -> Result<Self, InvalidPrice> {
        let Some((usual, long)) = text.split_once(';') else {
            return Ok(Self {
                base: parse_tariff(text)?,
                long: None,
            });
        };
        let parts = long
            .trim()
            .strip_prefix("above")
            .and_then(|long| long.split_once(':'));
        let Some((above, long)) = parts else {
            return Err(InvalidPrice(format!(
                "`{}` does not begin with `above 100000:`",
                long.trim()
            )));
        };
        let above = above.trim();
        let tokens = above.parse();
        let tokens = tokens.map_err(|_| {
            InvalidPrice(format!("`{above}` is no number of tokens, such as 100000"))
        })?;
        Ok(Self {
            base: parse_tariff(usual)?,
            long: Some((tokens, parse_tariff(long)?)),
        })
    }
}

fn parse_tariff(text: &str) -> Result<Tariff, InvalidPrice> {
    let mut found = [
        ("input", None),
        ("output", None),
        ("cache write", None),
        ("cache read", None),
    ];
    for item in text.split(',').map(str::trim) {
        let (name, price) = item.rsplit_once(' ').unwrap_or((item, ""));
        let slot = found
            .iter_mut()
            .find(|(known, _)| *known == name.trim_end());
        let Some((_, slot)) = slot else {
            let message = format!(
                "`{item}` is none of `input 1`, `output 1`, `cache write 1` and `cache read 1`"
            );
            return Err(InvalidPrice(message));
        };
        let price = parse_nanos(price).ok_or_else(|| {
            InvalidPrice(format!(
                "`{price}` is no price in dollars for a million tokens, such as 0.125"
            ))
        })?;
        if slot.replace(price).is_some() {
            return Err(InvalidPrice(format!(
                "`{}` is there twice",
                name.trim_end()
            )));
        }
    }
    let [input, output, cache_write, cache_read] = found.map(|(name, price)| {
        price.ok_or_else(|| InvalidPrice(format!("the price of `{name}` is missing")))
    });
    Ok(Tariff {
        input: input?,
        output: output?,
        cache_write: cache_write?,
        cache_read: cache_read?,
    })
}

/// Parses dollars to nano-dollars digit by digit: a binary float is not exact.
fn parse_nanos(dollars: &str) -> Option<u64> {
    let (whole, rest) = dollars.split_once('.').unwrap_or((dollars, "0"));
    let is_number =
        |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(rest) || rest.len() > 9 {
        return None;
    }
    let nanos = whole
        .parse::<u64>()
        .ok()?
        .checked_mul(NANOS)?
        .checked_add(format!("{rest:0<9}").parse().ok()?)?;
    (nanos <= MAX_PRICE).then_some(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HAIKU: &str = "input 0.1, output 0.5, cache write 0.125, cache read 0.01; \
                         above 100000: input 0.5, output 2.5, cache write 0.625, cache read 0.05";

    fn cost(price: &str, [input, output, write, read]: [u64; 4]) -> i64 {
        let usage = Usage {
            input_tokens: input,
            output_tokens: output,
            cache_write_tokens: write,
            cache_read_tokens: read,
            thinking_tokens: 0,
            ..Usage::default()
        };
        price.parse::<Price>().unwrap().cost(&usage).nanos()
    }

    #[test]
    fn price_differs_by_kind_of_token() {
        for (usage, nanos) in [
            ([0, 0, 0, 0], 0),
            ([1_000_000, 0, 0, 0], 500_000_000),
            ([1000, 0, 0, 0], 100_000),
            ([0, 1000, 0, 0], 500_000),
            ([0, 0, 1000, 0], 125_000),
            ([0, 0, 0, 1000], 10_000),
            ([3, 7, 11, 13], 5_305),
        ] {
            assert_eq!(cost(HAIKU, usage), nanos, "{usage:?}");
        }
    }

    #[test]
    fn price_of_a_long_prompt_applies_to_the_whole_turn() {
        assert_eq!(cost(HAIKU, [40_000, 0, 30_000, 30_000]), 8_050_000);
        assert_eq!(cost(HAIKU, [40_001, 0, 30_000, 30_000]), 40_250_500);
        assert_eq!(
            cost(HAIKU, [1, 100_000, 0, 0]),
            50_000_100,
            "the answer does not count"
        );
    }

    #[test]
    fn price_of_several_calls_is_that_of_their_average_prompt() {
        let price = HAIKU.parse::<Price>().unwrap();
        let usage = Usage {
            input_tokens: 200_000,
            ..Usage::default()
        };
        let nanos = |calls| price.cost_of_calls(&usage, calls).nanos();
        assert_eq!(nanos(0), nanos(1));
        assert_eq!([nanos(1), nanos(2)], [100_000_000, 20_000_000]);
    }

    #[test]
    fn price_rounds_the_sum_up_once() {
        let tiny = "input 0.0001, output 0.0001, cache write 0, cache read 0.000000001";
        assert_eq!(
            cost(tiny, [1, 1, 1, 0]),
            1,
            "two tenths of a nano-dollar are one"
        );
        assert_eq!(cost(tiny, [10, 10, 0, 0]), 2);
        assert_eq!(cost(tiny, [0, 0, 0, 1]), 1);
    }

    #[test]
    fn price_of_the_largest_usage_saturates() {
        let dear = "input 1000000000, output 1000000000, cache write 1000000000, cache read 1000000000; \
                    above 1: input 1000000000, output 1000000000, cache write 1000000000, cache read 1000000000";
        assert_eq!(cost(dear, [u64::MAX; 4]), i64::MAX);
    }

    proptest::proptest! {
        #[test]
        fn price_parser_accepts_or_rejects_any_text_without_panic(text: String, like in "(input|output|cache read|above|;|,|:|\\.| |[0-9]){0,30}") {
            for text in [&text, &like, &format!("{HAIKU}{like}")] {
                if let Ok(price) = text.parse::<Price>() {
                    price.cost(&Usage { input_tokens: u64::MAX, ..Usage::default() });
                }
            }
        }
    }

    #[test]
    fn price_parser_names_what_is_wrong() {
        let whole = "input 1, output 5, cache write 1.25, cache read 0.1";
        for (text, error) in [
            (
                "",
                "`` is none of `input 1`, `output 1`, `cache write 1` and `cache read 1`",
            ),
            (
                "input 1, output 5, cache write 1",
                "the price of `cache read` is missing",
            ),
            ("input 1, input 2", "`input` is there twice"),
            (
                "in 1",
                "`in 1` is none of `input 1`, `output 1`, `cache write 1` and `cache read 1`",
            ),
            (
                "input -1",
                "`-1` is no price in dollars for a million tokens, such as 0.125",
            ),
            (
                "input 1.",
                "`1.` is no price in dollars for a million tokens, such as 0.125",
            ),
            (
                "input 0.1234567890",
                "`0.1234567890` is no price in dollars for a million tokens, such as 0.125",
            ),
            (
                "input 1e3",
                "`1e3` is no price in dollars for a million tokens, such as 0.125",
            ),
            (
                "input 99999999999",
                "`99999999999` is no price in dollars for a million tokens, such as 0.125",
            ),
            (
                &format!("{whole}; over 5"),
                "`over 5` does not begin with `above 100000:`",
            ),
            (
                &format!("{whole}; above x: {whole}"),
                "`x` is no number of tokens, such as 100000",
            ),
            (
                &format!("{whole}; above 5: input 1"),
                "the price of `output` is missing",
            ),
        ] {
            assert_eq!(
                text.parse::<Price>().unwrap_err().to_string(),
                error,
                "{text}"
            );
        }
    }
}
