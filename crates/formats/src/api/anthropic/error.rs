//! Error bodies of Anthropic's API.

use serde::Serialize;

use super::json;

/// Body of an error response, and data of the `error` event of a failed stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnthropicError<'a> {
    /// Type of the error, such as `invalid_request_error`.
    pub kind: &'static str,
    /// Message that says what went wrong and what to change.
    pub message: &'a str,
    /// Path of the invalid field.
    pub param: Option<&'a str>,
    /// Id of the request, as in the log.
    pub request_id: &'a str,
}

/// Returns the error type for a status.
pub fn kind_of_status(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 => "overloaded_error",
        504 => "timeout_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

#[derive(Serialize)]
struct AnthropicErrorBody<'a> {
    r#type: &'static str,
    error: AnthropicErrorFields<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct AnthropicErrorFields<'a> {
    r#type: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<ThreadErrorDetails>,
}

/// Details by which clients detect that stored threads are not supported; they then send the whole
/// conversation themselves.
#[derive(Serialize)]
struct ThreadErrorDetails {
    error_code: &'static str,
    unsupported: [&'static str; 1],
}

const NO_THREADS: ThreadErrorDetails = ThreadErrorDetails {
    error_code: "thread_unsupported_request",
    unsupported: ["thread"],
};

impl AnthropicError<'_> {
    /// Returns the body as JSON.
    pub fn to_json(&self) -> String {
        let details = self
            .param
            .filter(|param| *param == "thread")
            .map(|_| NO_THREADS);
        let error = AnthropicErrorFields {
            r#type: self.kind,
            message: self.message,
            details,
        };
        json::to_string(&AnthropicErrorBody {
            r#type: "error",
            error,
            request_id: self.request_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_body_has_anthropics_format() {
        let mut envelope = AnthropicError {
            kind: "api_error",
            message: "a \"b\"",
            param: Some("model"),
            request_id: "req_1",
        };
        assert_eq!(
            envelope.to_json(),
            r#"{"type":"error","error":{"type":"api_error","message":"a \"b\""},"request_id":"req_1"}"#
        );
        envelope.param = Some("thread");
        assert!(envelope.to_json().contains(
            r#","details":{"error_code":"thread_unsupported_request","unsupported":["thread"]}},"request_id""#
        ));
    }
}
