//! In whose words a request is answered.

use axum::extract::Request;

use super::ApiError;
use crate::api::anthropic;
use crate::api::anthropic::error::kind_of_status;

/// The paths of Anthropic's API alone.
const MESSAGES: &str = "/v1/messages";

/// The headers by which clients of Anthropic's are known: every one sends the first, whatever it asks for.
const THEIRS: [&str; 2] = ["anthropic-version", "anthropic-beta"];

/// The API that a client takes this server for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Door {
    OpenAi,
    Anthropic,
}

impl Door {
    /// The door by which `request` came in: what its path or its client is made for.
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
    /// What a client of `door` gets to read, as a body or as the last event of a stream.
    pub(in crate::http) fn told(&self, door: Door, request_id: &str) -> String {
        match door {
            Door::OpenAi => self.envelope().to_json(),
            Door::Anthropic => self.message(request_id).to_json(),
        }
    }

    /// The same in Anthropic's words.
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
