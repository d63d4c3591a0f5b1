//! Conversion of failures to responses.
//!
//! A handler returns an [`ApiError`]; its status, type and code are defined in one table,
//! [`ErrorKind::row`]. Nothing is logged here: the error travels in the response's extensions to the
//! access log.

mod answers;
mod api_flavor;
mod batches;
mod conversations;
mod error_codes;
mod files;
mod hooks;
mod keys;
mod ledger;
mod responses;
mod sessions;
mod tasks;
mod turns;

#[cfg(test)]
mod tests;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;

use crate::accounts::rate_limit::RateLimitState;
use crate::api::openai::OpenAiErrorEnvelope;
use crate::api::request_schema::InvalidRequest;
use crate::domain::LogText;
use crate::engine::hooks::HookNotes;
use crate::storage::store;
use crate::telemetry::logs::ErrorChain;

pub use answers::client_error;
pub(super) use api_flavor::ApiFlavor;
pub(super) use error_codes::ErrorKind;
pub use hooks::describe_for_hooks;
pub use responses::response_error;

/// `Retry-After` for causes outside the client: a stopped server restarts at once, and a full disk
/// is checked every second.
const RETRY_AFTER_RESTART: Duration = Duration::from_secs(1);
/// Header that lists the hooks of a turn with their verdicts.
pub(super) const HOOKS_HEADER: HeaderName = HeaderName::from_static("x-switchboard-hooks");
/// Encodings of bodies that are read, as a header lists them.
pub(super) const SUPPORTED_ENCODINGS: &str = "gzip, deflate, br, zstd";

/// Error as sent to the client, with the cause for the log. Clones share their content.
#[derive(Debug, Clone)]
pub(super) struct ApiError(Arc<ApiErrorParts>);

#[derive(Debug, Clone)]
struct ApiErrorParts {
    kind: ErrorKind,
    message: String,
    /// Message for clients of OpenAI's API, if it differs.
    openai_message: Option<String>,
    param: Option<String>,
    code: Option<&'static str>,
    retry_after: Option<Duration>,
    /// Set if another part of the request is charged, so that a retry would be charged again.
    has_charge: bool,
    limits: RateLimitState,
    /// Hooks that were called before the error.
    hooks: HookNotes,
    /// Name of the hook that has stopped the request.
    stopped_by: Option<Arc<str>>,
    /// Set if the turn that failed has reported the error to hooks.
    is_reported: bool,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl ApiError {
    /// Creates an error of `kind`; `message` says what the client can do.
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Arc::new(ApiErrorParts {
            kind,
            message: message.into(),
            openai_message: None,
            param: None,
            code: kind.row().code,
            retry_after: None,
            has_charge: false,
            limits: RateLimitState::default(),
            hooks: HookNotes::default(),
            stopped_by: None,
            is_reported: false,
            source: None,
        }))
    }

    /// Error: the store or the files (`part`) cannot be read or written now. The cause is for the
    /// log only; the records may be on the disk or in a Redis.
    fn unreachable(part: &str, cause: impl Error + Send + Sync + 'static) -> Self {
        let message = format!(
            "This server cannot use its {part} now: its disk is full or fails, or it cannot reach where its records are. \
             Try again later. Operator: see its log."
        );
        Self::new(ErrorKind::StorageUnavailable, message)
            .retry_after(RETRY_AFTER_RESTART)
            .caused_by(cause)
    }

    /// Error: the store failed, or what it holds cannot be read.
    pub(super) fn of_store(error: store::Error) -> Self {
        match error {
            store::Error::Unreadable { kind, ref name, .. } => {
                let message = format!(
                    "The stored {kind} '{name}' cannot be read by this version of the server, which has left it as it is. \
                     The log tells the operator why."
                );
                Self::new(ErrorKind::Internal, message).caused_by(error)
            }
            error => Self::unreachable("store", error),
        }
    }

    /// Sets the request field at fault.
    pub(super) fn at(mut self, param: impl Into<String>) -> Self {
        self.parts().param = Some(param.into());
        self
    }

    /// Sets a different message for clients of OpenAI's API.
    fn with_openai_message(mut self, message: String) -> Self {
        self.parts().openai_message = Some(message);
        self
    }

    /// Sets the time after which a retry may succeed.
    pub(super) fn retry_after(mut self, wait: impl Into<Option<Duration>>) -> Self {
        self.parts().retry_after = wait.into();
        self
    }

    /// Sets the remaining rate limits of the caller.
    pub(super) fn limits(mut self, limits: RateLimitState) -> Self {
        self.parts().limits = limits;
        self
    }

    /// Sets the cause, for the log only.
    pub(super) fn caused_by(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.parts().source = Some(Arc::new(source));
        self
    }

    /// Returns the hooks that were called before the error.
    pub(super) fn hooks(&self) -> &HookNotes {
        &self.0.hooks
    }

    pub(super) fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    pub(super) fn status(&self) -> u16 {
        self.0.kind.row().status
    }

    pub(super) fn code(&self) -> &'static str {
        self.0.code.unwrap_or("none")
    }

    /// Returns the time after which a retry may succeed, in milliseconds.
    pub(super) fn wait(&self) -> Option<u64> {
        let wait = self.0.retry_after?;
        Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1))
    }

    /// Returns the error in OpenAI's format, for a body or the last event of a stream.
    pub(super) fn envelope(&self) -> OpenAiErrorEnvelope {
        OpenAiErrorEnvelope {
            message: self
                .0
                .openai_message
                .as_ref()
                .unwrap_or(&self.0.message)
                .clone(),
            r#type: self.0.kind.row().r#type,
            param: self.0.param.clone(),
            code: self.0.code,
        }
    }

    /// Returns the full cause for the log. For an invalid request only the field, because the
    /// message may quote its content.
    pub(super) fn log_text(&self) -> String {
        let Some(source) = &self.0.source else {
            let text = match self.0.kind {
                ErrorKind::InvalidRequest => self.0.param.as_deref().unwrap_or("the body"),
                _ => &self.0.message,
            };
            // Both may contain names chosen by the client, so they are escaped.
            return LogText(text).to_string();
        };
        ErrorChain(source.as_ref()).to_string()
    }

    /// Returns the content for changes; not shared while the error is being built, so nothing is
    /// cloned.
    fn parts(&mut self) -> &mut ApiErrorParts {
        Arc::make_mut(&mut self.0)
    }
}

impl From<InvalidRequest> for ApiError {
    fn from(error: InvalidRequest) -> Self {
        let mut this = Self::new(ErrorKind::InvalidRequest, error.message);
        this.parts().param = error.param;
        this.parts().code = error.code;
        this
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let row = self.0.kind.row();
        // The body is written by `middleware::api_flavor`, which knows the client's API.
        let mut response = Response::new(Body::empty());
        *response.status_mut() =
            StatusCode::from_u16(row.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if let Some(milliseconds) = self.wait() {
            headers.insert("retry-after-ms", HeaderValue::from(milliseconds));
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from(milliseconds.div_ceil(1000)),
            );
        }
        headers.extend(
            self.0
                .limits
                .headers()
                .into_iter()
                .filter_map(|(name, value)| {
                    Some((
                        HeaderName::from_static(name),
                        HeaderValue::from_str(&value).ok()?,
                    ))
                }),
        );
        // A retry is pointless: the limit can never admit the request, or the budget does not reset
        // before tomorrow. Or it would be charged again.
        let is_permanent = match self.0.kind {
            ErrorKind::OverBudget
            | ErrorKind::TaskExists
            | ErrorKind::ProjectExists
            | ErrorKind::IdempotencyInterrupted
            | ErrorKind::IdempotencyNotKept => true,
            ErrorKind::Limited | ErrorKind::HookUnavailable => self.0.retry_after.is_none(),
            _ => self.0.has_charge || row.is_persistent,
        };
        if self.0.kind == ErrorKind::UnsupportedEncoding {
            headers.insert(
                header::ACCEPT_ENCODING,
                HeaderValue::from_static(SUPPORTED_ENCODINGS),
            );
        }
        let hooks = self.0.hooks.header_value();
        let hooks = hooks.and_then(|hooks| HeaderValue::from_str(&hooks).ok());
        headers.extend(hooks.map(|hooks| (HOOKS_HEADER, hooks)));
        if is_permanent {
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        response.extensions_mut().insert(self);
        response
    }
}
