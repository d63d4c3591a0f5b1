//! Estimates of what a call takes, before it is made.

use memchr::memmem;

use crate::accounts::pricing::Prices;
use crate::domain::Amount;
use crate::engine::upstreams::JSON_TYPE;
use crate::engine::upstreams::MeteredUsage;
use crate::engine::upstreams::PICTURE_TOKENS;
use crate::engine::upstreams::UpstreamEndpoint;
use crate::engine::upstreams::UpstreamPrice;
use crate::engine::upstreams::UpstreamRequest;
use crate::runtime::compute::in_place;

/// Beginning of a JSON string with a file in it.
const DATA_URL: &[u8] = b"\"data:";

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
        let is_json = request.content_type == JSON_TYPE;
        let input_tokens = if is_json {
            in_place(request.body.len(), || prompt_tokens(&request.body, prices))
        } else if price.asks_for_input() {
            request.estimate.input_tokens
        } else {
            0
        };
        let longest = request.max_output_tokens.unwrap_or(assumed_output_tokens);
        let output_tokens = match request.endpoint {
            UpstreamEndpoint::Embeddings | UpstreamEndpoint::Moderations => 0,
            UpstreamEndpoint::Chat | UpstreamEndpoint::Responses => {
                longest.saturating_mul(request.choices)
            }
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
        // Tokens of files, and of other answers than chats, are a guess that counts for the price
        // alone.
        let tokens = match request.endpoint {
            UpstreamEndpoint::Chat | UpstreamEndpoint::Responses => {
                input_tokens.saturating_add(output_tokens)
            }
            _ if is_json => input_tokens,
            _ => 0,
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
        tokens += prices.tokens_of(&String::from_utf8_lossy(text)) + PICTURE_TOKENS;
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
    async fn files_of_a_form_are_estimated_by_the_unit_of_their_price() {
        let audio = "a".repeat(100_000);
        let body = format!(
            "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\n{audio}\r\n\
             --x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nw\r\n--x--\r\n"
        );
        let form = Some("multipart/form-data; boundary=x");
        let endpoint = UpstreamEndpoint::Transcriptions;
        let request = UpstreamRequest::read(endpoint, form, body.into(), None).await;
        let request = request.unwrap();
        // 50 seconds, and 500 tokens of them.
        for (price, nanos) in [("minute 0.006", 5_000_000), ("input 1", 500_000)] {
            let estimate = CallEstimate::new(&request, price.parse().unwrap(), &prices(), 100);
            assert_eq!(estimate.amount.money.nanos(), nanos, "{price}");
            assert_eq!(estimate.amount.tokens, 0, "{price}");
        }
    }

    #[tokio::test]
    async fn file_in_a_request_counts_as_a_picture() {
        let body = |data: &str| format!("{{\"model\": \"c\", \"url\": \"data:{data}\"}}");
        let small = estimate(UpstreamEndpoint::Chat, body("a"), "free").await;
        let large = estimate(UpstreamEndpoint::Chat, body(&"a".repeat(1 << 20)), "free").await;
        assert_eq!(small, large);
        assert!(small.request.input_tokens >= PICTURE_TOKENS);
    }
}
