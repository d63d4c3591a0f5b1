//! Classification of the CLI's reports of failed calls.

use std::time::Duration;

use crate::domain::Failure;
use crate::domain::FailureKind;

use super::protocol::CallFailed;

/// Minimum retry delay after a rate limit.
pub(super) const RATE_LIMIT_RETRY_DELAY: Duration = Duration::from_secs(5);
const OVERLOAD_RETRY_DELAY: Duration = Duration::from_secs(2);
/// Anthropic's message for a prompt that exceeds the context window.
const PROMPT_TOO_LONG: &str = "prompt is too long";
/// Anthropic's message for a prompt that leaves too little room for the answer.
const CONTEXT_LIMIT_EXCEEDED: &str = "exceed context limit";

/// Classifies a failed call; `retry_delay` is the delay that upstream last asked for.
pub(super) fn classify(
    call: Option<&CallFailed>,
    status: Option<u16>,
    report: &str,
    retry_delay: Option<Duration>,
) -> Failure {
    let failure = classify_without_delay(call, status, report);
    let default = match failure.kind {
        FailureKind::RateLimited => RATE_LIMIT_RETRY_DELAY,
        FailureKind::Overloaded => OVERLOAD_RETRY_DELAY,
        _ => return failure,
    };
    Failure {
        retry_after: Some(retry_delay.map_or(default, |delay| delay.max(default))),
        ..failure
    }
}

/// Classifies a failed call without its retry delay.
fn classify_without_delay(call: Option<&CallFailed>, status: Option<u16>, report: &str) -> Failure {
    let word = call.map_or("", |call| call.kind.as_str());
    let text = call.map_or(report, |call| call.text.as_str());
    let status = status.or_else(|| status_in(text));
    let kind = if is_about_length(text) {
        FailureKind::ContextTooLong
    } else {
        kind_of(word, status)
    };
    Failure::new(kind, message_for(kind, status, text))
}

/// Returns the kind by the CLI's own error word, then by the upstream status.
fn kind_of(word: &str, status: Option<u16>) -> FailureKind {
    match (word, status) {
        ("authentication_failed" | "oauth_org_not_allowed" | "billing_error", _)
        | (_, Some(401..=403)) => FailureKind::SignIn,
        ("rate_limit", _) | (_, Some(429)) => FailureKind::RateLimited,
        ("overloaded", _) | (_, Some(503 | 529)) => FailureKind::Overloaded,
        ("model_not_found", _) | (_, Some(404)) => FailureKind::UnknownModel,
        ("invalid_request", _) | (_, Some(400 | 413 | 422)) => FailureKind::InvalidRequest,
        _ => FailureKind::Upstream,
    }
}

/// Returns the message for the caller.
fn message_for(kind: FailureKind, status: Option<u16>, text: &str) -> String {
    let sentence = match (kind, status) {
        (FailureKind::ContextTooLong, _) => return too_long(text),
        (FailureKind::SignIn, _) => {
            "Anthropic did not accept the sign-in of this server. Its operator must renew it."
        }
        (FailureKind::RateLimited, _) => {
            "Anthropic's limit for the sign-in of this server is reached. Try again later."
        }
        (FailureKind::Overloaded, _) => "Anthropic is overloaded. Try again later.",
        (FailureKind::UnknownModel, _) => {
            "The model does not exist, or the sign-in of this server may not use it."
        }
        (FailureKind::InvalidRequest, Some(413)) => {
            "The request is larger than Anthropic takes. Send less, or fewer and smaller files."
        }
        (FailureKind::InvalidRequest, _) => {
            return format!("{}{}", Failure::REFUSED_PREFIX, message_in(text));
        }
        (_, Some(status)) => return format!("The call to Anthropic failed with status {status}."),
        (_, None) => "The call to Anthropic failed.",
    };
    sentence.to_owned()
}

/// Returns Anthropic's message for a prompt that is too long, by which agents know to compact it.
/// The CLI wraps the two numbers in other words, or omits them.
fn too_long(text: &str) -> String {
    if [PROMPT_TOO_LONG, CONTEXT_LIMIT_EXCEEDED]
        .iter()
        .any(|words| text.contains(words))
    {
        return message_in(text).to_owned();
    }
    let digits = text.split(|character: char| !character.is_ascii_digit());
    let mut numbers = digits.filter_map(|digits| digits.parse::<u64>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(tokens), Some(max)) => {
            format!("{PROMPT_TOO_LONG}: {tokens} tokens > {max} maximum")
        }
        _ => PROMPT_TOO_LONG.to_owned(),
    }
}

fn is_about_length(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    [PROMPT_TOO_LONG, CONTEXT_LIMIT_EXCEEDED, "context window"]
        .iter()
        .any(|words| text.contains(words))
}

/// Parses the status in a report such as `API Error: 429 {...}`.
fn status_in(text: &str) -> Option<u16> {
    let rest = text.strip_prefix("API Error: ")?;
    let digits = rest
        .split(|character: char| !character.is_ascii_digit())
        .next()?;
    digits
        .parse()
        .ok()
        .filter(|status| (400..600).contains(status))
}

/// Returns Anthropic's own message in a report, without the CLI's prefix.
fn message_in(text: &str) -> &str {
    let text = text.strip_prefix("API Error: ").unwrap_or(text);
    let text =
        text.trim_start_matches(|character: char| character.is_ascii_digit() || character == ' ');
    if text.is_empty() {
        "no reason was given"
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::classify;
    use crate::domain::FailureKind;
    use crate::engine::claude::protocol::CallFailed;

    fn kind_of(kind: &str, status: Option<u16>, text: &str) -> FailureKind {
        classify(
            Some(&CallFailed {
                kind: kind.to_owned(),
                text: text.to_owned(),
            }),
            status,
            "",
            None,
        )
        .kind
    }

    #[test]
    fn failure_is_classified_by_kind_status_and_text() {
        assert_eq!(
            kind_of("authentication_failed", None, ""),
            FailureKind::SignIn
        );
        assert_eq!(
            kind_of("rate_limit", Some(429), ""),
            FailureKind::RateLimited
        );
        assert_eq!(kind_of("unknown", Some(529), ""), FailureKind::Overloaded);
        assert_eq!(
            kind_of("unknown", None, "API Error: 529 overloaded"),
            FailureKind::Overloaded
        );
        assert_eq!(
            kind_of("invalid_request", Some(400), "prompt is too long: 2 > 1"),
            FailureKind::ContextTooLong
        );
        assert_eq!(
            kind_of("invalid_request", Some(400), "API Error: 400 bad"),
            FailureKind::InvalidRequest
        );
        assert_eq!(
            kind_of("model_not_found", None, ""),
            FailureKind::UnknownModel
        );
        assert_eq!(
            kind_of("server_error", Some(500), ""),
            FailureKind::Upstream
        );
    }

    #[test]
    fn failure_413_says_that_the_request_is_too_large() {
        let call = CallFailed {
            kind: "invalid_request".to_owned(),
            text: "API Error: 413 x".to_owned(),
        };
        let failure = classify(Some(&call), None, "", None);
        assert_eq!(failure.kind, FailureKind::InvalidRequest);
        assert!(
            failure.message.starts_with("The request is larger"),
            "{failure}"
        );
        assert_eq!(
            classify(None, Some(500), "", None).message,
            "The call to Anthropic failed with status 500."
        );
        assert_eq!(
            classify(None, None, "", None).message,
            "The call to Anthropic failed."
        );
    }

    #[test]
    fn overlong_prompt_is_reported_in_anthropics_words() {
        for (text, limits) in [
            (
                "API Error: 400 prompt is too long: 2 tokens > 1 maximum",
                "prompt is too long: 2 tokens > 1 maximum",
            ),
            (
                "Prompt is too long · the request is ~200001 tokens (limit 200000) but this conversation is only ~35 tokens",
                "prompt is too long: 200001 tokens > 200000 maximum",
            ),
            (
                "Prompt is too long · this conversation is a single exchange",
                "prompt is too long",
            ),
            (
                "API Error: 400 input length and `max_tokens` exceed context limit: 3 + 2 > 4, decrease input length",
                "input length and `max_tokens` exceed context limit: 3 + 2 > 4, decrease input length",
            ),
        ] {
            let call = CallFailed {
                kind: "invalid_request".to_owned(),
                text: text.to_owned(),
            };
            let failure = classify(Some(&call), Some(400), "", None);
            assert_eq!(
                (failure.kind, failure.message.as_str()),
                (FailureKind::ContextTooLong, limits)
            );
        }
    }

    #[test]
    fn failure_passes_on_the_reason_of_a_rejection() {
        let call = CallFailed {
            kind: "invalid_request".to_owned(),
            text: "API Error: 400 top_k: bad".to_owned(),
        };
        assert_eq!(
            classify(Some(&call), Some(400), "", None).message,
            "Anthropic refused the request: top_k: bad"
        );
    }
}
