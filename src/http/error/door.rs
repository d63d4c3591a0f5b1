//! Detection of the API flavor, and errors in its format.

use axum::extract::Request;

use super::ApiError;
use crate::api::anthropic;
use crate::api::anthropic::error::kind_of_status;

/// Prefix of the paths that only Anthropic's API has.
const MESSAGES: &str = "/v1/messages";

/// Headers that only clients of Anthropic's API send; all of them send the first.
const THEIRS: [&str; 2] = ["anthropic-version", "anthropic-beta"];

/// API that a client expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Door {
    OpenAi,
    Anthropic,
}

impl Door {
    /// Detects the API of `request` by its path or its headers.
    pub(in crate::http) fn of(request: &Request) -> Self {
        let is_below = |rest: &str| rest.is_empty() || rest.starts_with('/');
        let is_theirs = request
            .uri()
            .path()
            .strip_prefix(MESSAGES)
            .is_some_and(is_below)
            || THEIRS
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
    /// Renders the error as a body, or as the last event of a stream, in the format of `door`.
    pub(in crate::http) fn told(&self, door: Door, request_id: &str) -> String {
        match door {
            Door::OpenAi => self.envelope().to_json(),
            Door::Anthropic => self.message(request_id).to_json(),
        }
    }

    /// Returns the error in Anthropic's format.
    pub(in crate::http) fn message<'a>(&'a self, request_id: &'a str) -> anthropic::Envelope<'a> {
        let (message, param) = (&self.0.message, self.0.param.as_deref());
        anthropic::Envelope {
            kind: kind_of_status(self.status()),
            message,
            param,
            request_id,
        }
    }
}
