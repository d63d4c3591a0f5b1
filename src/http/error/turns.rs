//! Client messages for errors of the gateway.

use std::time::Duration;

use super::ApiError;
use super::ErrorKind;
use super::RETRY_AFTER_RESTART;
use crate::accounts::auth::AuthError;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::engine::gateway::BusyReason;
use crate::engine::gateway::Error;
use crate::engine::gateway::FileFault;
use crate::engine::gateway::ServerToolsOff;

impl ApiError {
    /// Error: the model `name` does not exist.
    pub(in crate::http) fn unknown_model(name: &str) -> Self {
        let message = format!(
            "The model `{name}` does not exist or you do not have access to it. GET /v1/models lists the names."
        );
        Self::new(ErrorKind::UnknownModel, message).at("model")
    }

    /// Error: the model does not accept a parameter.
    fn restricted(parameter: &'static str, model: &str) -> Self {
        let words = if parameter == "messages" {
            format!(
                "`messages`: the model `{model}` goes on with no message of the assistant here. End with one of the user, or \
                 name another model."
            )
        } else {
            format!(
                "`{parameter}`: the model `{model}` does not support it. Leave it out, or name another model."
            )
        };
        InvalidRequest::at(parameter, code::UNSUPPORTED, words).into()
    }

    /// Error: the key may not use the model `name`.
    fn forbidden_model(name: &str) -> Self {
        let message = format!(
            "This API key may not use the model `{name}`. GET /v1/models lists the names that it may use."
        );
        Self::new(ErrorKind::ForbiddenModel, message).at("model")
    }

    /// Error: web search is not allowed, by the key or by the server.
    fn web_search_off(by_key: bool) -> Self {
        let (whose, remedy) = if by_key {
            (
                "This API key may not have the web searched",
                "ask the operator for a key with the permission `web_search`",
            )
        } else {
            (
                "This server does not have the web searched",
                "ask the operator to set `web_search.enabled`",
            )
        };
        let message = format!(
            "{whose}. Leave `web_search_options` and tools of the types `web_search` and `web_fetch` out, or {remedy}."
        );
        Self::new(ErrorKind::WebSearchOff, message)
    }

    /// Error: code execution or MCP servers at Anthropic are not allowed.
    fn server_tools_off(why: ServerToolsOff) -> Self {
        const OTHERWISE: &str =
            "Leave tools that run code or call MCP servers out, or ask the operator";
        let message = match why {
            ServerToolsOff::ByKey => format!(
                "This API key may not have Anthropic run code or call MCP servers. {OTHERWISE} for a key with the \
                 permission `server_tools`."
            ),
            ServerToolsOff::BySetting => format!(
                "This server does not have Anthropic run code or call MCP servers. {OTHERWISE} to set \
                 `server_tools.enabled`."
            ),
            ServerToolsOff::Unreadable => "The Claude CLI cannot read calls of MCP servers, and would break off the answer \
                 after such a call was made. Leave tools of the type `mcp` out, or offer a `function` and call the server \
                 yourself."
                .to_owned(),
            ServerToolsOff::WithoutBeta(beta) => format!(
                "This server does not ask Anthropic for the beta `{beta}`, which a tool of the request needs. {OTHERWISE} \
                 to add `{beta}` to `claude.betas`."
            ),
        };
        Self::new(ErrorKind::ServerToolsOff, message).at("tools")
    }

    /// Error: all workers are busy, and the request cannot wait.
    fn busy(workers: usize, reason: BusyReason, retry_after: Duration) -> Self {
        let why = match reason {
            BusyReason::OwnShare { own, waiting } => format!(
                "are busy and its queue is full: {own} of the {waiting} requests that wait are your own, and no key has more. \
                 Send fewer at a time, or try again"
            ),
            BusyReason::QueueFull => {
                "are busy and its queue is full, though none of the requests in it is your own. Try again"
                    .to_owned()
            }
            BusyReason::WaitedTooLong(wait) => format!(
                "were busy for the {} s that a request may wait (pool.queue_timeout_seconds). Try again",
                wait.as_secs()
            ),
        };
        let seconds = retry_after.as_millis().div_ceil(1000).max(1);
        let message = format!("All {workers} workers of this server {why} in {seconds} s.");
        Self::new(ErrorKind::ServerBusy, message).retry_after(retry_after)
    }

    /// Error: the server is shutting down.
    pub(in crate::http) fn shutting_down() -> Self {
        Self::new(
            ErrorKind::ShuttingDown,
            "This server is shutting down. Try again in a moment.",
        )
        .retry_after(RETRY_AFTER_RESTART)
    }

    /// Error: the operator cancelled the turn. What it used is charged, so no retry is advised.
    fn cancelled_by_operator() -> Self {
        Self::new(
            ErrorKind::CancelledByOperator,
            "The operator of this server cancelled the request. What it has used until then is charged. Ask the operator before \
             you send it again.",
        )
    }

    /// Says that other turns of the request had begun, and are charged, so that no retry is advised.
    fn after_others(mut self) -> Self {
        const CHARGED: &str = " Other choices of the request had begun and are charged, and a retry would be charged again.";
        let parts = self.parts();
        parts.message.push_str(CHARGED);
        if let Some(message) = &mut parts.openai_message {
            message.push_str(CHARGED);
        }
        parts.retry_after = None;
        parts.has_charge = true;
        self
    }

    /// Error: the events of a turn ended before the answer did, a fault of the worker.
    pub(in crate::http) fn ended_early() -> Self {
        Self::new(
            ErrorKind::WorkerFailed,
            "The worker's answer ended before it was complete. Try again.",
        )
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let this = match &error {
            Error::Busy {
                workers,
                reason,
                retry_after,
            } => Self::busy(*workers, *reason, *retry_after),
            Error::Unavailable {
                reason,
                retry_after,
            } => Self::new(
                ErrorKind::NoWorker,
                format!(
                    "No worker of this server can be started: {}.",
                    reason.trim_end_matches('.')
                ),
            )
            .retry_after(*retry_after),
            Error::NotSignedIn(message) => Self::new(ErrorKind::NotSignedIn, message),
            Error::UnknownModel(name) => Self::unknown_model(name),
            Error::ShuttingDown => Self::shutting_down(),
            Error::CancelledByOperator => Self::cancelled_by_operator(),
            Error::Limited(limited) => Self::new(ErrorKind::Limited, limited.to_string())
                .retry_after(limited.retry_after)
                .limits(limited.state),
            Error::OverBudget(over) => Self::new(ErrorKind::OverBudget, format!("{over}.")),
            Error::ForeignProject => AuthError::ForeignProject.into(),
            Error::Restricted { parameter, model } => Self::restricted(parameter, model),
            Error::ForbiddenModel(name) => Self::forbidden_model(name),
            Error::WebSearchOff { by_key } => Self::web_search_off(*by_key),
            Error::ServerToolsOff(why) => Self::server_tools_off(*why),
            Error::File { place, fault } => no_file(place, fault),
            Error::Ledger(_) => Self::new(
                ErrorKind::Unwritable,
                "This server cannot write its ledger, so it runs nothing; see its log.",
            )
            .retry_after(RETRY_AFTER_RESTART),
            Error::Hook(stop) => Self::stopped_by_hook(stop),
            Error::Hooked(hooked) => return Self::of_hooked_turn(hooked),
            Error::AfterOthers(refusal) => {
                return Self::from(Error::clone(refusal)).after_others();
            }
            Error::Failed(failure) => failed(failure),
        };
        if error.may_quote_the_request() {
            this
        } else {
            this.caused_by(error)
        }
    }
}

/// Error: the file in the field `place` cannot be used in the turn.
fn no_file(place: &str, fault: &FileFault) -> ApiError {
    let error = match fault {
        FileFault::Missing { id } => {
            let message = format!(
                "`{place}`: there is no file '{}'. It was never uploaded to this key's project, or deleted, or its time is \
                 over.",
                printable(id)
            );
            ApiError::new(ErrorKind::UnknownFile, message)
        }
        FileFault::Unfit(words) => {
            return InvalidRequest::at(place, code::VALUE, format!("`{place}`: {words}")).into();
        }
        FileFault::TooLarge { limit } => {
            let message = format!(
                "`{place}`: with this file those of the request have more than {limit} bytes in base64, which is as much as \
                 one may bring. Name fewer or smaller ones."
            );
            ApiError::new(ErrorKind::TooLarge, message)
        }
        FileFault::Unreadable(_) => ApiError::new(
            ErrorKind::Internal,
            "This server cannot reach its files; see its log.",
        ),
    };
    error.at(place)
}

fn failed(failure: &Failure) -> ApiError {
    let kind = match failure.kind {
        FailureKind::SignIn => ErrorKind::SignInFailed,
        FailureKind::RateLimited => ErrorKind::RateLimited,
        FailureKind::Overloaded => ErrorKind::Overloaded,
        FailureKind::ContextTooLong => ErrorKind::ContextTooLong,
        FailureKind::UnknownModel => ErrorKind::UnknownModel,
        FailureKind::InvalidRequest => ErrorKind::InvalidRequest,
        FailureKind::TimedOut => ErrorKind::TimedOut,
        FailureKind::Crashed => ErrorKind::WorkerFailed,
        FailureKind::Upstream => ErrorKind::Upstream,
    };
    // Clients of Anthropic's API get its message unchanged.
    let words = failure
        .message
        .strip_prefix(Failure::REFUSED_PREFIX)
        .unwrap_or(&failure.message);
    let error = ApiError::new(kind, words).retry_after(failure.retry_after);
    match failure.kind {
        FailureKind::ContextTooLong => error
            .with_openai_message(too_long(&failure.message))
            .at("messages"),
        FailureKind::UnknownModel => error.at("model"),
        FailureKind::InvalidRequest => error.with_openai_message(failure.message.clone()),
        FailureKind::SignIn
        | FailureKind::RateLimited
        | FailureKind::Overloaded
        | FailureKind::TimedOut
        | FailureKind::Crashed
        | FailureKind::Upstream => error,
    }
}

/// Returns OpenAI's message for a context that is too long, with the numbers from Anthropic's
/// message.
fn too_long(words: &str) -> String {
    let digits = words.split(|character: char| !character.is_ascii_digit());
    let numbers: Vec<u64> = digits.filter_map(|digits| digits.parse().ok()).collect();
    let begin = "This model's maximum context length is";
    match numbers[..] {
        [tokens, most] => format!(
            "{begin} {most} tokens. However, your messages resulted in {tokens} tokens. Please reduce the length of the messages."
        ),
        [prompt, answer, most] => format!(
            "{begin} {most} tokens. However, you requested {} tokens ({prompt} in the messages, {answer} in the completion). \
             Please reduce the length of the messages or completion.",
            prompt.saturating_add(answer)
        ),
        _ => {
            format!("{begin} shorter than the messages. Please reduce the length of the messages.")
        }
    }
}
