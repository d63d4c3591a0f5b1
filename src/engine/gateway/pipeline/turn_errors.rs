//! Errors of turns, which are reported to hooks.

use std::fmt;

use crate::domain::Caller;
use crate::domain::Turn;
use crate::engine::gateway::Error;
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

/// Hooks of a turn that its errors are reported to.
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

    /// Returns the receiver of errors among `hooks`; `None` if no hook is called at errors.
    pub(super) fn errors_of(&self, hooks: &TurnHooks) -> Option<TurnErrors> {
        hooks.are_at(HookPoint::Error).then(|| TurnErrors {
            hooks: hooks.clone(),
            describe: self.describe,
        })
    }

    /// Reports an error to `hooks`, and returns it with the message that they choose.
    pub(super) async fn reword(&self, hooks: Option<&TurnHooks>, error: Error) -> Error {
        match hooks.and_then(|hooks| self.errors_of(hooks)) {
            Some(errors) => errors.reword(error).await,
            None => error,
        }
    }
}

impl TurnErrors {
    /// Reports an error to the hooks, except the one that caused it. Returns it with the message
    /// that they choose.
    pub(super) async fn reword(&self, error: Error) -> Error {
        let caused_by = match &error {
            Error::Hook(stop) => Some(&*stop.hook),
            _ => None,
        };
        let wire_error = (self.describe)(&error);
        let reworded = self.hooks.report_error(wire_error, caused_by).await;
        match reworded {
            Some(message) => Error::Reworded {
                error: Box::new(error),
                message,
            },
            None => error,
        }
    }
}
