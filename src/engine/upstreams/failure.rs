//! Failures of calls of other servers, in words for callers.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::StatusCode;
use hyper::header::RETRY_AFTER;
use serde::Deserialize;

use crate::domain::Failure;
use crate::domain::FailureKind;

/// Maximum length of a message of another server, in characters.
const MAX_MESSAGE_CHARACTERS: usize = 500;
/// Maximum time after which another server may ask to try again.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Failure of a call whose answer did not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedCall {
    /// Failure in words for the caller.
    pub failure: Failure,
    /// Set if the upstream may have run the request, and may ask money for it.
    pub may_cost: bool,
}

/// Error body of an API like OpenAI's, or of those that resemble it.
#[derive(Debug, Deserialize)]
struct ErrorBody {
    #[serde(default)]
    error: Option<ErrorValue>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    detail: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ErrorValue {
    Object { message: String },
    Text(String),
}

impl FailedCall {
    /// Failure of a request that has not run.
    pub(super) fn free(failure: Failure) -> Self {
        Self {
            failure,
            may_cost: false,
        }
    }

    /// Failure of a request that may have run.
    pub(super) fn paid(failure: Failure) -> Self {
        Self {
            failure,
            may_cost: true,
        }
    }
}

impl From<FailedCall> for Failure {
    fn from(failed: FailedCall) -> Self {
        failed.failure
    }
}

/// Returns the failure of a call that the upstream `name` answered with `status` and `body`. The
/// upstream's words are told only about a faulty request, and without `secret`.
pub(super) fn refused_call(
    name: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    secret: Option<&str>,
) -> Failure {
    let code = status.as_u16();
    match code {
        401 | 403 => failure(
            FailureKind::Upstream,
            format!(
                "The upstream `{name}` of this server did not accept its key ({code}). Operator: correct its `key_variable` \
                 or `key_file`."
            ),
        ),
        402 => failure(
            FailureKind::Upstream,
            format!(
                "The upstream `{name}` of this server asks for payment ({code}). Operator: check the account of its key."
            ),
        ),
        300..=399 => failure(
            FailureKind::Upstream,
            format!(
                "The upstream `{name}` of this server answered with a redirect ({code}), which is not followed. Operator: \
                 correct its `base_url`."
            ),
        ),
        404 | 405 => failure(
            FailureKind::Upstream,
            format!(
                "The upstream `{name}` of this server does not have this endpoint or model ({code}). Operator: correct its \
                 `base_url`, `endpoints` and `models`."
            ),
        ),
        408 | 504 => failure(
            FailureKind::TimedOut,
            format!("The upstream `{name}` of this server timed out ({code}). Try again."),
        ),
        429 => Failure {
            retry_after: retry_after(headers),
            ..failure(
                FailureKind::RateLimited,
                format!(
                    "The upstream `{name}` of this server has reached a limit ({code}). Try again later."
                ),
            )
        },
        400..=499 => {
            let words = message_of(body, secret);
            let words = words.unwrap_or_else(|| "it gave no reason.".to_owned());
            failure(
                FailureKind::InvalidRequest,
                format!("The upstream `{name}` refused the request ({code}): {words}"),
            )
        }
        503 | 529 => Failure {
            retry_after: retry_after(headers),
            ..failure(
                FailureKind::Overloaded,
                format!(
                    "The upstream `{name}` of this server is overloaded ({code}). Try again later."
                ),
            )
        },
        _ => failure(
            FailureKind::Upstream,
            format!("The upstream `{name}` of this server failed ({code}). Try again."),
        ),
    }
}

/// Returns the failure of a call that did not reach the upstream `name`.
pub(super) fn unreachable(name: &str) -> Failure {
    let message =
        format!("The upstream `{name}` of this server cannot be reached. Try again later.");
    failure(FailureKind::Upstream, message)
}

/// Returns the failure of a call that took too long, or was silent for too long.
pub(super) fn timed_out(name: &str, limit: Duration) -> Failure {
    let seconds = limit.as_secs();
    let message =
        format!("The upstream `{name}` of this server did not answer for {seconds} s. Try again.");
    failure(FailureKind::TimedOut, message)
}

/// Returns the failure of an answer over its size limit.
pub(super) fn too_large(name: &str, limit: u64) -> Failure {
    let message = format!(
        "The answer of the upstream `{name}` has more than the {limit} bytes that this server takes \
         (`upstreams.{name}.max_answer_mib`). Ask for less."
    );
    failure(FailureKind::Upstream, message)
}

/// Returns the failure of an answer for which there is no memory.
pub(super) fn out_of_memory(name: &str) -> Failure {
    let message = format!(
        "Other answers take all the memory for those of upstreams, such as `{name}`, on this server. Try again later."
    );
    Failure {
        retry_after: Some(Duration::from_secs(1)),
        ..failure(FailureKind::Overloaded, message)
    }
}

/// Returns the failure of an answer that ended too early, or is not what it should be.
pub fn broken_answer(name: &str, what: &str) -> Failure {
    let message = format!("The upstream `{name}` of this server {what}. Try again.");
    failure(FailureKind::Upstream, message)
}

fn failure(kind: FailureKind, message: String) -> Failure {
    Failure::new(kind, message)
}

/// Returns the time after which another call may succeed, if the upstream tells it in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

/// Returns the message in an error body, as one line without `secret`.
fn message_of(body: &[u8], secret: Option<&str>) -> Option<String> {
    let body: ErrorBody = serde_json::from_slice(body).ok()?;
    let error = body.error.map(|error| match error {
        ErrorValue::Object { message } | ErrorValue::Text(message) => message,
    });
    let message = error.or(body.message).or(body.detail)?;
    let message = match secret {
        Some(secret) if !secret.is_empty() => message.replace(secret, "***"),
        _ => message,
    };
    let is_shown = |character: &char| !character.is_control();
    let message: String = message
        .chars()
        .map(|character| if character == '\n' { ' ' } else { character })
        .filter(is_shown)
        .take(MAX_MESSAGE_CHARACTERS)
        .collect();
    (!message.trim().is_empty()).then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str) -> Failure {
        let status = StatusCode::from_u16(status).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        refused_call("other", status, &headers, body.as_bytes(), Some("sk-1"))
    }

    #[test]
    fn message_of_an_upstream_is_told_about_a_faulty_request_only() {
        let body = r#"{"error": {"message": "bad `input` of sk-1\n."}}"#;
        let told = refused(400, body);
        assert_eq!(told.kind, FailureKind::InvalidRequest);
        assert!(
            told.message.ends_with("(400): bad `input` of *** ."),
            "{told}"
        );
        for (status, kind) in [
            (302, FailureKind::Upstream),
            (401, FailureKind::Upstream),
            (402, FailureKind::Upstream),
            (404, FailureKind::Upstream),
            (429, FailureKind::RateLimited),
            (500, FailureKind::Upstream),
            (503, FailureKind::Overloaded),
            (504, FailureKind::TimedOut),
        ] {
            let failure = refused(status, body);
            assert_eq!(failure.kind, kind, "{status}");
            assert!(!failure.message.contains("bad"), "{failure}");
        }
        assert_eq!(refused(429, "").retry_after, Some(Duration::from_secs(7)));
    }

    #[test]
    fn error_body_of_any_shape_is_read() {
        for body in [
            r#"{"error": "no"}"#,
            r#"{"message": "no"}"#,
            r#"{"detail": "no"}"#,
        ] {
            assert!(refused(422, body).message.ends_with("(422): no"), "{body}");
        }
        for body in ["", "<html>", "{}", "[]", r#"{"error": {"message": " "}}"#] {
            assert!(
                refused(422, body).message.ends_with("it gave no reason."),
                "{body}"
            );
        }
    }
}
