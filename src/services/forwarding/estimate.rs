//! Estimates of what a call takes, before it is made.

use memchr::memmem;

use crate::accounts::pricing::Prices;
use crate::domain::Amount;
use crate::engine::upstreams::MeteredUsage;
use crate::engine::upstreams::UpstreamEndpoint;
use crate::engine::upstreams::UpstreamPrice;
use crate::engine::upstreams::UpstreamRequest;
use crate::runtime::compute::in_place;

/// Beginning of a JSON string with a file in it.
const DATA_URL: &[u8] = b"\"data:";
/// Estimated tokens of such a file: those of a large picture.
const FILE_TOKENS: u64 = 1600;

/// Estimate of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CallEstimate {
    /// Amounts of the request alone, without an answer.
    pub(super) request: MeteredUsage,
    /// Amount that the budgets must have room for.
    pub(super) amount: Amount,
}

impl CallEstimate {
    /// Estimates `request` at `price`. `assumed_output_tokens` are those of an answer without a
    /// limit.
    pub(super) fn new(
        request: &UpstreamRequest,
        price: UpstreamPrice,
        prices: &Prices,
        assumed_output_tokens: u64,
    ) -> Self {
        let is_json = request.content_type == "application/json";
        let input_tokens = if is_json {
            in_place(request.body.len(), || prompt_tokens(&request.body, prices))
        } else {
            0
        };
        let longest = request.max_output_tokens.unwrap_or(assumed_output_tokens);
        let output_tokens = match request.endpoint {
            UpstreamEndpoint::Embeddings | UpstreamEndpoint::Moderations => 0,
            UpstreamEndpoint::Chat => longest.saturating_mul(request.choices),
            UpstreamEndpoint::Speech
            | UpstreamEndpoint::Transcriptions
            | UpstreamEndpoint::Translations => assumed_output_tokens,
            UpstreamEndpoint::ImageGenerations
            | UpstreamEndpoint::ImageEdits
            | UpstreamEndpoint::ImageVariations => {
                assumed_output_tokens.saturating_mul(request.estimate.images.max(1))
            }
        };
        let of_request = MeteredUsage {
            input_tokens,
            ..request.estimate
        };
        let whole = MeteredUsage {
            output_tokens,
            ..of_request
        };
        // Of other answers than chats the tokens are a guess that counts for the price alone.
        let tokens = if request.endpoint == UpstreamEndpoint::Chat {
            input_tokens.saturating_add(output_tokens)
        } else {
            input_tokens
        };
        Self {
            request: of_request,
            amount: Amount {
                tokens,
                money: price.cost(&whole),
            },
        }
    }
}

/// Returns the estimated tokens of a JSON body. A file in it counts as a picture.
fn prompt_tokens(body: &[u8], prices: &Prices) -> u64 {
    let mut tokens = 0;
    let mut rest = body;
    while let Some(start) = memmem::find(rest, DATA_URL) {
        let (text, file) = rest.split_at(start + DATA_URL.len());
        tokens += prices.tokens_of(&String::from_utf8_lossy(text)) + FILE_TOKENS;
        let end = memchr::memchr(b'"', file).unwrap_or(file.len());
        rest = &file[end..];
    }
    tokens + prices.tokens_of(&String::from_utf8_lossy(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::pricing;
    use crate::domain::Money;

    fn prices() -> Prices {
        Prices::new(pricing::Config {
            models: std::collections::BTreeMap::new(),
            assumed_output_tokens: 100,
            image_tokens: 1600,
            document_tokens: 15_000,
            web_search: Money::ZERO,
        })
    }

    async fn estimate(endpoint: UpstreamEndpoint, body: String, price: &str) -> CallEstimate {
        let request = UpstreamRequest::read(endpoint, None, body.into(), None).await;
        let price = price.parse().unwrap();
        CallEstimate::new(&request.unwrap(), price, &prices(), 100)
    }

    #[tokio::test]
    async fn chat_is_estimated_with_its_longest_answers() {
        let body = r#"{"model": "c", "messages": [], "max_tokens": 7, "n": 2}"#;
        let with_limit = estimate(UpstreamEndpoint::Chat, body.to_owned(), "output 1").await;
        assert_eq!(with_limit.amount.money.nanos(), 14_000);
        let body = r#"{"model": "c", "messages": []}"#;
        let without = estimate(UpstreamEndpoint::Chat, body.to_owned(), "output 1").await;
        assert_eq!(without.amount.money.nanos(), 100_000);
        let input = without.request.input_tokens;
        assert_eq!(without.amount.tokens, input + 100);
    }

    #[tokio::test]
    async fn file_in_a_request_counts_as_a_picture() {
        let body = |data: &str| format!("{{\"model\": \"c\", \"url\": \"data:{data}\"}}");
        let small = estimate(UpstreamEndpoint::Chat, body("a"), "free").await;
        let large = estimate(UpstreamEndpoint::Chat, body(&"a".repeat(1 << 20)), "free").await;
        assert_eq!(small, large);
        assert!(small.request.input_tokens >= FILE_TOKENS);
    }
}
