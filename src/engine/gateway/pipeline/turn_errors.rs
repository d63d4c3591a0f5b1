//! Errors of turns, which are reported to hooks.

use std::fmt;

use crate::domain::Caller;
use crate::domain::Turn;
use crate::engine::gateway::Error;
use crate::engine::gateway::HookedError;
use crate::engine::hooks::HookPoint;
use crate::engine::hooks::Hooks;
use crate::engine::hooks::TurnHooks;
use crate::engine::hooks::WireError;

/// Describes an error as its client sees it. Supplied by `http`, which knows status codes.
pub type ErrorDescriber = fn(&Error) -> WireError;

/// Hooks of the pipeline. The default has none.
#[derive(Clone)]
pub struct PipelineHooks {
    hooks: Hooks,
    describe: ErrorDescriber,
}

/// Hooks of a turn whose errors are reported to them.
#[derive(Clone)]
pub(super) struct TurnErrors {
    hooks: TurnHooks,
    describe: ErrorDescriber,
}

impl fmt::Debug for PipelineHooks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hooks.fmt(formatter)
    }
}

impl Default for PipelineHooks {
    fn default() -> Self {
        let describe = |error: &Error| WireError {
            status: 500,
            code: String::new(),
            message: error.to_string(),
        };
        Self::new(Hooks::default(), describe)
    }
}

impl PipelineHooks {
    /// Creates the hooks of a pipeline. `describe` converts the errors that are reported to them.
    pub fn new(hooks: Hooks, describe: ErrorDescriber) -> Self {
        Self { hooks, describe }
    }

    /// Returns the function that describes errors as their clients see them.
    pub(super) fn describer(&self) -> ErrorDescriber {
        self.describe
    }

    /// Returns the hooks that `turn` passes; `None` if there are none.
    pub(super) fn for_turn(&self, caller: &Caller, turn: &Turn) -> Option<TurnHooks> {
        self.hooks.for_turn(caller, turn)
    }

    /// Returns the receiver of the errors of a turn with `hooks`.
    pub(super) fn errors_of(&self, hooks: &TurnHooks) -> TurnErrors {
        TurnErrors {
            hooks: hooks.clone(),
            describe: self.describe,
        }
    }

    /// Reports the error of a turn to its `hooks`, and returns it with what they have done.
    pub(super) async fn report(&self, hooks: Option<&TurnHooks>, error: Error) -> Error {
        match hooks {
            Some(hooks) => self.errors_of(hooks).report(error).await,
            None => error,
        }
    }
}

impl TurnErrors {
    /// Reports an error to the hooks that are called at errors, except the one that caused it.
    /// Returns it with the verdicts of all hooks, and with the message that they choose.
    pub(super) async fn report(&self, error: Error) -> Error {
        let caused_by = match &error {
            Error::Hook(stop) => Some(&*stop.hook),
            _ => None,
        };
        let is_reported = self.hooks.are_at(HookPoint::Error);
        let message = if is_reported {
            let wire_error = (self.describe)(&error);
            self.hooks.report_error(wire_error, caused_by).await
        } else {
            None
        };
        Error::Hooked(Box::new(HookedError {
            error,
            notes: self.hooks.notes(),
            message,
            is_reported,
        }))
    }
}
