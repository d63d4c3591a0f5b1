//! How a client is told that something went wrong.

use serde::Serialize;

use super::json;

/// The error body of every endpoint, and the last event of a stream that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The family of the error, such as `invalid_request_error`.
    pub kind: &'static str,
    /// What went wrong and what to change, for people.
    pub message: &'a str,
    /// The path of the field at fault.
    pub param: Option<&'a str>,
    /// The name of the request, also in the log.
    pub request_id: &'a str,
}

/// The family of an error: it goes by the status.
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
struct Body<'a> {
    r#type: &'static str,
    error: Fields<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct Fields<'a> {
    r#type: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

/// What clients look for who would rather have the server keep the conversation: on it they send the whole themselves.
#[derive(Serialize)]
struct Details {
    error_code: &'static str,
    unsupported: [&'static str; 1],
}

const NO_THREADS: Details = Details {
    error_code: "thread_unsupported_request",
    unsupported: ["thread"],
};

impl Envelope<'_> {
    /// The body as JSON.
    pub fn to_json(&self) -> String {
        let details = self
            .param
            .filter(|param| *param == "thread")
            .map(|_| NO_THREADS);
        let error = Fields {
            r#type: self.kind,
            message: self.message,
            details,
        };
        json::to_string(&Body {
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
    fn an_error_names_itself_and_its_request() {
        let mut envelope = Envelope {
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
