//! Detection of the API flavor, and errors in its format.

use axum::extract::Request;

use super::ApiError;
use crate::api::anthropic;
use crate::api::anthropic::error::kind_of_status;

/// Prefix of the paths that only Anthropic's API has.
const ANTHROPIC_PREFIX: &str = "/v1/messages";

/// Headers that only clients of Anthropic's API send; all of them send the first.
const ANTHROPIC_HEADERS: [&str; 2] = ["anthropic-version", "anthropic-beta"];

/// API that a client expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum ApiFlavor {
    OpenAi,
    Anthropic,
}

impl ApiFlavor {
    /// Detects the API of `request` by its path or its headers.
    pub(in crate::http) fn detect(request: &Request) -> Self {
        let is_below = |rest: &str| rest.is_empty() || rest.starts_with('/');
        let is_theirs = request
            .uri()
            .path()
            .strip_prefix(ANTHROPIC_PREFIX)
            .is_some_and(is_below)
            || ANTHROPIC_HEADERS
                .iter()
                .any(|name| request.headers().contains_key(*name));
        if is_theirs {
            Self::Anthropic
        } else {
            Self::OpenAi
        }
    }
}

impl ApiError {
    /// Renders the error as a body, or as the last event of a stream, in the format of `flavor`.
    pub(in crate::http) fn render_for(&self, flavor: ApiFlavor, request_id: &str) -> String {
        match flavor {
            ApiFlavor::OpenAi => self.envelope().to_json(),
            ApiFlavor::Anthropic => self.anthropic_envelope(request_id).to_json(),
        }
    }

    /// Returns the error in Anthropic's format.
    pub(in crate::http) fn anthropic_envelope<'a>(
        &'a self,
        request_id: &'a str,
    ) -> anthropic::AnthropicError<'a> {
        let message = &self.0.message;
        let param = self.0.param.as_deref();
        anthropic::AnthropicError {
            kind: kind_of_status(self.status()),
            message,
            param,
            request_id,
        }
    }
}
