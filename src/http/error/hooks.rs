//! Errors of hooks, and the description of errors for hooks.

use super::ApiError;
use super::ErrorKind;
use crate::engine::gateway::Error;
use crate::engine::gateway::HookedError;
use crate::engine::hooks::HookStop;
use crate::engine::hooks::HookStopReason;
use crate::engine::hooks::WireError;

/// Sentence about the cost of an answer that its client does not get.
const CHARGED: &str = "The answer was made, and what it has cost is charged.";

/// Describes an error of a turn for hooks, as its client sees it.
pub fn describe_for_hooks(error: &Error) -> WireError {
    let error = ApiError::from(error.clone());
    WireError {
        status: error.status(),
        code: error.0.code.unwrap_or_default().to_owned(),
        message: error.envelope().message,
    }
}

impl ApiError {
    /// Error: a hook stopped the turn.
    pub(in crate::http) fn stopped_by_hook(stop: &HookStop) -> Self {
        let mut error = match &stop.reason {
            HookStopReason::Refused { code, message } => {
                let code = code.as_ref().map(|code| format!(" ({code})"));
                let mut words = format!("{message}{}", code.unwrap_or_default());
                if stop.is_charged {
                    words.push(' ');
                    words.push_str(CHARGED);
                }
                Self::new(ErrorKind::HookRefused, words)
            }
            HookStopReason::Failed(failure) => {
                let name = &stop.hook;
                let words = format!("The hook `{name}` of this server does not answer");
                if stop.is_charged {
                    // A retry would be charged again, so none is advised.
                    let words =
                        format!("{words}, and without it the answer is not sent. {CHARGED}");
                    Self::new(ErrorKind::HookUnavailable, words)
                } else {
                    let words = format!("{words}, and without it nothing is run. Try again later.");
                    Self::new(ErrorKind::HookUnavailable, words).retry_after(failure.retry_after())
                }
            }
        };
        error.parts().hooks = stop.notes.clone();
        error
    }

    /// Error of a turn that had hooks, with their verdicts and in their words.
    pub(in crate::http) fn of_hooked_turn(hooked: &HookedError) -> Self {
        let mut error = Self::from(hooked.error.clone());
        let parts = error.parts();
        parts.hooks = hooked.notes.clone();
        if let Some(message) = &hooked.message {
            parts.message.clone_from(message);
            parts.openai_message = None;
        }
        error
    }
}
