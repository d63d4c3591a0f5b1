//! Errors of hooks, and the description of errors for hooks.

use std::sync::Arc;

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
    ApiError::from(error.clone()).to_wire()
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
        let parts = error.parts();
        parts.hooks = stop.notes.clone();
        parts.stopped_by = Some(Arc::clone(&stop.hook));
        error
    }

    /// Error of a turn that had hooks, with their verdicts and in their words.
    pub(in crate::http) fn of_hooked_turn(hooked: &HookedError) -> Self {
        let mut error = Self::from(hooked.error.clone());
        let parts = error.parts();
        parts.hooks = hooked.notes.clone();
        parts.is_reported = hooked.is_reported;
        if let Some(message) = &hooked.message {
            parts.message.clone_from(message);
            parts.openai_message = None;
        }
        error
    }

    /// Returns the error as hooks get it.
    pub(in crate::http) fn to_wire(&self) -> WireError {
        WireError {
            status: self.status(),
            code: self.0.code.unwrap_or_default().to_owned(),
            message: self.envelope().message,
        }
    }

    /// Returns true if the turn that failed has reported the error to hooks.
    pub(in crate::http) fn is_reported(&self) -> bool {
        self.0.is_reported
    }

    /// Returns the name of the hook that has stopped the request.
    pub(in crate::http) fn stopped_by(&self) -> Option<&str> {
        self.0.stopped_by.as_deref()
    }
}
